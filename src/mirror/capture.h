// Capture: writes what the sessions of one shard commit, reads included, to a record log.
//
// Owned by the shard's Mirrors. It is one more target of each recorder; nobody waits for it. What
// waits for the disk is bounded by kPendingMax; beyond it, and once the log has failed, whole
// transactions are left out and counted. docs/capture.md is the page on the files.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "base/counters.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/record_log.h"
#include "io/scope.h"
#include "mirror/capture_format.h"
#include "mirror/mirror_metrics.h"
#include "mirror/recorder.h"
#include "mirror/redact.h"

namespace mirror {

// Makes the folder that captures go to; it must not be there. Blocking, before the shards start.
absl::Status MakeCaptureFolder(const std::string& folder);

struct CaptureMetrics {
  base::Counter transactions;  // on stable storage
  base::Counter bytes;         // of them
  base::Counter left_out;      // committed, and not in the capture
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

class Capture {
 public:
  static constexpr int64_t kPendingMax = 64 << 20;  // bytes

  // Blocking. `number`: tells the shards' logs apart. Where its log cannot be opened it says so
  // once and leaves everything out.
  Capture(io::Loop* loop, const config::Config& config, uint32_t number);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Where a session's units go, until its End().
  Target* Open(uint64_t session, CapturedSession facts);
  // What recorders count for this target; means nothing to a capture.
  MirrorMetrics* unused() { return &unused_; }
  const CaptureMetrics& metrics() const { return metrics_; }
  // After the sessions have ended: waits until what they left is written.
  io::Task<void> Close();

 private:
  class Session;

  void Write(std::string record, bool is_transaction);
  io::Task<void> Append(std::string record, bool is_transaction);
  void LeaveOut(std::string_view why);
  // False: there is no room.
  bool HasRoom(size_t bytes) const;

  io::Loop* const loop_;
  const Redactor redactor_;
  std::unique_ptr<io::RecordLog> log_;  // null: it could not be opened
  std::unordered_map<uint64_t, std::unique_ptr<Session>> sessions_;
  CaptureMetrics metrics_;
  MirrorMetrics unused_;
  int64_t pending_ = 0;  // bytes that wait for the disk
  bool told_ = false;    // true exactly when the log has a line on what is left out
  io::Scope tasks_;
};

}  // namespace mirror
