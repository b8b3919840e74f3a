#include "model.h"

namespace turn {
namespace {

enum class Result : uint8_t { kDone, kError, kFatal, kStopped };  // kStopped: no message to read

class Server {
 public:
  explicit Server(const std::vector<Message>& messages) : messages_(messages) {
    run_.replies.reserve(messages.size() * 4);
  }

  ModelRun Run() {
    while (next_ < messages_.size()) {
      current_ = next_++;
      const Message& message = messages_[current_];
      switch (message.type) {
        case 'Q':
        case 'F': extended_ = false; break;
        case 'P':
        case 'B':
        case 'D':
        case 'E':
        case 'C':
        case 'H': extended_ = true; break;
        case 'S':
          ignore_till_sync_ = false;
          extended_ = false;
          break;
      }
      if (ignore_till_sync_) continue;
      const Result result = Execute(message);
      if (result == Result::kStopped) return std::move(run_);
      if (result == Result::kFatal) {
        run_.end = End::kDead;
        return std::move(run_);
      }
      bool ready = message.type == 'Q' || message.type == 'F' || message.type == 'S';
      if (result == Result::kError) {
        Error(false);
        if (extended_) ignore_till_sync_ = true;
        ready = !ignore_till_sync_;
      }
      if (ready) Send('Z', message.status);
      if (!ignore_till_sync_) SendOwn();
      own_.clear();
    }
    run_.end = ignore_till_sync_ ? End::kSkipping : End::kIdle;
    return std::move(run_);
  }

 private:
  Result Execute(const Message& message) {
    switch (message.type) {
      case 'P': return Simple('1', message);
      case 'B': return Simple('2', message);
      case 'C': return Simple('3', message);
      case 'F': return Simple('V', message);
      case 'D':
        if (message.bad) return Result::kError;
        if (message.status == 'T') Send('t');
        Send(message.status == 'E' ? 'n' : 'T');
        return Result::kDone;
      case 'S':
      case 'H': return message.bad ? Result::kError : Result::kDone;
      case 'o': own_.push_back(current_); return Result::kDone;
      case 'Q':
      case 'E':
        if (message.bad) return Result::kError;
        for (const Step& step : message.statements()) {
          const Result result = Statement(step, message.type == 'Q');
          if (result != Result::kDone) return result;
        }
        return Result::kDone;
      default: return Result::kDone;  // CopyData, CopyDone, CopyFail outside COPY
    }
  }

  Result Simple(char answer, const Message& message) {
    if (message.bad) return Result::kError;
    Send(answer);
    return Result::kDone;
  }

  Result Statement(const Step& step, bool describe) {
    if (step.kind == StepKind::kCopyIn) return CopyIn(step);
    if (step.kind == StepKind::kCopyBoth) return CopyBoth(step);
    if (step.fails_at == 1) return Result::kError;
    const bool copy_out = step.kind == StepKind::kCopyOut;
    const bool rows = step.kind == StepKind::kRows || step.kind == StepKind::kSuspended;
    if (copy_out) Send('H');
    if (rows && describe) Send('T');
    for (uint32_t i = 0; (copy_out || rows) && i < step.rows; ++i) Send(copy_out ? 'd' : 'D');
    if (step.fails_at > 1) return Result::kError;
    if (copy_out) Send('c');
    Send(step.kind == StepKind::kEmpty ? 'I' : step.kind == StepKind::kSuspended ? 's' : 'C');
    return Result::kDone;
  }

  Result CopyIn(const Step& step) {
    Send('G');
    for (uint32_t read = 1;; ++read) {
      if (step.fails_at == read) return Result::kError;
      if (next_ == messages_.size()) {
        run_.end = End::kCopyIn;
        return Result::kStopped;
      }
      const uint32_t at = next_++;
      switch (messages_[at].type) {
        case 'd':
        case 'H':
        case 'S': break;
        case 'o': own_.push_back(at); break;
        case 'c':
          if (step.fails_at > read) return Result::kError;  // the last row was bad
          Send('C');
          return Result::kDone;
        case 'f': return Result::kError;
        default:
          Error(false);
          Error(true);
          return Result::kFatal;
      }
    }
  }

  Result CopyBoth(const Step& step) {
    Send('W');
    for (uint32_t i = 0; i < step.rows; ++i) Send('d');
    const bool server_first = step.rows == 2;
    if (server_first) Send('c');
    for (;;) {
      if (next_ == messages_.size()) {
        run_.end = End::kCopyBoth;
        return Result::kStopped;
      }
      const uint32_t at = next_++;
      if (messages_[at].type == 'd') continue;
      if (messages_[at].type == 'o') {
        own_.push_back(at);
        continue;
      }
      if (messages_[at].type != 'c') {
        Error(true);
        return Result::kFatal;
      }
      if (!server_first) Send('c');
      Send('C');
      return Result::kDone;
    }
  }

  void Send(char type, char status = 0) { Reply(type, current_).status = status; }
  void Error(bool fatal) { Reply('E', current_).fatal = fatal; }
  void SendOwn() {
    for (const uint32_t at : own_) Reply('o', at);
  }
  ModelReply& Reply(char type, uint32_t message) {
    ModelReply reply;
    reply.type = type;
    reply.message = message;
    reply.consumed = next_;
    return run_.replies.emplace_back(reply);
  }

  const std::vector<Message>& messages_;
  uint32_t next_ = 0;
  uint32_t current_ = 0;
  bool extended_ = false;  // doing_extended_query_message
  bool ignore_till_sync_ = false;
  std::vector<uint32_t> own_;  // own replies behind the message being executed
  ModelRun run_;
};

Step MakeStep(Choices* choices, bool query) {
  Step step;
  const uint32_t kind = choices->Below(12);
  if (kind < 4) {
    step.kind = StepKind::kRows;
  } else if (kind < 7) {
    step.kind = StepKind::kCopyIn;
  } else if (kind < 8) {
    step.kind = StepKind::kCopyOut;
  } else if (kind < 9 && query) {
    step.kind = StepKind::kCopyBoth;
  } else if (kind < 10 && !query) {
    step.kind = choices->OneIn(2) ? StepKind::kEmpty : StepKind::kSuspended;
  }
  step.rows = static_cast<uint8_t>(choices->Below(4));
  if (choices->OneIn(4)) step.fails_at = static_cast<uint8_t>(1 + choices->Below(4));
  return step;
}

// What a client sends next is mostly sensible: behind a COPY its data, and often its end.
void AddMessage(Choices* choices, char type, std::vector<Message>* messages) {
  Message message;
  message.type = type;
  message.bad = choices->OneIn(type == 'S' ? 24 : type == 'H' ? 3 : 12);
  message.status = "ITE"[choices->Below(3)];
  bool copies = false;
  if (type == 'Q' || type == 'E') {
    const uint32_t steps = type == 'E' ? 1 : 1 + choices->Below(Message::kStepsMax);
    while (message.count < steps) {
      const Step step = MakeStep(choices, type == 'Q');
      message.steps[message.count++] = step;
      copies = copies || step.kind == StepKind::kCopyIn || step.kind == StepKind::kCopyBoth;
    }
    if (type == 'Q' && choices->OneIn(10)) {
      message.count = 1;
      message.steps[0] = Step{StepKind::kEmpty, 0, 0};
    }
  }
  messages->push_back(message);
  if (!copies || choices->OneIn(8)) return;
  const bool syncs = choices->OneIn(4);
  for (uint32_t i = choices->Below(3); i > 0; --i) {
    AddMessage(choices, syncs && choices->OneIn(3) ? 'S' : "dddH"[choices->Below(4)], messages);
  }
  AddMessage(choices, choices->OneIn(6) ? 'f' : 'c', messages);
}

}  // namespace

std::vector<Message> MakeMessages(Choices* choices) {
  static constexpr std::string_view kTypes = "QQQPBDEEEECFSSSSHdcfoo";
  constexpr uint32_t kMost = 24;
  std::vector<Message> messages;
  messages.reserve(kMost * 4);
  // A fuzzer's short input is a short conversation, not one that goes on with the same message.
  for (uint32_t i = choices->Below(kMost); i > 0 && !choices->used_up(); --i) {
    AddMessage(choices, kTypes[choices->Below(kTypes.size())], &messages);
  }
  return messages;
}

ModelRun RunServer(const std::vector<Message>& messages) { return Server(messages).Run(); }

}  // namespace turn
