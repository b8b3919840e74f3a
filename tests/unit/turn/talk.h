// Talk: one connection's conversation with turn::Machine as short strings, so that a test reads as
// a transcript. Client("P B E S") and Server("1 2 C ZI") return what the machine made of it.
//
// Frames are one letter, the type byte, separated by blanks. The server's E is an ERROR, E! a
// FATAL one; ZI ZT ZE carry the status; H* is a Flush with a body it should not have. A client's
// frame may name another session than 7: Q@8.
//
// Ids are told from 1 for the first request after the start-up; "-" is none. A reply is told as
// its id and what it is: . passing, ~ async, C completed, I empty, s suspended, E failed, Z ready,
// X mismatch.
#pragma once

#include <string>
#include <string_view>

#include "turn/machine.h"

namespace turn {

class Talk {
 public:
  // Past the start-up, which is the session 7's.
  explicit Talk(uint32_t entries_max = 1000);
  // Still in the start-up.
  static Talk Starting() { return Talk(Start()); }

  std::string Client(std::string_view frames);
  std::string Server(std::string_view frames);
  // As Server, but tells the sessions.
  std::string Owners(std::string_view frames);
  std::string TakeOwn();
  Machine& machine() { return machine_; }

 private:
  struct Start {};
  explicit Talk(Start) : machine_(1000, 7) {}
  Reply Receive(std::string_view frame);

  Machine machine_;
};

}  // namespace turn
