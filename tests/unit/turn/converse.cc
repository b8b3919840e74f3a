// Takes the machine through a conversation that the model has decided.
#include <algorithm>
#include <vector>

#include "model.h"
#include "turn/machine.h"

namespace turn {
namespace {

class Conversation {
 public:
  explicit Conversation(Choices* choices)
      : choices_(choices),
        messages_(MakeMessages(choices)),
        run_(RunServer(messages_)),
        machine_(1000, 1) {
    Receive('Z', "I");
    ids_.reserve(messages_.size());
  }

  Told Run() {
    while (told_.failure.empty() &&
           (sent_ < messages_.size() || delivered_ < run_.replies.size())) {
      const bool may_deliver =
          delivered_ < run_.replies.size() && run_.replies[delivered_].consumed <= sent_;
      if (sent_ == messages_.size() || (may_deliver && choices_->OneIn(2))) {
        Deliver();
      } else {
        Send();
      }
      machine_.TakeOwnReplies(&own_);
    }
    if (told_.failure.empty()) CheckEnd();
    told_.ambiguous = machine_.ambiguous();
    told_.replies = run_.replies.size();
    if (!told_.failure.empty()) told_.failure += Transcript();
    return told_;
  }

 private:
  void Send() {
    const Message& message = messages_[sent_];
    RequestResult result;
    if (message.type == 'o') {
      result = machine_.AddOwnReply(OwnText(sent_), Owner(sent_));
      ids_.push_back(0);
    } else {
      pg::Piece piece;
      piece.type = message.type;
      piece.first = piece.last = true;
      piece.body_length = message.bad ? 1 : 0;
      result = machine_.OnRequest(piece, Owner(sent_));
      ids_.push_back(machine_.last_request());
    }
    if (result != RequestResult::kOk) told_.failure = "a request was refused";
    ++sent_;
  }

  void Deliver() {
    const ModelReply& expected = run_.replies[delivered_++];
    if (expected.type == 'o') {
      const std::string text = OwnText(expected.message);
      if (own_.starts_with(text)) {
        own_.erase(0, text.size());
      } else if (!machine_.ambiguous()) {
        told_.failure = "own reply is late: " + text;
      }
      return;
    }
    if (!own_.empty() && !machine_.ambiguous()) {
      told_.failure = "own reply is early: " + own_;
      return;
    }
    if (choices_->OneIn(5)) {
      const Reply async = Receive("NAS"[choices_->Below(3)], "");
      if (async.kind != ReplyKind::kAsync) told_.failure = "async frame was not async";
    }
    const Reply reply = Receive(expected.type, Body(expected));
    if (reply.kind == ReplyKind::kMismatch) {
      told_.failure = "mismatch";
    } else if (!machine_.ambiguous()) {
      CheckReply(expected, reply);
    }
  }

  void CheckReply(const ModelReply& expected, const Reply& reply) {
    if (reply.kind == ReplyKind::kFailed && machine_.failed()) {
      // A fatal error may come behind the error that dropped its request: it is nobody's.
      if (run_.end != End::kDead) told_.failure = "an error that is not fatal was";
    } else if (reply.request == 0 || reply.request != ids_[expected.message]) {
      told_.failure = "answer of another request: " + std::to_string(reply.request);
    } else if (reply.owner != Owner(expected.message)) {
      told_.failure = "answer of another session";
    } else if (reply.kind != KindOf(expected.type)) {
      told_.failure = "kind of reply";
    } else if (expected.type == 'Z' && machine_.status() != expected.status) {
      told_.failure = "status";
    }
  }

  void CheckEnd() {
    const bool dead = run_.end == End::kDead;
    if (machine_.failed() != dead) told_.failure = "failed()";
    if (dead) return;
    if (machine_.ambiguous()) {
      if (machine_.poolable()) told_.failure = "ambiguous, and yet poolable";
      return;
    }
    const bool copying = run_.end == End::kCopyIn || run_.end == End::kCopyBoth;
    if (machine_.owes() != copying) told_.failure = "owes()";
    if (machine_.skipping() != (run_.end == End::kSkipping)) told_.failure = "skipping()";
    if (machine_.copy_in() != (run_.end == End::kCopyIn)) told_.failure = "copy_in()";
    if (machine_.copy_both() != (run_.end == End::kCopyBoth)) told_.failure = "copy_both()";
    if (!own_.empty()) told_.failure = "own reply that nobody expects: " + own_;
    const bool idle = run_.end == End::kIdle && machine_.status() == 'I';
    if (machine_.poolable() != idle) told_.failure = "poolable()";
  }

  Reply Receive(char type, std::string_view body) {
    pg::Piece piece;
    piece.type = type;
    piece.first = piece.last = true;
    piece.body = body;
    piece.body_length = static_cast<uint32_t>(body.size());
    return machine_.OnReply(piece);
  }

  static ReplyKind KindOf(char type) {
    switch (type) {
      case 'C': return ReplyKind::kCompleted;
      case 'I': return ReplyKind::kEmpty;
      case 's': return ReplyKind::kSuspended;
      case 'E': return ReplyKind::kFailed;
      case 'Z': return ReplyKind::kReady;
      default: return ReplyKind::kPassing;
    }
  }
  static std::string_view Body(const ModelReply& reply) {
    if (reply.type == 'Z') return {&reply.status, 1};
    if (reply.type != 'E') return {};
    return reply.fatal ? std::string_view("VFATAL\0", 8) : std::string_view("VERROR\0", 8);
  }
  // Turns of several sessions follow each other, and one may have more than one request in a row.
  static uint64_t Owner(size_t message) { return 1 + message / 3; }
  static std::string OwnText(size_t message) { return "<" + std::to_string(message) + ">"; }

  // What was sent and delivered so far, to be read by a person.
  std::string Transcript() const {
    std::string text = "\n  sent " + std::to_string(sent_) + " of:";
    for (const Message& message : messages_) {
      text.append(" ") += message.type;
      for (const Step& step : message.statements()) {
        text += "TCIsGHW"[static_cast<size_t>(step.kind)];
        if (step.fails_at > 0) text += "!" + std::to_string(step.fails_at);
      }
      if (message.bad) text += '!';
    }
    text += "\n  delivered " + std::to_string(delivered_) + " of:";
    for (const ModelReply& reply : run_.replies) {
      text.append(" ") += reply.type;
      text += std::to_string(reply.message);
    }
    return text + "\n";
  }

  Choices* choices_;
  const std::vector<Message> messages_;
  const ModelRun run_;
  Machine machine_;
  std::vector<RequestId> ids_;  // of each message sent
  size_t sent_ = 0;
  size_t delivered_ = 0;
  std::string own_;  // own replies taken and not yet expected
  Told told_;
};

}  // namespace

Told Converse(Choices* choices) { return Conversation(choices).Run(); }

}  // namespace turn
