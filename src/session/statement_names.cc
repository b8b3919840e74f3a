#include "session/statement_names.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/fault_point.h"
#include "pg/builders.h"

namespace session {
namespace {

constexpr std::string_view kOurs = "pgbraid_";  // how the names of shared statements begin
constexpr size_t kTextKept = 1024;  // bytes of memory for a text that is not needed now
constexpr std::string_view kNowhere = "pgbraid_changed";  // no statement has this name

std::unique_ptr<sql::SessionEffects> EffectsOf(std::string_view text) {
  if (!sql::MayHaveEffects(text)) {
    return nullptr;
  }
  sql::SessionEffects effects = sql::ReadEffects(text);
  return effects.flags == 0 ? nullptr : std::make_unique<sql::SessionEffects>(std::move(effects));
}

// Begins `*frame` anew: the header of one whose body has `body` bytes.
void WriteHeader(char type, size_t body, std::string* frame) {
  frame->clear();
  frame->push_back(type);
  base::AppendBe32(frame, static_cast<uint32_t>(body + 4));
}

// Types as a Parse message has them: their number and OIDs.
std::string_view TypesOf(const pg::ParseView& parse) {
  return std::string_view(parse.types.data() - 2, parse.types.size() + 2);
}

}  // namespace

// -- what is sent in front ------------------------------------------------------------------------

void StatementNames::ParseAhead(std::string_view name, std::string_view text,
                                std::string_view types, backend::Pooled* to) {
  std::string frame;
  WriteHeader('P', name.size() + text.size() + types.size() + 2, &frame);
  frame += name;
  frame += '\0';
  frame += text;
  frame += '\0';
  frame += types;
  to->connection.Ask(frame);
}

// The connection may hold somebody's unnamed statement: the server is to say that there is none.
void StatementNames::CloseUnnamed(backend::Pooled* to) {
  std::string frame;
  if (to->unnamed_of != 0 && !HISTORICAL_BUG("e9-a-strangers-unnamed-statement") &&
      pg::AppendClose(&frame, 'S', "")) {
    to->connection.Ask(frame);
    to->unnamed_of = 0;
  }
}

// True if the connection has the statement. In an outdated form it is closed first.
bool StatementNames::Has(const backend::Statement& statement, backend::Pooled* to) {
  const backend::Held held = to->prepared.Touch(&statement);
  std::string frame;
  if (held == backend::Held::kOutdated && pg::AppendClose(&frame, 'S', statement.name)) {
    to->connection.Ask(frame);
  }
  return held == backend::Held::kYes;
}

// What the client calls `name`, on the connection, which then has it.
StatementNames::Found StatementNames::Find(std::string_view name, backend::Pooled* to) {
  effects_ = nullptr;
  if (name.empty()) {
    if (long_unnamed_) {
      return Found{nullptr, ""};
    }
    if (!unnamed_.valid) {
      CloseUnnamed(to);
      return Found{nullptr, ""};
    }
    effects_ = unnamed_.effects.get();
    if (to->unnamed_of != session_ || to->unnamed_number != unnamed_.number) {
      ParseAhead("", unnamed_.text, unnamed_.types, to);
      to->unnamed_of = session_;
      to->unnamed_number = unnamed_.number;
    }
    return Found{nullptr, ""};
  }
  const auto found = names_.find(name);
  if (found == names_.end()) {
    if (!name.starts_with(kOurs)) {
      return Found{nullptr, name};  // the server says that it does not exist
    }
    odd_name_ = "?" + std::string(name);
    return Found{nullptr, odd_name_};
  }
  Known& known = found->second;
  effects_ = known.effects.get();
  used_ = known.statement;
  if (!Has(*known.statement, to)) {
    ParseAhead(known.statement->name, known.statement->text, known.statement->types, to);
    to->prepared.Add(known.statement, to->connection.machine().last_request());
  }
  return Found{&known, known.statement->name};
}

// -- the client's frames --------------------------------------------------------------------------

void StatementNames::NextFrame() {
  last_ = Last::kOther;
  effects_ = nullptr;
  used_ = nullptr;
  refuses_ = false;
}

StatementNames::Way StatementNames::OnParse(std::string_view body, std::string_view context,
                                            bool failed, backend::Pooled* to) {
  NextFrame();
  const std::optional<pg::ParseView> parse = pg::ReadParse(body);
  if (!parse.has_value() || to->connection.machine().skipping()) {
    return Way::kAsItIs;  // the server refuses it, or does not look at it
  }
  if (parse->name.empty()) {
    to->unnamed_of = session_;
    to->unnamed_number = ++last_unnamed_;
    return OnUnnamed(*parse);
  }
  if (names_.contains(parse->name)) {
    return Duplicate(parse->name, to);
  }
  if (names_.size() >= kNamesMax) {
    return Way::kTooMany;
  }
  Known known;
  known.statement = table_->Use(parse->text, TypesOf(*parse), context);
  known.epoch = known.statement->epoch;
  known.effects = EffectsOf(parse->text);
  last_ = Last::kParsed;
  last_name_ = parse->name;
  effects_ = known.effects.get();
  last_there_ = Has(*known.statement, to);
  const bool asks = !last_there_ || failed;
  if (asks) {
    // One that is there is parsed as the unnamed statement: what counts is whether it may be.
    const std::string name = last_there_ ? "" : known.statement->name;
    to->unnamed_of = last_there_ ? turn::kNobody : to->unnamed_of;
    WriteHeader('P', body.size() - parse->name.size() + name.size(), &rewritten_);
    rewritten_ += name;
    rewritten_ += body.substr(parse->name.size());
  }
  names_.emplace(last_name_, std::move(known));
  answer_ = pg::kParseComplete;
  return asks ? Way::kRewritten : Way::kAnswered;
}

bool StatementNames::OnParseAlone(std::string_view body, std::string_view context) {
  const std::optional<pg::ParseView> parse = pg::ReadParse(body);
  if (!parse.has_value() || parse->name.empty() || names_.size() >= kNamesMax ||
      names_.contains(parse->name)) {
    return false;
  }
  Known known;
  known.statement = table_->UseProven(parse->text, TypesOf(*parse), context);
  if (known.statement == nullptr) {
    return false;
  }
  known.epoch = known.statement->epoch;
  known.effects = EffectsOf(parse->text);
  names_.emplace(std::string(parse->name), std::move(known));
  return true;
}

StatementNames::Way StatementNames::OnUnnamed(const pg::ParseView& parse) {
  const bool settled = unnamed_.request == 0;
  std::swap(unnamed_, before_);
  before_.valid = before_.valid && settled;
  unnamed_.text = parse.text;
  unnamed_.types = TypesOf(parse);
  unnamed_.effects = EffectsOf(parse.text);
  unnamed_.number = last_unnamed_;
  unnamed_.valid = true;
  long_unnamed_ = false;
  effects_ = unnamed_.effects.get();
  last_ = Last::kUnnamed;
  return Way::kAsItIs;
}

// A Parse of a name that is taken: the server itself is to say so, in words that hold this name.
StatementNames::Way StatementNames::Duplicate(std::string_view name, backend::Pooled* to) {
  ParseAhead(name, "", std::string_view("\0\0", 2), to);
  residue_ = name;
  return Way::kAsItIs;
}

std::optional<StatementNames::Way> StatementNames::OnBind(std::string_view start,
                                                          uint32_t body_length,
                                                          backend::Pooled* to) {
  NextFrame();
  if (to->connection.machine().skipping()) {
    return Way::kAsItIs;
  }
  const size_t portal_end = start.find('\0');
  const size_t end =
      portal_end == std::string_view::npos ? portal_end : start.find('\0', portal_end + 1);
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view name = start.substr(portal_end + 1, end - portal_end - 1);
  Found found = Find(name, to);
  const Rows rows = std::exchange(rows_, Rows::kUnknown);
  if (found.known != nullptr && describes_ &&
      found.known->epoch != found.known->statement->epoch) [[unlikely]] {
    if (rows == Rows::kUnknown && start.size() == body_length) {
      return Way::kDoubtful;
    }
    refuses_ = rows != Rows::kTold;
    found.known->epoch = found.known->statement->epoch;
  }
  if (refuses_) {
    found.name = kNowhere;
    effects_ = nullptr;
    used_ = nullptr;
  }
  if (found.name == name) {
    return Way::kAsItIs;
  }
  WriteHeader('B', body_length - name.size() + found.name.size(), &rewritten_);
  rewritten_ += start.substr(0, portal_end + 1);
  rewritten_ += found.name;
  rewritten_ += start.substr(end);
  return Way::kRewritten;
}

StatementNames::Way StatementNames::OnTarget(char type, std::string_view body,
                                             backend::Pooled* to) {
  NextFrame();
  const std::optional<pg::TargetView> target = pg::ReadTarget(body);
  describes_ = describes_ || type == 'D';
  if (!target.has_value() || target->kind != 'S' || to->connection.machine().skipping()) {
    return Way::kAsItIs;
  }
  if (type == 'C') {
    return OnClose(target->name);
  }
  const Found found = Find(target->name, to);
  effects_ = nullptr;  // it is not run
  if (found.known != nullptr) {
    found.known->epoch = found.known->statement->epoch;
  }
  if (found.name == target->name) {
    return Way::kAsItIs;
  }
  WriteHeader(type, found.name.size() + 2, &rewritten_);
  rewritten_ += 'S';
  rewritten_ += found.name;
  rewritten_ += '\0';
  return Way::kRewritten;
}

// The connection keeps the statement, for others and for the next time.
StatementNames::Way StatementNames::OnClose(std::string_view name) {
  if (name.empty()) {
    unnamed_.valid = false;
    return Way::kAsItIs;
  }
  const auto found = names_.find(name);
  if (found == names_.end()) {
    return name.starts_with(kOurs) ? Way::kAnswered : Way::kAsItIs;
  }
  last_ = Last::kClosed;
  last_name_ = name;
  closed_ = std::move(found->second);
  names_.erase(found);
  answer_ = pg::kCloseComplete;
  return Way::kAnswered;
}

void StatementNames::OnLongUnnamed(backend::Pooled* to) {
  if (to->connection.machine().skipping()) {
    return;  // the server does not look at it
  }
  unnamed_.valid = false;
  long_unnamed_ = true;
  to->unnamed_of = session_;
  to->unnamed_number = ++last_unnamed_;
}

void StatementNames::OnQuery(backend::Pooled* to) {
  unnamed_.valid = false;
  long_unnamed_ = false;
  to->unnamed_of = 0;
  effects_ = nullptr;
}

// -- what became of them --------------------------------------------------------------------------

void StatementNames::OnForwarded(turn::RequestId request, backend::Pooled* to) {
  if (used_ != nullptr) {
    to->prepared.OnUse(request, used_);
  }
  if (last_ == Last::kParsed) {
    if (!last_there_) {
      to->prepared.Add(names_[last_name_].statement, request);
    }
    pending_.push_back(Pending{request, last_name_, false, false, {}});
  } else if (last_ == Last::kUnnamed) {
    unnamed_.request = request;
  }
  last_ = Last::kOther;
}

void StatementNames::OnAnswered(turn::RequestId request) {
  if (last_ == Last::kParsed) {
    pending_.push_back(Pending{request, last_name_, false, false, {}});
  } else if (last_ == Last::kClosed) {
    pending_.push_back(Pending{request, last_name_, true, false, std::move(closed_)});
  }
  last_ = Last::kOther;
}

void StatementNames::OnToldOfChange(const backend::Statement* statement) {
  for (auto& [name, known] : names_) {
    if (known.statement == statement) {
      known.epoch = statement->epoch;
    }
  }
}

// What the client calls, or has called until now, the statement of this name; else "".
std::string_view StatementNames::ClientsName(std::string_view ours) const {
  for (const auto& [name, known] : names_) {
    if (known.statement->name == ours) {
      return name;
    }
  }
  for (const Pending& pending : pending_) {
    if (pending.closed && pending.known.statement->name == ours) {
      return pending.name;
    }
  }
  return "";
}

bool StatementNames::InClientsWords(const pg::Piece& error, std::string* instead) const {
  std::string_view rest = error.body;
  std::string body;
  for (size_t at = rest.find(kOurs); at != std::string_view::npos; at = rest.find(kOurs)) {
    const size_t end = rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789", at);
    const std::string_view ours = rest.substr(at, end - at);
    const std::string_view name = ClientsName(ours);
    const bool odd = at > 0 && !odd_name_.empty() && rest.substr(at - 1).starts_with(odd_name_);
    body += rest.substr(0, odd ? at - 1 : at);
    body += name.empty() ? ours : name;
    rest.remove_prefix(at + ours.size());
  }
  if (body.empty() || !error.whole()) {
    return false;
  }
  body += rest;
  WriteHeader('E', body.size(), instead);
  *instead += body;
  return true;
}

void StatementNames::Doubt(turn::RequestId request) {
  doubted_.push_back(Doubted{request, std::exchange(names_, {})});
}

void StatementNames::OnDeallocated() {
  if (doubted_.empty()) {  // it stood in a text that was not read
    Clear();
    return;
  }
  LetGo(&doubted_.front().names);
  doubted_.erase(doubted_.begin());
}

void StatementNames::Restore(Doubted* doubted) {
  for (auto& [name, known] : doubted->names) {
    if (names_.contains(name)) {
      table_->LetGo(known.statement);
    } else {
      names_.emplace(name, std::move(known));
    }
  }
}

void StatementNames::LetGo(Names* names) {
  for (const auto& [name, known] : *names) {
    table_->LetGo(known.statement);
  }
  names->clear();
}

bool StatementNames::OnFailed(turn::RequestId first, turn::RequestId end) {
  std::erase_if(doubted_, [&](Doubted& doubted) {
    const bool of_it =
        doubted.request >= first && (doubted.request < end || doubted.request == first);
    if (of_it) {
      Restore(&doubted);
    }
    return of_it;
  });
  const auto failed = [&](turn::RequestId request) {
    return request >= first && (request < end || request == first);
  };
  bool left = false;
  if (unnamed_.request != 0 && failed(unnamed_.request)) {
    // Its Parse has failed, and the server has none; or was not looked at.
    const bool skipped = unnamed_.request != first;
    std::swap(unnamed_, before_);
    unnamed_.valid = unnamed_.valid && skipped;
    unnamed_.request = 0;
  }
  // The last one first: a name may have been closed and parsed again.
  for (auto at = pending_.rbegin(); at != pending_.rend(); ++at) {
    if (!failed(at->request)) {
      continue;
    }
    left = left || at->raw;
    if (at->closed) {
      names_[at->name] = std::move(at->known);
    } else if (const auto found = names_.find(at->name); found != names_.end()) {
      table_->LetGo(found->second.statement);
      names_.erase(found);
    }
  }
  std::erase_if(pending_, [&](const Pending& pending) { return failed(pending.request); });
  return left;
}

void StatementNames::Settle() {
  for (Doubted& doubted : doubted_) {
    Restore(&doubted);
  }
  doubted_.clear();
  for (const Pending& pending : pending_) {
    if (pending.closed) {
      table_->LetGo(pending.known.statement);
    }
  }
  pending_.clear();
  unnamed_.request = 0;
  before_.valid = false;
  if (before_.text.capacity() > kTextKept) {
    before_ = Unnamed();
  }
}

void StatementNames::Clear() {
  Settle();
  LetGo(&names_);
}

void StatementNames::PrepareDeallocate(std::string_view name, bool simple, backend::Pooled* to) {
  if (!names_.contains(name) || to->connection.machine().skipping()) {
    return;
  }
  ParseAhead(name, "", std::string_view("\0\0", 2), to);
  std::string sync;
  pg::AppendSync(&sync);
  if (simple) {
    to->connection.Ask(sync);
  }
}

void StatementNames::OnDeallocate(const std::string& name, turn::RequestId request) {
  const auto found = names_.find(name);
  if (found == names_.end() || request == 0) {
    return;
  }
  pending_.push_back(Pending{request, name, true, true, std::move(found->second)});
  names_.erase(found);
}

bool StatementNames::CloseAlone(std::string_view name) {
  if (name.empty()) {
    unnamed_.valid = false;
  }
  const auto found = names_.find(name);
  if (found == names_.end()) {
    return false;
  }
  table_->LetGo(found->second.statement);
  names_.erase(found);
  return true;
}

}  // namespace session
