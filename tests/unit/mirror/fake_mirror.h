// FakeMirror: a scripted PostgreSQL on a loopback socket, as a mirror's lanes see it.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "io/address.h"
#include "support/pg_messages.h"

namespace mirror {

// A mirror that answers each Query with success, unless it is told otherwise.
class FakeMirror {
 public:
  FakeMirror() {
    Open();
    sockaddr_in bound{};
    socklen_t length = sizeof bound;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length);
    port = ntohs(bound.sin_port);
  }
  void Open() {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    EXPECT_EQ(setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    const io::Address any = *io::Address::Numeric("127.0.0.1", port);
    EXPECT_EQ(bind(listener_, any.get(), any.length()), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
  }
  // From now on dials are refused.
  void Leave() {
    Hang();
    close(listener_);
    listener_ = -1;
  }
  ~FakeMirror() {
    Hang();
    if (listener_ >= 0) {
      close(listener_);
    }
  }
  void Turn() {
    for (int accepted; (accepted = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      ++logins;
      peers_.push_back(Peer{.descriptor = accepted});
    }
    for (Peer& peer : peers_) {
      char buffer[4096];
      for (ssize_t got; (got = recv(peer.descriptor, buffer, sizeof buffer, 0)) > 0;) {
        peer.bytes.append(buffer, static_cast<size_t>(got));
      }
      while (!silent && Take(&peer)) {
      }
    }
    std::erase_if(peers_,
                  [](const Peer& peer) { return peer.gone && close(peer.descriptor) == 0; });
  }
  // As DEALLOCATE ALL within a function.
  void ForgetStatements() {
    for (Peer& peer : peers_) {
      peer.statements.clear();
    }
  }
  // Closes every connection.
  void Hang() {
    for (const Peer& peer : peers_) {
      close(peer.descriptor);
    }
    peers_.clear();
  }

  // True exactly when it has got that and not taken it.
  bool Holds(std::string_view text) const {
    return std::any_of(peers_.begin(), peers_.end(), [text](const Peer& peer) {
      return peer.bytes.find(text) != std::string::npos;
    });
  }

  uint16_t port = 0;
  int logins = 0;
  bool silent = false;                 // reads and does not answer
  std::string hold;                    // a Query that it does not take until this is another
  std::string hold_too;                // likewise
  std::function<std::string(const std::string&)> tag;  // of a statement, or ""
  std::function<std::string(const std::string&)> rows;  // whole frames before its tag, or ""
  std::vector<std::string> heard;      // texts of Queries
  std::map<std::string, int> parses;   // how often each was parsed
  size_t most_statements = 0;          // that a connection had by name
  std::function<std::string(const std::string&)> answer;  // an SQLSTATE, or ""

 private:
  struct Peer {
    int descriptor = -1;
    std::string bytes = "";
    bool in = false;
    bool failed = false;
    bool block = false;
    bool gone = false;
    bool skips = false;  // until Sync
    std::map<std::string, std::string> statements = {};
    std::string portal = "";
  };
  bool Take(Peer* peer) {
    const size_t header = peer->in ? 1 : 0;
    if (peer->bytes.size() < header + 4) {
      return false;
    }
    const size_t length = base::LoadBe32(peer->bytes.data() + header) + header;
    if (peer->bytes.size() < length) {
      return false;
    }
    const std::string frame = peer->bytes.substr(0, length);
    for (const std::string& held : {hold, hold_too}) {
      if (!held.empty() && frame.find(held) != std::string::npos) {
        return false;
      }
    }
    peer->bytes.erase(0, length);
    std::string out;
    if (!peer->in) {
      peer->in = true;
      out = support::Frame('R', support::Be32(0)) + support::Frame('Z', "I");
    } else if (frame[0] == 'X') {
      peer->gone = true;
    } else if (frame[0] == 'Q') {
      out = Run(peer, frame.substr(5, length - 6));
      peer->skips = false;
      out += support::Frame('Z', Status(*peer));
    } else if (frame[0] == 'S') {
      peer->skips = false;
      out = support::Frame('Z', Status(*peer));
    } else if (peer->skips) {
      return true;
    } else if (frame[0] == 'P') {
      const std::string name(frame.c_str() + 5);
      const std::string text(frame.c_str() + 6 + name.size());
      ++parses[text];
      out = !name.empty() && peer->statements.contains(name) ? Fail(peer, "42P05")
                                                             : support::Frame('1', "");
      peer->statements[name] = text;
      most_statements = std::max(most_statements, peer->statements.size());
    } else if (frame[0] == 'C') {
      peer->statements.erase(frame.c_str() + 6);
      out = support::Frame('3', "");
    } else if (frame[0] == 'B') {
      const auto statement = peer->statements.find(frame.c_str() + 6);  // of the unnamed portal
      const bool there = statement != peer->statements.end();
      peer->portal = there ? statement->second : "";
      out = there ? support::Frame('2', "") : Fail(peer, "26000");
    } else if (frame[0] == 'E') {
      out = Run(peer, peer->portal);
    }
    EXPECT_EQ(send(peer->descriptor, out.data(), out.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(out.size()));
    return true;
  }
  static std::string Fail(Peer* peer, const std::string& sqlstate) {
    peer->skips = true;
    peer->failed = peer->block;
    return support::Frame('E', support::CString("SERROR") + support::CString("VERROR") + "C" +
                                   support::CString(sqlstate) + std::string(1, '\0'));
  }
  static std::string Status(const Peer& peer) {
    return peer.failed ? "E" : peer.block ? "T" : "I";
  }
  std::string Run(Peer* peer, const std::string& text) {
    heard.push_back(text);
    std::string sqlstate = answer ? answer(text) : "";
    std::string done = tag ? tag(text) : "";
    done = done.empty() ? "INSERT 0 1" : done;
    if (text.starts_with("BEGIN")) {
      peer->block = true;
      done = "BEGIN";
    } else if (text == "COMMIT" || text == "ROLLBACK") {
      done = peer->failed ? "ROLLBACK" : text;
      peer->block = peer->failed = false;
    } else if (peer->failed) {
      sqlstate = "25P02";
    }
    peer->failed = peer->block && (peer->failed || !sqlstate.empty());
    if (text == "DEALLOCATE ALL" || text.ends_with("; DEALLOCATE ALL")) {
      peer->statements.clear();
    }
    if (!sqlstate.empty()) {
      return Fail(peer, sqlstate);
    }
    return (rows ? rows(text) : std::string()) + support::CommandComplete(done);
  }

  int listener_ = -1;
  std::vector<Peer> peers_;
};

}  // namespace mirror
