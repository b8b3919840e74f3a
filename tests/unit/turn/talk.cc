#include "talk.h"

#include <functional>

#include "base/bytes.h"

namespace turn {
namespace {

std::string Frame(char type, std::string_view body) {
  std::string frame(1, type);
  base::AppendBe32(&frame, static_cast<uint32_t>(body.size() + 4));
  return frame.append(body);
}

pg::Piece Whole(std::string_view frame) {
  pg::Piece piece;
  piece.type = frame[0];
  piece.first = piece.last = true;
  piece.bytes = frame;
  piece.body = frame.substr(pg::kHeaderBytes);
  piece.body_length = static_cast<uint32_t>(piece.body.size());
  return piece;
}

std::string ErrorBody(std::string_view severity) {
  std::string body = "SFEHLER";
  body += '\0';
  body.append("V").append(severity) += '\0';
  body.append("C57014") += '\0';
  return body += '\0';
}

std::string IdText(RequestId id) { return id == 0 ? "-" : std::to_string(id - 1); }

// Calls `tell` for each blank-separated word and joins what it returns.
std::string ForEachWord(std::string_view words,
                        const std::function<std::string(std::string_view)>& tell) {
  std::string told;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (!told.empty()) told += ' ';
    told += tell(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return told;
}

char KindLetter(ReplyKind kind) {
  switch (kind) {
    case ReplyKind::kPassing: return '.';
    case ReplyKind::kAsync: return '~';
    case ReplyKind::kCompleted: return 'C';
    case ReplyKind::kEmpty: return 'I';
    case ReplyKind::kSuspended: return 's';
    case ReplyKind::kFailed: return 'E';
    case ReplyKind::kReady: return 'Z';
    case ReplyKind::kMismatch: return 'X';
  }
  return '?';
}

}  // namespace

Talk::Talk(uint32_t entries_max) : machine_(entries_max, 7) { Server("R S K ZI"); }

std::string Talk::Client(std::string_view frames) {
  return ForEachWord(frames, [this](std::string_view word) -> std::string {
    uint64_t owner = 7;
    if (const size_t at = word.find('@'); at != std::string_view::npos) {
      owner = std::stoull(std::string(word.substr(at + 1)));
      word = word.substr(0, at);
    }
    const std::string frame = Frame(word[0], word.ends_with('*') ? "x" : "");
    switch (machine_.OnRequest(Whole(frame), owner)) {
      case RequestResult::kOk: return IdText(machine_.last_request());
      case RequestResult::kFull: return "full";
      case RequestResult::kUnexpected: return "unexpected";
    }
    return "?";
  });
}

Reply Talk::Receive(std::string_view word) {
  std::string body(word.substr(1));
  if (word[0] == 'E') body = ErrorBody(body == "!" ? "FATAL" : "ERROR");
  const std::string frame = Frame(word[0], body);
  return machine_.OnReply(Whole(frame));
}

std::string Talk::Server(std::string_view frames) {
  return ForEachWord(frames, [this](std::string_view word) {
    const Reply reply = Receive(word);
    return IdText(reply.request) + KindLetter(reply.kind);
  });
}

std::string Talk::Owners(std::string_view frames) {
  return ForEachWord(frames, [this](std::string_view word) {
    return std::to_string(Receive(word).owner);
  });
}

std::string Talk::TakeOwn() {
  std::string taken;
  machine_.TakeOwnReplies(&taken);
  return taken;
}

}  // namespace turn
