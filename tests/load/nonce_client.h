// One client of the nonce load: logs in, sends its plans, and compares every frame that comes back
// with the turn it must answer. It knows bytes and turns; sockets and time are nonce_load.cc's.
//
// Single-threaded. A frame that no turn explains is a fault, which is described and counted; the
// caller then closes the connection. Holds one incomplete frame (bound: kFrameMax).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "tests/load/turn_plan.h"

namespace load {

struct Login {
  std::string user = "postgres";
  std::string database = "postgres";
  std::string password;  // sent only if asked for in the clear
};

// What reading brought about.
enum class Reading : uint8_t {
  kGoesOn,    // nothing the caller need know
  kFree,      // logged in, nothing owed: the next batch may go
  kLost,      // the server side said FATAL (it was killed, or is full); text() says what
  kMismatch,  // an answer that is not this client's; text() says what
};

class NonceClient {
 public:
  NonceClient(size_t number, const Login& login, Random& random)
      : number_(number), login_(login), planner_(number, random) {}

  // A new connection: what goes out first.
  [[nodiscard]] std::string Start();
  [[nodiscard]] Planner& planner() { return planner_; }

  // The turns of a batch are owed from now on; the bytes to send.
  [[nodiscard]] std::string Begin(const Batch& batch);

  // Bytes from the server; `reply` is what must be sent in answer during login.
  Reading Read(std::string_view bytes, std::string* reply);

  // A CancelRequest of ours is planned or under way, until its connection has been closed by the
  // other side. What runs meanwhile may end in 57014, and what follows in its transaction in 25P02:
  // it is this client's own doing. What begins after that may not be hit any more.
  void OnCancelPlanned() { ++cancels_; }
  void OnCancelOver() { --cancels_; }

  [[nodiscard]] bool free() const { return ready_ && owed_.empty(); }
  // True once after a cancel of ours has ended a turn outside of a transaction: what the plan still
  // holds may have counted on it (its BEGIN, say).
  [[nodiscard]] bool TakeBrokenOff() { return std::exchange(broken_off_, false); }
  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] uint64_t checked() const { return checked_; }
  [[nodiscard]] uint64_t cancelled() const { return cancelled_; }

 private:
  struct Owed {
    Turn turn;
    size_t row = 0;          // rows that came
    bool failed = false;     // an error came
    bool cancelled = false;  // it was our own cancel's
    bool noticed = false;
    bool tolerant = false;  // a cancel of ours may hit it
  };

  Reading OnFrame(char type, std::string_view body, std::string* reply);
  Reading OnLogin(char type, std::string_view body, std::string* reply);
  Reading OnRow(std::string_view value);
  Reading OnError(std::string_view body);
  Reading OnNotice(std::string_view body);
  Reading OnParameter(std::string_view body);
  Reading OnReady(std::string_view body);
  Reading Wrong(std::string what);
  [[nodiscard]] bool Foreign(std::string_view text) const;

  size_t number_;
  const Login& login_;
  Planner planner_;
  std::deque<Owed> owed_;
  std::string input_;
  std::string key_;
  std::string text_;
  bool ready_ = false;
  bool broken_off_ = false;
  char status_ = 'I';
  int cancels_ = 0;
  uint64_t checked_ = 0;
  uint64_t cancelled_ = 0;
};

}  // namespace load
