#include "mirror/mirrors.h"

#include <algorithm>

#include "base/log.h"
#include "mirror/spill_replay.h"
#include "pg/startup.h"

namespace mirror {
namespace {

constexpr size_t kCacheBytes = 1 << 20;

// Sessions whose connections to a mirror may be exchanged: the same database, user and parameters.
std::string KeyOf(const backend::LoginFacts& facts, const std::string& client) {
  std::string key = facts.database;
  key += '\0';
  key += client;
  for (const auto& [name, value] : facts.parameters) {
    key += '\0';
    key += name;
    key += '\0';
    key += value;
  }
  return key;
}

// What decides where a string ends: from the start-up parameters, then from the server.
void SetLexing(const SessionFacts& facts, Recorder* recorder) {
  for (const auto& [name, value] : facts.parameters) {
    recorder->SetLexing(name, value);
    if (name == "options") {
      std::vector<pg::OptionSetting> settings;
      static_cast<void>(pg::ParseOptions(value, &settings));
      for (const pg::OptionSetting& setting : settings) {
        recorder->SetLexing(setting.name, setting.value);
      }
    }
  }
  for (const auto& [name, value] : facts.reported) {
    recorder->SetLexing(name, value);
  }
}

// How texts are read is the session's, not the mirror's login's: where the client did not ask for
// it, as the primary has it for this client.
void AddReading(const SessionFacts& facts,
                std::vector<std::pair<std::string, std::string>>* parameters) {
  for (const auto& [name, value] : facts.reported) {
    const bool reading = name == "client_encoding" || name == "standard_conforming_strings";
    const bool given =
        std::any_of(parameters->begin(), parameters->end(),
                    [&](const auto& parameter) { return parameter.first == name; });
    if (reading && !given) {
      parameters->emplace_back(name, value);
    }
  }
}

Learning LearningFor(config::Generated generated) {
  switch (generated) {
    case config::Generated::kTolerate:
      return Learning::kCounted;
    case config::Generated::kPin:
      return Learning::kKept;
    case config::Generated::kOff:
      break;
  }
  return Learning::kOff;
}

// What became of everything: an operator's last look.
void LogTotals(const Shadow& shadow) {
  const MirrorMetrics& metrics = shadow.metrics();
  const uint64_t left = metrics.dropped[static_cast<size_t>(Cause::kShutdown)].value();
  if (left > 0) {
    base::Log(base::LogLevel::kWarn, "mirror.dropped",
              {{"mirror", shadow.server()->name},
               {"cause", Name(Cause::kShutdown)},
               {"transactions", left},
               {"why", shadow.reachable() ? "the drain is over" : "the mirror cannot be reached"}});
  }
  uint64_t dropped = 0;
  for (const base::Counter& counter : metrics.dropped) {
    dropped += counter.value();
  }
  base::Log(base::LogLevel::kInfo, "mirror.drained",
            {{"mirror", shadow.server()->name}, {"offered", metrics.offered.value()},
             {"delivered", metrics.delivered.value()}, {"refused", metrics.refused.value()},
             {"dropped", dropped}});
}

}  // namespace

template <typename Action>
class Mirrors::ActionMessage final : public io::Message {
 public:
  explicit ActionMessage(Action action) : action_(std::move(action)) {}
  void Deliver() override { action_(); }

 private:
  Action action_;
};

template <typename Action>
void Mirrors::Post(Action action) {
  tools_.loop->Post(std::make_unique<ActionMessage<Action>>(std::move(action)));
}

Mirrors::Mirrors(const MirrorsTools& tools)
    : tools_(tools),
      limits_(tools.epoch->config.limits),
      blocks_(tools.epoch->config.mirror_block),
      idle_(tools.loop),
      sweep_(tools.loop),
      tasks_(tools.loop) {
  const std::vector<config::Server>& servers = tools.epoch->config.mirrors;
  if (!tools.epoch->config.capture.empty()) {
    capture_ = std::make_unique<Capture>(tools.loop, tools.epoch->config,
                                         tools.shared->NextCapture());
  } else if (servers.empty()) {
    return;
  }
  filters_ = std::make_unique<Filters>(tools.epoch->config);
  writing_functions_ = tools.epoch->config.writing_functions;
  cache_ = std::make_unique<sql::ClassifyCache>(kCacheBytes, &writing_functions_,
                                                filters_->marker());
  recording_ = std::make_unique<base::Credit>(tools.shared->recording());
  names_ = std::make_unique<base::Credit>(tools.shared->names());
  if (tools.shared->spill() != nullptr) {
    overflow_ = std::make_unique<Overflow>(tools.loop, tools.shared->spill(),
                                           tools.shared->overflowing(),
                                           tools.shared->NextOverflow(), tools.worker);
    tasks_.Spawn(Sweep());
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    Shared::PerMirror* const shared = tools.shared->mirror(i);
    shadows_.push_back(std::make_unique<Shadow>(this, servers[i], shared));
    shared->gate.Register(this);
    shared->ledger.Watch(&shadows_[i]->metrics());
    if (shadows_[i]->health_check() != nullptr) {
      tasks_.Spawn(shadows_[i]->health_check()->Run());
    }
    if (shadows_[i]->spill_replay() != nullptr) {
      tasks_.Spawn(shadows_[i]->spill_replay()->Run());
    }
  }
}

Mirrors::~Mirrors() {
  for (size_t i = 0; i < shadows_.size(); ++i) {
    tools_.shared->mirror(i)->ledger.Unwatch(&shadows_[i]->metrics());
  }
}

std::unique_ptr<Recorder> Mirrors::Open(const SessionFacts& facts) {
  std::vector<Route> routes;
  Learning learning = Learning::kOff;
  for (size_t i = 0; i < shadows_.size(); ++i) {
    if (Lane* lane = MakeLane(shadows_[i].get(), facts); lane != nullptr) {
      routes.push_back(Route{lane, filters_->FilterOf(i), &shadows_[i]->metrics()});
      learning = std::max(learning, LearningFor(shadows_[i]->generated()));
    }
  }
  const bool mirrored = !routes.empty();
  if (capture_ != nullptr) {
    CapturedSession captured{facts.user, facts.database, facts.parameters};
    AddReading(facts, &captured.parameters);
    routes.push_back(Route{capture_->Open(facts.session, std::move(captured)), filters_->capture(),
                           capture_->unused()});
  }
  if (routes.empty()) {
    return nullptr;
  }
  RecorderTools tools;
  tools.limits = &limits_;
  tools.loop = tools_.loop;
  tools.cache = cache_.get();
  tools.held = recording_.get();
  tools.names = names_.get();
  tools.filters = filters_.get();
  tools.session = facts.session;
  tools.statements_alone = tools_.epoch->config.mirror_statements_alone;
  tools.learning = learning;
  tools.clock = tools_.shared->clock();
  tools.overlaps = tools_.shared->overlaps();
  if (mirrored && tools_.epoch->config.mirror_order == config::MirrorOrder::kCausal) {
    tools.last_writers = tools_.shared->last_writers();
  }
  if (overflow_ != nullptr) {
    tools.overflow = overflow_.get();
    tools.open = &recorders_;
  }
  auto recorder = std::make_unique<Recorder>(tools, routes);
  SetLexing(facts, recorder.get());
  return recorder;
}

Target* Mirrors::OpenForReplay(const SessionFacts& facts) {
  return MakeLane(shadows_.front().get(), facts);
}

Lane* Mirrors::MakeLane(Shadow* shadow, const SessionFacts& facts) {
  backend::LoginFacts login = shadow->Login();
  const bool one_database = !tools_.epoch->config.primary.dbname.empty();
  if (!shadow->Wants(facts.database, one_database, &login.database)) {
    return nullptr;
  }
  login.parameters = facts.parameters;
  AddReading(facts, &login.parameters);
  const std::string& application = shadow->server()->application_name;
  if (!application.empty()) {
    std::erase_if(login.parameters,
                  [](const auto& parameter) { return parameter.first == "application_name"; });
    login.parameters.emplace_back("application_name", application);
  }
  std::erase_if(login.parameters,
                [](const auto& parameter) { return parameter.first.starts_with("_pq_."); });
  const bool other_user = tools_.epoch->config.mirror_as_client && facts.user != login.user;
  return AddLane(shadow, facts.session, std::move(login),
                 other_user ? facts.user : std::string());
}

Lane* Mirrors::MakeLaneFor(Shadow* shadow, const SpillOwner& owner) {
  backend::LoginFacts login = shadow->Login();
  login.database = owner.database;
  login.parameters = owner.parameters;
  return AddLane(shadow, owner.session, std::move(login), owner.client);
}

Lane* Mirrors::AddLane(Shadow* shadow, uint64_t session, backend::LoginFacts login,
                       std::string client) {
  std::string key = KeyOf(login, client);
  const uint64_t id = ++last_lane_;
  auto lane = std::make_unique<Lane>(shadow, id, session, std::move(login), std::move(key),
                                     std::move(client));
  return lanes_.emplace(id, std::move(lane)).first->second.get();
}

// -- lanes ----------------------------------------------------------------------------------------

void Mirrors::Start(Lane* lane) { tasks_.Spawn(RunLane(lane)); }

io::Task<void> Mirrors::RunLane(Lane* lane) {
  co_await lane->Run();
  if (lane->over()) {
    Retire(lane);
  }
}

void Mirrors::Retire(Lane* lane) {
  lane->LetGo();
  lanes_.erase(lane->id());
  idle_.Raise(kLaneEnded);
}

std::unique_ptr<Link> Mirrors::YieldOne(const Shadow* shadow) {
  for (const bool values_too : {false, true}) {
    for (const auto& [id, lane] : lanes_) {
      if (lane->shadow() != shadow) {
        continue;
      }
      std::unique_ptr<Link> link = lane->Yield(values_too);
      if (link != nullptr) {
        return link;
      }
    }
  }
  return nullptr;
}

// A lane that waits for a place stays until it has it.
void Mirrors::PostPlace(uint64_t lane) {
  Post([this, lane] { lanes_.at(lane)->OnPlace(); });
}

void Mirrors::PostShed(Gate* gate) {
  Post([this, gate] { Shed(gate); });
}

void Mirrors::PostBlocked(Gate* gate, uint64_t stamp, bool at_work) {
  Post([this, gate, stamp, at_work] {
    for (const auto& [id, lane] : lanes_) {
      if (lane->shadow()->gate() == gate) {
        lane->OnBlocked(stamp, at_work);
      }
    }
  });
}

void Mirrors::PostLook() {
  Post([this] { Look(); });
}

// One message may stand for several mirrors' boards.
void Mirrors::Look() {
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (shadow->order().on()) {
      shadow->order().Look();
    }
  }
}

void Mirrors::OnBreaker(const Shadow* shadow) {
  for (const auto& [id, lane] : lanes_) {
    if (lane->shadow() == shadow) {
      lane->OnBreaker();
    }
  }
}

void Mirrors::Shed(const Gate* gate) {
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (shadow->gate() == gate && gate->contended()) {
      shadow->MakeRoom();
    }
  }
}

// -- open transactions ----------------------------------------------------------------------------

io::Task<void> Mirrors::Sweep() {
  while (!draining_) {
    co_await sweep_.Wait(tools_.loop->In(limits_.mirror_transaction_sweep));
    SweepOnce();
  }
}

// What has been open for long gives up its memory.
void Mirrors::SweepOnce() {
  const absl::Duration age = limits_.mirror_transaction_age;
  const auto swept = std::count_if(recorders_.begin(), recorders_.end(), [age](Recorder* recorder) {
    return recorder->UnloadIfOlder(age);
  });
  if (swept > 0) {
    base::Log(base::LogLevel::kInfo, "mirror.transactions_swept",
              {{"message", "Cleaned up expired transaction buffers"},
               {"transactions", swept},
               {"what", "they wait below --spill-dir until they end"}});
  }
}

// -- the end --------------------------------------------------------------------------------------

void Mirrors::OnUnreachable(Shadow* shadow) {
  if (!draining_) {
    return;
  }
  tasks_.Spawn(GiveUp(shadow));
}

// What is in the spill first: it says whose it is.
io::Task<void> Mirrors::GiveUp(Shadow* shadow) {
  if (shadow->spill() != nullptr) {
    co_await shadow->spill()->Close();
  }
  for (const auto& [id, lane] : lanes_) {
    if (lane->shadow() == shadow && !lane->connected()) {
      lane->Stop();
    }
  }
}

bool Mirrors::AnyFull(bool waits) const {
  return (overflow_ != nullptr && overflow_->IsFull(waits)) ||
         std::any_of(shadows_.begin(), shadows_.end(),
                     [waits](const auto& shadow) { return shadow->IsFull(waits); });
}

bool Mirrors::SpillsClosed() const {
  return std::all_of(shadows_.begin(), shadows_.end(), [](const auto& shadow) {
    return shadow->spill() == nullptr || shadow->spill()->closed();
  });
}

Lane* Mirrors::FindLane(uint64_t id) const {
  const auto found = lanes_.find(id);
  return found == lanes_.end() ? nullptr : found->second.get();
}

void Mirrors::OnAwayLost(const Shadow* shadow) {
  std::vector<Lane*> lanes;
  for (const auto& [id, lane] : lanes_) {
    if (lane->shadow() == shadow && lane->away() > 0) {
      lanes.push_back(lane.get());
    }
  }
  for (Lane* lane : lanes) {
    lane->OnAllAwayLost();
  }
}

io::Task<void> Mirrors::Drain(base::Deadline deadline) {
  draining_ = true;
  sweep_.Raise(io::Event::kStop);
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (shadow->health_check() != nullptr) {
      shadow->health_check()->Stop();
    }
    if (shadow->spill_replay() != nullptr) {
      shadow->spill_replay()->Stop();
    }
  }
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (!shadow->reachable()) {
      OnUnreachable(shadow.get());
    }
  }
  while (!lanes_.empty() && tools_.loop->now() < deadline) {
    co_await idle_.Wait(deadline);
  }
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (shadow->spill() != nullptr) {
      co_await shadow->spill()->Close();
    }
  }
  while (!SpillsClosed()) {
    co_await idle_.Wait();
  }
  std::vector<Lane*> left;
  for (const auto& [id, lane] : lanes_) {
    left.push_back(lane.get());
  }
  for (Lane* lane : left) {
    lane->Stop();
  }
  while (!lanes_.empty()) {
    co_await idle_.Wait();
  }
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    shadow->DiscardIdle();
    LogTotals(*shadow);
  }
  co_await tasks_.Join();
  if (capture_ != nullptr) {
    co_await capture_->Close();
  }
  if (overflow_ != nullptr) {
    co_await overflow_->Close();
  }
}

void Mirrors::Describe(base::MetricSink* sink, std::string_view labels) const {
  if (capture_ != nullptr) {
    capture_->metrics().Describe(sink, labels);
  }
  if (overflow_ != nullptr) {
    overflow_->metrics().Describe(sink, labels);
  }
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    std::string with_mirror(labels);
    with_mirror += with_mirror.empty() ? "" : ",";
    with_mirror += "mirror=\"" + shadow->server()->name + "\"";
    shadow->metrics().Describe(sink, with_mirror);
  }
}

}  // namespace mirror
