#include "turn/machine.h"

#include <utility>

#include "base/check.h"
#include "base/fault_point.h"

namespace turn {
namespace {

// The severity of an ErrorResponse is FATAL or PANIC: field V (never translated, since 9.6), else
// field S. Both stand first, so a body that is not whole is good enough.
bool EndsConnection(std::string_view body) {
  std::string_view severity;
  while (!body.empty() && body.front() != '\0') {
    const char field = body.front();
    const size_t end = body.find('\0');
    const std::string_view value =
        end == std::string_view::npos ? body.substr(1) : body.substr(1, end - 1);
    if (field == 'S' || field == 'V') severity = value;
    if (field == 'V' || end == std::string_view::npos) break;
    body.remove_prefix(end + 1);
  }
  return severity == "FATAL" || severity == "PANIC";
}

size_t HeapBytes(const std::string& text) {
  return text.capacity() > std::string().capacity() ? text.capacity() : 0;
}

}  // namespace

Machine::Machine(uint32_t entries_max, uint64_t startup_owner) : entries_max_(entries_max) {
  CHECK(entries_max >= 1);
  Add(Kind::kStartup, startup_owner);
}

// ---- requests -------------------------------------------------------------------------------

RequestResult Machine::OnRequest(const pg::Piece& piece, uint64_t owner) {
  DCHECK(piece.first);
  if (failed_) {
    last_request_ = 0;
    return RequestResult::kOk;
  }
  RequestResult result = RequestResult::kOk;
  if (starting()) {
    if (piece.type != 'p' && piece.type != 'X') return RequestResult::kUnexpected;
    last_request_ = 0;
  } else {
    switch (piece.type) {
      case 'Q': result = Add(Kind::kQuery, owner); break;
      case 'P': result = Add(Kind::kParse, owner); break;
      case 'B': result = Add(Kind::kBind, owner); break;
      case 'D': result = Add(Kind::kDescribe, owner); break;
      case 'E': result = Add(Kind::kExecute, owner); break;
      case 'C': result = Add(Kind::kClose, owner); break;
      case 'F': result = Add(Kind::kFunctionCall, owner); break;
      case 'S': result = OnSync(owner); break;
      case 'H':
        last_request_ = 0;
        if (piece.body_length != 0) result = OnBadFlush(owner);
        break;
      case 'c':
      case 'f': result = OnCopyEnd(owner); break;
      case 'd':
      case 'X': last_request_ = 0; break;
      default:
        if (!HISTORICAL_BUG("d5-unknown-type-is-forwarded")) return RequestResult::kUnexpected;
        last_request_ = 0;
    }
  }
  if (result == RequestResult::kOk) frame_open_ = !piece.last;
  return result;
}

inline RequestResult Machine::Add(Kind kind, uint64_t owner) {
  if (skipping_) {
    last_request_ = 0;
    return RequestResult::kOk;
  }
  if (kinds_.size() >= entries_max_) return RequestResult::kFull;
  // In COPY the server takes it for a fatal error. If the connection lives on, then COPY failed
  // before this frame, and no CopyDone or Sync behind it belongs to that COPY.
  if (copy_in() && !FitsCopy(kind)) [[unlikely]] head_.client_done = true;
  last_request_ = head_id_ + kinds_.size();
  kinds_.Push(kind);
  if (!owners_.empty() && owners_.back().owner == owner) {
    ++owners_.back().entries;
  } else {
    owners_.Push(OwnerRun{owner, 1});
  }
  return RequestResult::kOk;
}

RequestResult Machine::OnSync(uint64_t owner) {
  if (copy_in()) {
    head_.swallowed = true;
    last_request_ = 0;
    return RequestResult::kOk;
  }
  skipping_ = false;  // then the ledger is empty: there is room
  return Add(Kind::kSync, owner);
}

// Owed an ErrorResponse, but a COPY reads a Flush without looking at its body.
RequestResult Machine::OnBadFlush(uint64_t owner) {
  if (!copy_in()) return Add(Kind::kBadFlush, owner);
  head_.swallowed = true;
  return RequestResult::kOk;
}

RequestResult Machine::OnCopyEnd(uint64_t owner) {
  const bool awaited = head_.phase == Phase::kCopyIn || head_.phase == Phase::kCopyBoth;
  if (awaited && !head_.client_done) {
    head_.client_done = true;
    if (head_.server_done) head_.phase = Phase::kOpen;
    last_request_ = 0;
    return RequestResult::kOk;
  }
  if (kinds_.empty()) {  // nothing is under way that could be a COPY: the server ignores it
    last_request_ = 0;
    return RequestResult::kOk;
  }
  return Add(Kind::kCopyEnd, owner);
}

RequestResult Machine::AddOwnReply(std::string frames, uint64_t owner) {
  if (HISTORICAL_BUG("e3-own-reply-jumps-the-queue")) {
    own_ready_ += frames;
    return RequestResult::kOk;
  }
  const RequestId last = last_request_;
  const RequestResult result = Add(Kind::kOwn, owner);
  const bool added = result == RequestResult::kOk && !skipping_;
  last_own_ = added ? last_request_ : 0;
  last_request_ = last;
  if (added) {
    own_.Push(std::move(frames));
    Settle();
  }
  return result;
}

bool Machine::TakeOwnReplies(std::string* to) {
  if (own_ready_.empty()) return false;
  to->append(own_ready_);
  own_ready_ = std::string();
  return true;
}

// True exactly when an entry may stand between CopyInResponse and the CopyDone that ends it.
bool Machine::FitsCopy(Kind kind) {
  return kind == Kind::kSync || kind == Kind::kBadFlush || kind == Kind::kOwn ||
         kind == Kind::kNothing;
}

// ---- the ledger -----------------------------------------------------------------------------

inline void Machine::Pop() {
  served_owner_ = owners_.front().owner;
  if (--owners_.front().entries == 0) owners_.Pop();
  if (kinds_.front() == Kind::kOwn) own_.Pop();
  kinds_.Pop();
  ++head_id_;
  head_ = Head();
}

// Entries that are owed nothing leave as soon as they stand at the head.
inline void Machine::Settle() {
  while (!kinds_.empty()) {
    const Kind kind = kinds_.front();
    if (kind == Kind::kOwn) {
      own_ready_ += own_.front();
    } else if (kind != Kind::kCopyEnd && kind != Kind::kNothing) {
      return;
    }
    Pop();
  }
}

// The server has failed in the extended protocol: what stands before the next Sync is not
// answered, and if that Sync is still to come, neither is what comes before it.
void Machine::DropToSync() {
  while (!kinds_.empty() && kinds_.front() != Kind::kSync) Pop();
  skipping_ = kinds_.empty();
}

// CopyInResponse or CopyBothResponse for the head. The next CopyDone or CopyFail belongs to it;
// it may have been sent long ago. A Sync before it is read, and swallowed, by the COPY.
void Machine::BeginCopyFromClient(Phase phase) {
  head_.phase = phase;
  head_.client_done = false;
  head_.server_done = false;
  head_.swallowed = false;
  while (head_.scanned < kinds_.size() && !head_.client_done) {
    Kind& kind = kinds_[head_.scanned++];
    if (!FitsCopy(kind)) {
      // Its CopyDone or CopyFail, which another COPY will not find, or what it cannot survive.
      head_.client_done = true;
    } else if (phase == Phase::kCopyIn && (kind == Kind::kSync || kind == Kind::kBadFlush)) {
      kind = Kind::kNothing;
      head_.swallowed = true;
    }
  }
}

// ---- replies --------------------------------------------------------------------------------

inline Reply Machine::HeadReply(ReplyKind kind) const {
  return Reply{kind, head_id_, owners_.front().owner};
}

// The head has its last answer.
inline Reply Machine::Done(ReplyKind kind) {
  const Reply reply = HeadReply(kind);
  Pop();
  Settle();
  return reply;
}

// A reply that the ledger does not explain.
Reply Machine::Unasked(ReplyKind tolerated) {
  if (ambiguous_ || HISTORICAL_BUG("d9-nobody-asked-and-nobody-minds"))
    return Reply{tolerated, 0, owes() ? owners_.front().owner : served_owner_};
  failed_ = true;
  return Reply{ReplyKind::kMismatch, 0, 0};
}

Reply Machine::OnReply(const pg::Piece& piece) {
  DCHECK(piece.first);
  if (failed_) return Reply{ReplyKind::kMismatch, 0, 0};
  switch (piece.type) {
    case 'N':
    case 'A':
    case 'S': return Reply{ReplyKind::kAsync, 0, owes() ? owners_.front().owner : 0};
    case 'E': return OnError(piece);
    case 'Z': return OnReady(piece);
    default: return OnPart(piece.type);
  }
}

Reply Machine::OnError(const pg::Piece& piece) {
  const bool fatal = starting() || EndsConnection(piece.body);
  if (!owes()) {
    failed_ = fatal || !ambiguous_;
    return Reply{ReplyKind::kFailed, 0, ambiguous_ ? served_owner_ : 0};
  }
  const Reply reply = HeadReply(ReplyKind::kFailed);
  if (fatal) {
    failed_ = true;
    return reply;
  }
  // Only the server knows whether it failed before or after it read what we took for swallowed: if
  // before, it answers it.
  if (head_.phase == Phase::kCopyIn && head_.swallowed) ambiguous_ = true;
  switch (kinds_.front()) {
    case Kind::kQuery:
    case Kind::kFunctionCall:
    case Kind::kSync: head_.phase = Phase::kReady; break;
    case Kind::kParse:
    case Kind::kBind:
    case Kind::kDescribe:
    case Kind::kExecute:
    case Kind::kClose:
    case Kind::kBadFlush:
      HISTORICAL_BUG("e1-error-ends-one-message") ? Pop() : DropToSync();
      break;
    case Kind::kStartup:  // handled as fatal
    case Kind::kCopyEnd:  // these never stand at the head
    case Kind::kOwn:
    case Kind::kNothing: CHECK(false);
  }
  return reply;
}

Reply Machine::OnReady(const pg::Piece& piece) {
  const char status = piece.body_length == 1 && piece.body.size() == 1 ? piece.body[0] : '?';
  const bool known = status == 'I' || status == 'T' || status == 'E';
  if (!known && !HISTORICAL_BUG("d11-any-status-will-do")) {
    failed_ = true;
    return Reply{ReplyKind::kMismatch, 0, 0};
  }
  bool asked = false;
  if (owes()) {
    const Kind kind = kinds_.front();
    const bool answered = head_.phase == Phase::kOpen && head_.answered;
    asked = kind == Kind::kSync || kind == Kind::kStartup || head_.phase == Phase::kReady ||
            ((kind == Kind::kQuery || kind == Kind::kFunctionCall) && answered);
  }
  if (!asked) {
    const Reply reply = Unasked(ReplyKind::kReady);
    if (failed_) return reply;
    status_ = status;
    skipping_ = false;  // a Sync we had thought swallowed was answered
    return reply;
  }
  if (head_id_ == last_request_) frame_open_ = false;  // it was answered, so it was whole
  status_ = status;
  return Done(ReplyKind::kReady);
}

Reply Machine::OnPart(char type) {
  if (!owes()) return Unasked(ReplyKind::kPassing);
  char last = 0;  // the reply that is the whole answer, or its end
  switch (kinds_.front()) {
    case Kind::kStartup:
      if (type != 'R' && type != 'K' && type != 'v') return Unasked(ReplyKind::kPassing);
      return HeadReply(ReplyKind::kPassing);
    case Kind::kQuery: return OnQueryPart(type);
    case Kind::kExecute: return OnExecutePart(type);
    case Kind::kFunctionCall:
      if (type != 'V' || head_.answered || head_.phase == Phase::kReady) break;
      head_.answered = true;
      return HeadReply(ReplyKind::kPassing);
    case Kind::kDescribe:
      if (type == 'T' || type == 'n') return Done(ReplyKind::kPassing);
      if (type != 't' || head_.described) break;
      head_.described = true;
      return HeadReply(ReplyKind::kPassing);
    case Kind::kParse: last = '1'; break;
    case Kind::kBind: last = '2'; break;
    case Kind::kClose: last = '3'; break;
    case Kind::kSync:
    case Kind::kBadFlush:
    case Kind::kCopyEnd:
    case Kind::kOwn:
    case Kind::kNothing: break;
  }
  return type == last ? Done(ReplyKind::kPassing) : Unasked(ReplyKind::kPassing);
}

// A CommandComplete fits a COPY only behind its end.
bool Machine::CopyMayEnd() const {
  switch (head_.phase) {
    case Phase::kOpen:
    case Phase::kRows: return true;
    case Phase::kCopyIn: return head_.client_done || ambiguous_;
    case Phase::kCopyBoth: return true;  // a walsender that shuts down sends no CopyDone
    case Phase::kCopyOut: return ambiguous_;
    case Phase::kReady: return false;
  }
  return false;
}

Reply Machine::OnQueryPart(char type) {
  const Phase phase = head_.phase;
  const bool between = phase == Phase::kOpen || phase == Phase::kRows;
  switch (type) {
    case 'T':  // also within rows: a rule may add result sets to a statement
      if (!between) break;
      head_.phase = Phase::kRows;
      return HeadReply(ReplyKind::kPassing);
    case 'D':
      if (phase != Phase::kRows) break;
      return HeadReply(ReplyKind::kPassing);
    case 'C':
      if (!CopyMayEnd()) break;
      head_.phase = Phase::kOpen;
      head_.server_done = false;
      head_.answered = true;
      return HeadReply(ReplyKind::kCompleted);
    case 'I':
      if (phase != Phase::kOpen) break;
      head_.answered = true;
      return HeadReply(ReplyKind::kEmpty);
    case 'W':
      if (phase != Phase::kOpen) break;
      BeginCopyFromClient(Phase::kCopyBoth);
      return HeadReply(ReplyKind::kPassing);
    default: return OnCopyPart(type);
  }
  return Unasked(ReplyKind::kPassing);
}

Reply Machine::OnExecutePart(char type) {
  switch (type) {
    case 'D':
      if (head_.phase != Phase::kOpen) break;
      return HeadReply(ReplyKind::kPassing);
    case 'C':
      if (!CopyMayEnd()) break;
      return Done(ReplyKind::kCompleted);
    case 'I':
      if (head_.phase != Phase::kOpen) break;
      return Done(ReplyKind::kEmpty);
    case 's':
      if (head_.phase != Phase::kOpen) break;
      return Done(ReplyKind::kSuspended);
    default: return OnCopyPart(type);
  }
  return Unasked(ReplyKind::kPassing);
}

Reply Machine::OnCopyPart(char type) {
  switch (type) {
    case 'G':
      if (head_.phase != Phase::kOpen) return Unasked(ReplyKind::kPassing);
      BeginCopyFromClient(Phase::kCopyIn);
      break;
    case 'H':
      if (head_.phase != Phase::kOpen) return Unasked(ReplyKind::kPassing);
      head_.phase = Phase::kCopyOut;
      break;
    case 'd':
      // A walsender may send a keepalive between its CopyDone and the CommandComplete.
      if (head_.phase != Phase::kCopyOut && !copy_both() &&
          !(head_.phase == Phase::kOpen && head_.server_done)) {
        return Unasked(ReplyKind::kPassing);
      }
      break;
    case 'c':
      if (head_.phase == Phase::kCopyOut) {
        head_.phase = Phase::kOpen;
      } else if (copy_both() && !head_.server_done) {
        head_.server_done = true;
        if (head_.client_done) head_.phase = Phase::kOpen;
      } else {
        return Unasked(ReplyKind::kPassing);
      }
      break;
    default: return Unasked(ReplyKind::kPassing);
  }
  return HeadReply(ReplyKind::kPassing);
}

bool Machine::poolable() const {
  const bool owes_nothing = !owes() || HISTORICAL_BUG("f1-pooled-while-it-owes");
  const bool whole = !frame_open_ || HISTORICAL_BUG("d7-cut-message-is-forgotten");
  const bool idle = status_ == 'I' || HISTORICAL_BUG("f4-open-transaction-is-pooled");
  return owes_nothing && idle && !skipping_ && !ambiguous_ && !failed_ && whole &&
         own_ready_.empty();
}

size_t Machine::memory() const {
  size_t bytes = kinds_.memory() + owners_.memory() + own_.memory() + HeapBytes(own_ready_);
  for (uint32_t i = 0; i < own_.size(); ++i) bytes += HeapBytes(own_[i]);
  return bytes;
}

}  // namespace turn
