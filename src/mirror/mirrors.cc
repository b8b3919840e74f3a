#include "mirror/mirrors.h"

#include <algorithm>

#include "base/log.h"
#include "pg/startup.h"

namespace mirror {
namespace {

constexpr size_t kCacheBytes = 1 << 20;
constexpr uint32_t kLaneEnded = 1;

// Sessions whose connections to a mirror may be exchanged: the same database and parameters.
std::string KeyOf(const backend::LoginFacts& facts) {
  std::string key = facts.database;
  for (const auto& [name, value] : facts.parameters) {
    key += '\0';
    key += name;
    key += '\0';
    key += value;
  }
  return key;
}

bool IsOff(std::string_view value) { return value == "off" || value == "false" || value == "0"; }

// standard_conforming_strings decides where a string ends: from the start-up parameters.
bool StandardStrings(const SessionFacts& facts) {
  constexpr std::string_view kName = "standard_conforming_strings";
  bool on = true;
  for (const auto& [name, value] : facts.parameters) {
    if (name == kName) {
      on = !IsOff(value);
    } else if (name == "options") {
      std::vector<pg::OptionSetting> settings;
      static_cast<void>(pg::ParseOptions(value, &settings));
      for (const pg::OptionSetting& setting : settings) {
        on = setting.name == kName ? !IsOff(setting.value) : on;
      }
    }
  }
  return on;
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

class Mirrors::WakeMessage final : public io::Message {
 public:
  WakeMessage(Mirrors* mirrors, uint64_t lane, bool placed)
      : mirrors_(mirrors), lane_(lane), placed_(placed) {}
  void Deliver() override { mirrors_->Wake(lane_, placed_); }

 private:
  Mirrors* const mirrors_;
  const uint64_t lane_;
  const bool placed_;
};

class Mirrors::ShedMessage final : public io::Message {
 public:
  ShedMessage(Mirrors* mirrors, const Gate* gate) : mirrors_(mirrors), gate_(gate) {}
  void Deliver() override { mirrors_->Shed(gate_); }

 private:
  Mirrors* const mirrors_;
  const Gate* const gate_;
};

Mirrors::Mirrors(const MirrorsTools& tools)
    : tools_(tools),
      limits_(tools.epoch->config.limits),
      idle_(tools.loop),
      tasks_(tools.loop) {
  const std::vector<config::Server>& servers = tools.epoch->config.mirrors;
  if (servers.empty()) {
    return;
  }
  cache_ = std::make_unique<sql::ClassifyCache>(kCacheBytes);
  recording_ = std::make_unique<base::Credit>(tools.shared->recording());
  names_ = std::make_unique<base::Credit>(tools.shared->names());
  for (size_t i = 0; i < servers.size(); ++i) {
    Shared::PerMirror* const shared = tools.shared->mirror(i);
    shadows_.push_back(std::make_unique<Shadow>(this, servers[i], shared));
    shared->gate.Register(this);
    shared->ledger.Watch(&shadows_[i]->metrics());
  }
}

Mirrors::~Mirrors() {
  for (size_t i = 0; i < shadows_.size(); ++i) {
    tools_.shared->mirror(i)->ledger.Unwatch(&shadows_[i]->metrics());
  }
}

std::unique_ptr<Recorder> Mirrors::Open(const SessionFacts& facts) {
  std::vector<Target*> targets;
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (Lane* lane = MakeLane(shadow.get(), facts); lane != nullptr) {
      targets.push_back(lane);
    }
  }
  if (targets.empty()) {
    return nullptr;
  }
  RecorderTools tools;
  tools.limits = &limits_;
  tools.loop = tools_.loop;
  tools.cache = cache_.get();
  tools.held = recording_.get();
  tools.names = names_.get();
  auto recorder = std::make_unique<Recorder>(tools, std::move(targets));
  recorder->SetStandardStrings(StandardStrings(facts));
  return recorder;
}

Lane* Mirrors::MakeLane(Shadow* shadow, const SessionFacts& facts) {
  backend::LoginFacts login;
  const bool one_database = !tools_.epoch->config.primary.dbname.empty();
  if (!shadow->Wants(facts.database, one_database, &login.database)) {
    return nullptr;
  }
  login.user = shadow->server()->user;
  login.password = shadow->server()->password;
  login.auth = shadow->server()->auth;
  login.deriver = tools_.deriver;
  login.parameters = facts.parameters;
  const std::string& application = shadow->server()->application_name;
  if (!application.empty()) {
    std::erase_if(login.parameters,
                  [](const auto& parameter) { return parameter.first == "application_name"; });
    login.parameters.emplace_back("application_name", application);
  }
  std::erase_if(login.parameters,
                [](const auto& parameter) { return parameter.first.starts_with("_pq_."); });
  std::string key = KeyOf(login);
  const uint64_t id = ++last_lane_;
  auto lane = std::make_unique<Lane>(shadow, id, facts.session, std::move(login), std::move(key));
  return lanes_.emplace(id, std::move(lane)).first->second.get();
}

// -- lanes ----------------------------------------------------------------------------------------

void Mirrors::Start(Lane* lane) { tasks_.Spawn(RunLane(lane)); }

io::Task<void> Mirrors::RunLane(Lane* lane) {
  co_await lane->Run();
  if (lane->ended()) {
    Retire(lane);
  }
}

void Mirrors::Retire(Lane* lane) {
  lane->LetGo();
  lanes_.erase(lane->id());
  idle_.Raise(kLaneEnded);
}

std::unique_ptr<Link> Mirrors::YieldOne(const Shadow* shadow) {
  for (const auto& [id, lane] : lanes_) {
    if (lane->shadow() == shadow) {
      std::unique_ptr<Link> link = lane->Yield();
      if (link != nullptr) {
        return link;
      }
    }
  }
  return nullptr;
}

void Mirrors::PostWake(uint64_t lane, bool placed) {
  tools_.loop->Post(std::make_unique<WakeMessage>(this, lane, placed));
}

void Mirrors::PostShed(Gate* gate) {
  tools_.loop->Post(std::make_unique<ShedMessage>(this, gate));
}

// A lane that waits for a place stays until it has it; one that waited for its turn may be gone.
void Mirrors::Wake(uint64_t lane, bool placed) {
  const auto found = lanes_.find(lane);
  if (found != lanes_.end()) {
    found->second->Wake(placed);
  }
}

void Mirrors::Shed(const Gate* gate) {
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (shadow->gate() == gate && gate->contended()) {
      shadow->MakeRoom();
    }
  }
}

// -- the end --------------------------------------------------------------------------------------

void Mirrors::OnUnreachable(const Shadow* shadow) {
  if (!draining_) {
    return;
  }
  for (const auto& [id, lane] : lanes_) {
    if (lane->shadow() == shadow && !lane->connected()) {
      lane->Stop();
    }
  }
}

io::Task<void> Mirrors::Drain(base::Deadline deadline) {
  draining_ = true;
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    if (!shadow->reachable()) {
      OnUnreachable(shadow.get());
    }
  }
  while (!lanes_.empty() && tools_.loop->now() < deadline) {
    co_await idle_.Wait(deadline);
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
}

void Mirrors::Describe(base::MetricSink* sink, std::string_view labels) const {
  for (const std::unique_ptr<Shadow>& shadow : shadows_) {
    std::string with_mirror(labels);
    with_mirror += with_mirror.empty() ? "" : ",";
    with_mirror += "mirror=\"" + shadow->server()->name + "\"";
    shadow->metrics().Describe(sink, with_mirror);
  }
}

}  // namespace mirror
