#include "tests/load/turn_plan.h"

#include <arpa/inet.h>

#include <cstdio>
#include <cstring>
#include <utility>

namespace load {

namespace {

void Put32(std::string& out, uint32_t value) {
  value = htonl(value);
  out.append(reinterpret_cast<const char*>(&value), 4);
}

void Put16(std::string& out, uint32_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}

void PutText(std::string& out, std::string_view text) {
  out.append(text);
  out.push_back('\0');
}

void PutFrame(std::string& out, char type, std::string_view body) {
  out.push_back(type);
  Put32(out, static_cast<uint32_t>(body.size() + 4));
  out.append(body);
}

void PutQuery(std::string& out, std::string_view text) {
  std::string body;
  PutText(body, text);
  PutFrame(out, 'Q', body);
}

void PutParse(std::string& out, std::string_view name, std::string_view text) {
  std::string body;
  PutText(body, name);
  PutText(body, text);
  Put16(body, 0);
  PutFrame(out, 'P', body);
}

// Bind of one text parameter to the unnamed portal, Describe and Execute of it, Sync.
void PutRun(std::string& out, std::string_view statement, std::string_view value) {
  std::string body;
  PutText(body, "");
  PutText(body, statement);
  Put16(body, 0);
  Put16(body, 1);
  Put32(body, static_cast<uint32_t>(value.size()));
  body.append(value);
  Put16(body, 0);
  PutFrame(out, 'B', body);
  PutFrame(out, 'D', std::string_view("P\0", 2));
  PutFrame(out, 'E', std::string_view("\0\0\0\0\0", 5));
  PutFrame(out, 'S', {});
}

constexpr std::array<std::string_view, kKinds> kKindNames = {
    "simple", "many",   "unnamed", "named",   "pipeline", "transaction",
    "error",  "notice", "copy",    "setting", "timeout",  "cancel"};

Plan Alone(Turn turn) {
  Plan plan(1);
  plan.back().turns.push_back(std::move(turn));
  return plan;
}

}  // namespace

std::string_view NameOf(Kind kind) { return kKindNames.at(static_cast<size_t>(kind)); }

uint32_t Get32(const char* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, 4);
  return ntohl(value);
}

std::string Startup(const std::string& user, const std::string& database, const std::string& name) {
  std::string body;
  Put32(body, 3 << 16);
  PutText(body, "user");
  PutText(body, user);
  PutText(body, "database");
  PutText(body, database);
  PutText(body, "application_name");
  PutText(body, name);
  body.push_back('\0');
  std::string out;
  Put32(out, static_cast<uint32_t>(body.size() + 4));
  return out + body;
}

std::string PasswordMessage(std::string_view password) {
  std::string body;
  PutText(body, password);
  std::string out;
  PutFrame(out, 'p', body);
  return out;
}

std::string CancelRequest(std::string_view key) {
  std::string out;
  Put32(out, static_cast<uint32_t>(key.size() + 8));
  Put32(out, 80877102);
  return out.append(key);
}

std::string Planner::Nonce() {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "nonce:%zu.%llu.%016llx", client_,
                static_cast<unsigned long long>(++counter_),
                static_cast<unsigned long long>(random_()));
  return text.data();
}

std::string Planner::FirstName() const { return "nonce:" + std::to_string(client_) + ".first"; }

void Planner::Reset() {
  prepared_.fill(false);
  name_ = FirstName();
}

Turn Planner::Simple(const std::string& text, std::vector<std::string> rows) const {
  Turn turn;
  PutQuery(turn.bytes, text);
  turn.rows = std::move(rows);
  return turn;
}

Turn Planner::Unnamed() {
  Turn turn;
  const std::string nonce = Nonce();
  // Half of the texts are everybody's, half are this client's own.
  const std::string own = random_() % 2 == 0 ? "" : " /* " + std::to_string(client_) + " */";
  PutParse(turn.bytes, "", "SELECT $1::text" + own);
  PutRun(turn.bytes, "", nonce);
  turn.rows.push_back(nonce);
  return turn;
}

Turn Planner::Named() {
  Turn turn;
  const size_t which = random_() % kNames;
  const std::string name = "s" + std::to_string(which);
  const std::string own = "." + std::to_string(client_) + "." + std::to_string(which);
  if (!prepared_.at(which)) {
    PutParse(turn.bytes, name, "SELECT $1::text || '" + own + "'");
    turn.prepares = static_cast<int>(which);
  }
  const std::string nonce = Nonce();
  PutRun(turn.bytes, name, nonce);
  turn.rows.push_back(nonce + own);
  return turn;
}

Turn Planner::Copy() {
  const std::string nonce = Nonce();
  const size_t count = 1 + random_() % 50;
  return Simple("COPY (SELECT '" + nonce + "' FROM generate_series(1, " + std::to_string(count) +
                    ")) TO STDOUT",
                std::vector<std::string>(count, nonce));
}

Plan Planner::Pipeline() {
  Plan plan(1);
  const size_t count = 2 + random_() % 11;
  bool named = false;
  for (size_t i = 0; i < count; ++i) {
    // Two in one flight could both find the same name unparsed.
    const bool name_it = !named && random_() % 4 == 0;
    named = named || name_it;
    plan[0].turns.push_back(name_it ? Named() : Unnamed());
  }
  return plan;
}

Plan Planner::Transaction() {
  Plan plan;
  plan.push_back(Alone(Simple("BEGIN", {}))[0]);
  const size_t count = 1 + random_() % 4;
  for (size_t i = 0; i < count; ++i) {
    const std::string nonce = Nonce();
    Turn turn = i % 2 == 0 ? Simple("SELECT '" + nonce + "'", {nonce}) : Unnamed();
    plan.push_back(Alone(std::move(turn))[0]);
  }
  plan.push_back(Alone(Simple(random_() % 4 == 0 ? "ROLLBACK" : "COMMIT", {}))[0]);
  return plan;
}

Plan Planner::Timeout() {
  Plan plan;
  plan.push_back(Alone(Simple("BEGIN; SET LOCAL statement_timeout = 3", {}))[0]);
  Turn late = Simple("SELECT '" + Nonce() + "' FROM pg_sleep(20)", {});
  late.error = "57014";
  plan.push_back(Alone(std::move(late))[0]);
  plan.push_back(Alone(Simple("ROLLBACK", {}))[0]);
  return plan;
}

Plan Planner::Make(Kind kind) {
  const std::string nonce = Nonce();
  const std::string quoted = "'" + nonce + "'";
  switch (kind) {
    case Kind::kSimple:
      return Alone(Simple("SELECT " + quoted, {nonce}));
    case Kind::kMany:
      return Alone(
          Simple("SELECT " + quoted + "; SELECT " + quoted + " || 'b'", {nonce, nonce + "b"}));
    case Kind::kUnnamed:
      return Alone(Unnamed());
    case Kind::kNamed:
      return Alone(Named());
    case Kind::kPipeline:
      return Pipeline();
    case Kind::kTransaction:
      return Transaction();
    case Kind::kError: {
      Turn turn = Simple("SELECT " + quoted + "::text::int", {});
      turn.error = "22P02";
      turn.error_text = nonce;
      return Alone(std::move(turn));
    }
    case Kind::kNotice: {
      Turn turn = Simple("DO $$BEGIN RAISE NOTICE " + quoted + "; END$$", {});
      turn.notice = nonce;
      return Alone(std::move(turn));
    }
    case Kind::kCopy:
      return Alone(Copy());
    case Kind::kSetting: {
      if (random_() % 4 != 0) return Alone(Simple("SHOW application_name", {name_}));
      Turn turn = Simple("SET application_name = " + quoted, {});
      turn.name_set = nonce;
      return Alone(std::move(turn));
    }
    case Kind::kTimeout:
      return Timeout();
    case Kind::kCancel:
    case Kind::kCount: {
      // Some are over when the request comes, some are still queued, some are caught asleep.
      const std::string time = random_() % 3 == 0 ? "0.005" : "0.1";
      Plan plan = Alone(Simple("SELECT " + quoted + " FROM pg_sleep(" + time + ")", {nonce}));
      plan[0].cancel = true;
      return plan;
    }
  }
  return {};
}

}  // namespace load
