#include "protocol/conversation.h"

#include <utility>

#include "pg/frame_reader.h"
#include "pg/startup.h"
#include "pg/trace.h"

namespace protocol {
namespace {

constexpr uint32_t kHeldMax = 256;
constexpr uint32_t kFirstHeld = 16;

// Reads the frames of one direction.
class Direction {
 public:
  explicit Direction(pg::Side side) : reader_(side, kHeldMax, kFirstHeld), trace_(side) {}

  void Read(std::string_view chunk, std::string* lines) {
    sent_ += chunk;
    reader_.Feed(chunk);
    pg::Piece piece;
    for (;;) {
      switch (reader_.Next(&piece)) {
        case pg::ReadResult::kPiece:
          seen_ += piece.bytes;
          trace_.Add(piece, lines);
          continue;
        case pg::ReadResult::kMore:
          return;
        case pg::ReadResult::kBad:
          *lines += "! " + std::string(reader_.error()) + "\n";
          return;
      }
    }
  }
  void Finish(std::string* lines) const {
    if (seen_ != sent_ || reader_.mid_frame()) {
      *lines += "! pieces are not the bytes sent\n";
    }
  }

 private:
  pg::FrameReader reader_;
  pg::Trace trace_;
  std::string sent_;
  std::string seen_;
};

// Reads start-up packets.
class Opening {
 public:
  void Read(std::string_view chunk, std::string* lines) {
    received_ += chunk;
    pg::StartupPacket packet;
    pg::StartupError error;
    switch (pg::ParseStartup(received_, {}, &packet, &error)) {
      case pg::StartupResult::kMore:
        return;
      case pg::StartupResult::kBad:
        *lines += "! " + error.message + "\n";
        received_.clear();
        return;
      case pg::StartupResult::kComplete:
        pg::TraceStartup(packet, lines);
        last_ = packet.kind;
        received_.erase(0, packet.length);
        return;
    }
  }
  pg::StartupKind last() const { return last_; }

 private:
  std::string received_;
  pg::StartupKind last_ = pg::StartupKind::kStartupMessage;
};

}  // namespace

Conversation& Conversation::Add(Kind kind, std::string bytes) {
  steps_.push_back({.kind = kind, .bytes = std::move(bytes)});
  return *this;
}

std::vector<std::string> Conversation::ChunksOf(const Step& step, size_t index, const Cut& cut) {
  std::vector<std::string> chunks;
  if (cut.every_byte) {
    for (const char c : step.bytes) {
      chunks.emplace_back(1, c);
    }
  } else if (cut.step == index) {
    chunks.push_back(step.bytes.substr(0, cut.offset));
    chunks.push_back(step.bytes.substr(cut.offset));
  } else {
    chunks.push_back(step.bytes);
  }
  return chunks;
}

std::string Conversation::Read(const Cut& cut) const {
  std::string lines;
  Opening opening;
  Direction client(pg::Side::kFrontend);
  Direction server(pg::Side::kBackend);
  for (size_t i = 0; i < steps_.size(); ++i) {
    for (const std::string& chunk : ChunksOf(steps_[i], i, cut)) {
      switch (steps_[i].kind) {
        case Kind::kStartup:
          opening.Read(chunk, &lines);
          break;
        case Kind::kAnswer:
          pg::TraceNegotiation(opening.last(), chunk.empty() ? '?' : chunk[0], &lines);
          break;
        case Kind::kClient:
          client.Read(chunk, &lines);
          break;
        case Kind::kServer:
          server.Read(chunk, &lines);
          break;
      }
    }
  }
  client.Finish(&lines);
  server.Finish(&lines);
  return lines;
}

}  // namespace protocol
