#include "mirror/capture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace mirror {

absl::Status MakeCaptureFolder(const std::string& folder) {
  static_cast<void>(rmdir(folder.c_str()));  // a start that failed may have left it empty
  if (mkdir(folder.c_str(), S_IRWXU) == 0) {
    return absl::OkStatus();
  }
  if (errno == EEXIST) {
    return base::InvalidArgument("--capture: there is something of that name already");
  }
  return base::ErrnoError("--capture: mkdir", errno);
}

void CaptureMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_capture_transactions", "Transactions that are on disk.", labels, transactions);
  sink->Add("pgbraid_capture_bytes", "Bytes of their records.", labels, bytes);
  sink->Add("pgbraid_capture_left_out", "Committed transactions that the capture lacks.", labels,
            left_out);
}

// One session's units, in its order; its facts go before the first.
class Capture::Session final : public Target {
 public:
  Session(Capture* capture, uint64_t session, CapturedSession facts)
      : capture_(capture), session_(session), facts_(std::move(facts)) {}

  void Expect() override {}
  void Reserve(uint64_t stamp) override { static_cast<void>(stamp); }
  void Release(uint64_t stamp) override { static_cast<void>(stamp); }
  void Offer(Unit unit, Cause lost) override;
  void End() override {
    const uint64_t session = session_;
    capture_->sessions_.erase(session);
  }

 private:
  Capture* const capture_;
  const uint64_t session_;
  const CapturedSession facts_;
  bool told_ = false;  // true exactly when the facts have been written
};

void Capture::Session::Offer(Unit unit, Cause lost) {
  std::string record;
  if (lost == Cause::kNone && unit.stored()) {
    lost = Cause::kTooLarge;  // what waits on the disk for a mirror is not read again for this
  }
  if (lost != Cause::kNone) {
    AppendLost(&record, session_, lost);
    capture_->metrics_.left_out.Add();
  } else {
    if (!capture_->HasRoom(static_cast<size_t>(unit.bytes))) {
      capture_->LeaveOut("the disk is too slow");
      return;
    }
    const Unit kept = capture_->redactor_.Redact(std::move(unit));
    AppendCapturedUnit(&record, session_, kept, absl::Now());
  }
  std::string facts;
  if (!told_) {
    AppendSession(&facts, session_, facts_);
  }
  if (!capture_->HasRoom(facts.size() + record.size())) {
    if (lost == Cause::kNone) {
      capture_->LeaveOut("the disk is too slow");
    }
    return;
  }
  if (!told_) {
    told_ = true;
    capture_->Write(std::move(facts), false);
  }
  capture_->Write(std::move(record), lost == Cause::kNone);
}

Capture::Capture(io::Loop* loop, const config::Config& config, uint32_t number)
    : loop_(loop), redactor_(config.capture_redaction), tasks_(loop) {
  absl::StatusOr<std::unique_ptr<io::RecordLog>> log = io::RecordLog::Open(
      loop, config.capture + "/" + std::to_string(number), io::RecordLogOptions());
  if (log.ok()) {
    log_ = std::move(*log);
    return;
  }
  told_ = true;
  base::Log(base::LogLevel::kError, "capture.stopped",
            {{"why", base::Message(log.status())}, {"cost", "this shard captures nothing"}});
}

Capture::~Capture() = default;

Target* Capture::Open(uint64_t session, CapturedSession facts) {
  std::unique_ptr<Session>& place = sessions_[session];
  place = std::make_unique<Session>(this, session, std::move(facts));
  return place.get();
}

bool Capture::HasRoom(size_t bytes) const {
  return log_ != nullptr && log_->failure().ok() && bytes < io::kRecordBytesMax &&
         pending_ + static_cast<int64_t>(bytes) <= kPendingMax;
}

void Capture::LeaveOut(std::string_view why) {
  metrics_.left_out.Add();
  if (!told_) {
    told_ = true;
    base::Log(base::LogLevel::kWarn, "capture.left_out",
              {{"why", why}, {"cost", "pgbraid_capture_left_out counts what is lacking"}});
  }
}

void Capture::Write(std::string record, bool is_transaction) {
  pending_ += static_cast<int64_t>(record.size());
  tasks_.Spawn(Append(std::move(record), is_transaction));
}

io::Task<void> Capture::Append(std::string record, bool is_transaction) {
  const absl::StatusOr<uint64_t> sequence = co_await log_->Append(record);
  pending_ -= static_cast<int64_t>(record.size());
  if (!is_transaction) {
    co_return;
  }
  if (sequence.ok()) {
    metrics_.transactions.Add();
    metrics_.bytes.Add(record.size());
  } else {
    LeaveOut(base::Message(sequence.status()));
  }
}

io::Task<void> Capture::Close() {
  co_await tasks_.Join();
  if (log_ != nullptr) {
    co_await log_->Close();
  }
}

}  // namespace mirror
