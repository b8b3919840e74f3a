// Converse: a recorder between a scripted client and a scripted server.
//
// Test support. The client's frames go through a real turn machine, which gives them their ids;
// the server's answers go through it too and become notes, as a backend::Connection makes them. A
// Shelf takes what is offered, as text: one line per unit.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mirror/recorder.h"
#include "turn/machine.h"
#include "unit/mirror/recording_shard.h"

namespace mirror {

// What was offered: "INSERT 1; INSERT 2", "dropped too_large", ...
class Shelf final : public Target {
 public:
  void Expect() override {}
  void Reserve(uint64_t stamp) override { reserved.push_back(stamp); }
  void Release(uint64_t stamp) override { released.push_back(stamp); }
  void Offer(Unit unit, Cause lost) override;
  void End() override { ended = true; }

  std::vector<std::string> units;
  std::vector<Unit> raw;
  std::vector<uint64_t> reserved;
  std::vector<uint64_t> released;
  bool ended = false;
};

class Converse : public RecordingShard {
 public:
  explicit Converse(base::Limits limits = {}, int64_t budget = 64 << 20,
                    const config::Config& config = WithOneMirror(), size_t mirrors = 1,
                    uint64_t session = 1);
  ~Converse();

  // -- the client -------------------------------------------------------------------------------
  Converse& Send(std::string_view frame, size_t pieces = 1);
  Converse& Query(std::string_view text);
  Converse& Parse(std::string_view name, std::string_view text);
  Converse& Bind(std::string_view portal, std::string_view name, std::string_view value = "");
  Converse& Execute(std::string_view portal = "", uint32_t rows = 0);
  Converse& CloseStatement(std::string_view name);
  Converse& Sync();
  Converse& CopyData(std::string_view bytes);
  Converse& CopyDone();
  Converse& OneShot(std::string_view text);  // Parse, Bind, Execute, all unnamed
  Converse& Answered(char type, std::string_view body);  // by the session, without a server

  // -- the server: frames by their letters -------------------------------------------------------
  // "1 2 C:INSERT 0 1|Z:I": '|' parts frames; E:sqlstate, C:tag, Z:status, any other a bare frame.
  Converse& Reply(std::string_view script);
  Converse& Part(std::string_view frame, size_t pieces = 1);  // a whole frame of rows
  Converse& Report(std::string_view setting);  // a ParameterStatus: "name=value"

  // A simple Query and its whole answer: tags parted by ',', "!23505" for an error.
  Converse& Ask(std::string_view text, std::string_view tags, char status = 'I');

  void End() { recorder.reset(); }
  const std::vector<std::string>& units() const { return shelf.units; }

  std::vector<Shelf> shelves;  // one for each mirror
  Shelf& shelf;                // the first of them
  std::vector<MirrorMetrics> metrics;
  turn::Machine machine;
  std::unique_ptr<Recorder> recorder;

 private:
  void Answer(std::string_view frame);
};

}  // namespace mirror
