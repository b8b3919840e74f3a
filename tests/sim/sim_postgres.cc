#include "sim/sim_postgres.h"

#include <sstream>

#include "base/crypto.h"
#include "pg/builders.h"
#include "support/pg_messages.h"

namespace sim {
namespace {

constexpr uint32_t kCancelCode = 80877102;

}  // namespace

struct SimPostgres::Conversation {
  explicit Conversation(io::Loop* loop) : wire(loop) {}
  Wire wire;
  std::string user;
  std::map<std::string, std::string> statements;
  std::string portal;          // the text bound last
  std::string copying;         // the nonce of a COPY IN that runs
  bool copy_simple = false;
  bool skipping = false;       // after an error, until Sync
  bool dead = false;
  char status = 'I';
};

void SimPostgres::OnAccepted(int descriptor) { serving_.Spawn(Serve(descriptor)); }

io::Task<void> SimPostgres::Serve(int descriptor) {
  Conversation with(loop_);
  with.wire.stream.Adopt(descriptor, io::Traffic::kClient);
  const bool in = co_await LogIn(&with);
  Frame frame;
  bool go_on = in;
  while (go_on && !with.dead) {
    const bool more = co_await with.wire.NextFrame(&frame, base::Deadline::Never());
    go_on = more && Handle(&with, frame);
  }
  // Dying, it takes back what it had not sent yet.
  const base::Deadline until = with.dead ? loop_->now() : loop_->In(absl::Seconds(60));
  co_await with.wire.stream.Close(until);
}

io::Task<bool> SimPostgres::LogIn(Conversation* with) {
  std::string packet;
  const bool came = co_await with->wire.NextPacket(&packet, base::Deadline::Never());
  if (!came || packet.size() < 4) {
    co_return false;
  }
  if (base::LoadBe32(packet.data()) == kCancelCode) {
    ++cancels_;
    if (!keys_.contains(packet.substr(4))) {
      ++wrong_cancels_;
    }
    co_return false;
  }
  size_t at = 4;
  while (at < packet.size()) {
    const std::string name = TakeText(packet, &at);
    const std::string value = TakeText(packet, &at);
    if (name == "user") {
      with->user = value;
    }
  }
  const std::string secret = base::SecureRandom(4);
  const uint32_t pid = next_pid_++;
  keys_[support::Be32(pid) + secret] = with->user;
  std::string hello;
  pg::AppendAuthenticationOk(&hello);
  static_cast<void>(pg::AppendParameterStatus(&hello, "server_version", "15.0"));
  static_cast<void>(pg::AppendBackendKeyData(&hello, pid, secret));
  pg::AppendReadyForQuery(&hello, 'I');
  Say(with, hello);
  co_return true;
}

// One message, with whatever a server may say before it of its own accord.
void SimPostgres::Say(Conversation* with, std::string_view message) {
  if (with->dead) {
    return;
  }
  if (death_ != 0 && prng_->OneIn(death_)) {
    ++deaths_;
    with->dead = true;
    return;
  }
  std::string out;
  if (prng_->OneIn(20)) {
    const pg::ErrorText notice{.severity = "NOTICE", .sqlstate = "00000", .message = with->user};
    pg::AppendNoticeResponse(&out, notice);
  }
  if (prng_->OneIn(40)) {
    static_cast<void>(pg::AppendParameterStatus(&out, "application_name", with->user));
  }
  if (prng_->OneIn(40)) {
    out += support::Frame('A', support::Be32(1) + support::CString("c") +
                                   support::CString(with->user));
  }
  out += message;
  with->wire.stream.WriteCopy(out);
}

void SimPostgres::Execute(Conversation* with, const std::string& text, bool simple) {
  std::istringstream words(text);
  std::string verb;
  words >> verb;
  int count = 0;
  if (verb == "rows" || verb == "copyout") {
    words >> count;
  }
  std::string nonce;
  words >> nonce;
  if (verb == "rows") {
    if (simple) {
      Say(with, support::RowDescription({"n"}));
    }
    for (int i = 0; i < count; ++i) {
      Say(with, support::DataRow({nonce, std::string(prng_->Below(300), 'r')}));
    }
    Say(with, support::CommandComplete("SELECT " + std::to_string(count)));
  } else if (verb == "copyout") {
    Say(with, support::CopyResponse('H', 1));
    for (int i = 0; i < count; ++i) {
      Say(with, support::Frame('d', nonce + "\n"));
    }
    Say(with, support::Frame('c', ""));
    Say(with, support::CommandComplete("COPY " + std::to_string(count)));
  } else if (verb == "copyin") {
    with->copying = nonce;
    with->copy_simple = simple;
    Say(with, support::CopyResponse('G', 1));
  } else if (verb == "fail") {
    std::string error;
    const pg::ErrorText said{.severity = "ERROR", .sqlstate = "22012", .message = nonce};
    pg::AppendErrorResponse(&error, said);
    Say(with, error);
    with->skipping = !simple;
    with->status = with->status == 'T' ? 'E' : with->status;
  } else {
    const bool copied = verb == "copied";
    if (!copied) {
      with->status = verb == "begin" ? 'T' : 'I';
    }
    Say(with, support::CommandComplete(copied ? "COPY 1" : verb == "begin" ? "BEGIN" : "COMMIT"));
  }
}

// False when the client has said goodbye.
bool SimPostgres::Handle(Conversation* with, const Frame& frame) {
  std::string ready;
  pg::AppendReadyForQuery(&ready, with->status);
  if (!with->copying.empty()) {
    if (frame.type == 'c' || frame.type == 'f') {
      const std::string nonce = std::exchange(with->copying, "");
      Execute(with, frame.type == 'c' ? "copied" : "fail " + nonce, with->copy_simple);
      if (with->copy_simple) {
        ready.clear();
        pg::AppendReadyForQuery(&ready, with->status);
        Say(with, ready);
      }
    }
    return frame.type != 'X';
  }
  if (frame.type == 'X') {
    return false;
  }
  size_t at = 0;
  if (frame.type == 'Q') {
    Execute(with, TakeText(frame.body, &at), true);
    if (with->copying.empty()) {
      ready.clear();
      pg::AppendReadyForQuery(&ready, with->status);
      Say(with, ready);
    }
    return true;
  }
  if (frame.type == 'S') {
    with->skipping = false;
    Say(with, ready);
    return true;
  }
  if (with->skipping) {
    return true;
  }
  if (frame.type == 'P') {
    const std::string name = TakeText(frame.body, &at);
    with->statements[name] = TakeText(frame.body, &at);
    Say(with, support::Frame('1', ""));
  } else if (frame.type == 'B') {
    static_cast<void>(TakeText(frame.body, &at));
    with->portal = with->statements[TakeText(frame.body, &at)];
    Say(with, support::Frame('2', ""));
  } else if (frame.type == 'D') {
    Say(with, support::RowDescription({"n"}));
  } else if (frame.type == 'E') {
    Execute(with, with->portal, false);
  } else if (frame.type == 'C') {
    Say(with, support::Frame('3', ""));
  }
  return true;
}

}  // namespace sim
