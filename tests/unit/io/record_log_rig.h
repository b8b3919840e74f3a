// A record log in a loop of its own, and what is asked of one.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/record_log.h"
#include "unit/io/folder.h"
#include "unit/io/rig.h"

namespace io_test {

using Appended = absl::StatusOr<uint64_t>;

inline io::Task<void> AppendOne(io::RecordLog* log, std::string payload, Appended* result) {
  Appended appended = co_await log->Append(payload);
  *result = appended;
}

inline io::Task<void> CloseIt(io::RecordLog* log) { co_await log->Close(); }

inline io::Task<void> ReleaseIt(io::RecordLog* log, uint64_t through, absl::Status* result) {
  absl::Status released = co_await log->Release(through);
  *result = released;
}

// A loop and a log in it.
class LogRig {
 public:
  explicit LogRig(const std::string& folder, const io::RecordLogOptions& options = {})
      : rig_(Kind::kEpoll, NoSockets()) {
    absl::StatusOr<std::unique_ptr<io::RecordLog>> opened =
        io::RecordLog::Open(rig_.loop(), folder, options);
    status_ = opened.status();
    if (opened.ok()) {
      log_ = *std::move(opened);
    }
  }
  ~LogRig() { Close(); }
  void Close() {
    if (log_ != nullptr) {
      rig_.scope().Spawn(CloseIt(log_.get()));
      EXPECT_TRUE(rig_.Join());
      log_.reset();
    }
  }

  const absl::Status& status() const { return status_; }
  io::RecordLog& log() { return *log_; }
  Rig& rig() { return rig_; }

  // All at once; results in the order of the payloads.
  std::vector<Appended> Append(const std::vector<std::string>& payloads) {
    std::vector<Appended> results(payloads.size());
    for (size_t i = 0; i < payloads.size(); ++i) {
      rig_.scope().Spawn(AppendOne(log_.get(), payloads[i], &results[i]));
    }
    EXPECT_TRUE(rig_.Join());
    return results;
  }
  Appended Append(const std::string& payload) { return Append(std::vector{payload}).front(); }
  absl::Status Release(uint64_t through) {
    absl::Status result;
    rig_.scope().Spawn(ReleaseIt(log_.get(), through, &result));
    EXPECT_TRUE(rig_.Join());
    return result;
  }

 private:
  static Sizes NoSockets() {
    Sizes sizes;
    sizes.shape = io::ReceiveShape{4, 4096};
    return sizes;
  }

  Rig rig_;
  absl::Status status_;
  std::unique_ptr<io::RecordLog> log_;
};

struct Contents {
  std::map<uint64_t, std::string> records;
  absl::Status status;
};

inline Contents ReadLog(const std::string& folder) {
  Contents contents;
  absl::StatusOr<io::LogFolder> found = io::LookInto(folder);
  if (!found.ok()) {
    contents.status = found.status();
    return contents;
  }
  io::RecordReader reader(*std::move(found));
  io::Record record;
  for (;;) {
    const absl::StatusOr<bool> more = reader.Next(&record);
    contents.status = more.status();
    if (!more.ok() || !*more) {
      return contents;
    }
    EXPECT_TRUE(contents.records.emplace(record.sequence, record.payload).second);
  }
}

inline std::vector<std::string> SegmentsOf(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".segment") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

inline std::vector<std::string> Numbered(int from, int count, size_t bytes = 0) {
  std::vector<std::string> payloads;
  for (int i = from; i < from + count; ++i) {
    payloads.push_back("record " + std::to_string(i) + " " + std::string(bytes, '.'));
  }
  return payloads;
}

inline io::RecordLogOptions SmallSegments() {
  io::RecordLogOptions options;
  options.segment_bytes = 4096;
  options.group_bytes = 1024;
  return options;
}

// A log of several segments, closed.
inline void Fill(const std::string& folder) {
  LogRig run(folder, SmallSegments());
  for (const Appended& appended : run.Append(Numbered(1, 40, 300))) {
    ASSERT_TRUE(appended.ok()) << base::Message(appended.status());
  }
  ASSERT_GE(run.log().segments(), 3u);
}

inline bool Mentions(const absl::Status& status, std::string_view text) {
  return base::Message(status).find(text) != std::string_view::npos;
}

}  // namespace io_test
