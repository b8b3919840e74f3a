// Replay: a unit's frames, written to a mirror's connection, and what came of them.
//
// On the connection's shard; lives while one unit is under way, in one flight or two. Extended
// statements are sent as protocol with their Parse, through the unnamed portal, so nothing has to
// be prepared again after a reconnect; what a client has prepared by name is parsed once for the
// connection, see parsed.h. Nothing is read here: answers are found in the notes. The unit outlives
// it.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/connection.h"
#include "mirror/parsed.h"
#include "mirror/pin_check.h"
#include "mirror/unit.h"

namespace mirror {

// Makes the connection its login's again. Two statements in one Query.
inline constexpr std::string_view kAsLogin = "RESET SESSION AUTHORIZATION; RESET ROLE";

class Replay {
 public:
  // `check`: of what is sent pinned; null: of questions of ours. `parsed`: null where nothing is to
  // be believed of what was parsed before.
  explicit Replay(backend::Connection* connection, PinCheck* check = nullptr,
                  Parsed* parsed = nullptr)
      : connection_(connection), check_(check), prepared_(parsed) {
    if (check != nullptr) {
      check->Clear();
    }
  }

  // One statement without BEGIN, since it may be of those that refuse a transaction. `mark`, if
  // it is not empty the body of a Bind for marker::MarkParse(), is run behind it, before the Sync
  // that commits both.
  void SendAlone(const Unit& unit, std::string_view mark);
  // BEGIN with its options, the statements, `mark` and, if `whole`, what ends it, with one Sync
  // behind all: the mirror answers them together. After an error the block is still open.
  void SendBlock(const Unit& unit, std::string_view mark, bool whole);
  // The same in pieces: the beginning; a statement, of which a COPY with stored data waits for
  // Data() and EndCopy(); many, whose answers are asked for; the end.
  void Begin(const Unit& unit);
  void Add(const Step& step) { SendStatement(step); }
  void Data(std::string_view bytes);
  // `good`: false makes the COPY fail.
  void EndCopy(const Step& step, bool good);
  void AddAll(std::vector<Step> steps);
  void End(const Unit& unit, std::string_view mark, bool whole);
  // True exactly when a statement of the unit was sent as one of `parsed`.
  bool relies() const { return relies_; }
  // True exactly when it is of no use to add more: after an error, or where a frame cannot be sent.
  bool stops() const { return failed_ || !sqlstate_.empty(); }
  // True exactly when all that was added is answered.
  bool answered() const { return answered_ == sent_.size(); }
  // COMMIT, or PREPARE TRANSACTION in its place, of a block that is not whole.
  void SendEnd(const Unit& unit);
  void Query(std::string_view text);
  size_t sent() const { return sent_.size(); }  // Queries and statements that are not answered
  void Finish();  // what is buffered goes to the stream
  // True exactly when a frame could not be sent: too long for its type, or the ledger is full.
  bool failed() const { return failed_; }

  // The notes made since the last call.
  void OnNotes(std::span<const backend::Note> notes);
  // The SQLSTATE of the first error; empty: there was none.
  const std::string& sqlstate() const { return sqlstate_; }
  // True exactly when a statement's tag, with its count of rows, was not the primary's, or it has
  // stored another value than it was given.
  bool differs() const { return differs_ || (check_ != nullptr && check_->changed()); }
  // Of the first statement that came out otherwise than on the primary, or of the first error: its
  // tag there ("COMMIT" where it was none of the unit's), and its tag or SQLSTATE here.
  const std::string& was() const { return was_; }
  const std::string& is() const { return is_; }
  // True exactly when that error was an answer to `mark`.
  bool mark_failed() const { return mark_failed_; }
  // Of the Queries, in order; empty for one that failed.
  const std::vector<std::string>& tags() const { return tags_; }

 private:
  struct Sent {  // what a CommandComplete will answer
    turn::RequestId request = 0;
    const Step* step = nullptr;  // null: a Query of ours
  };

  void SendStatement(const Step& step);
  void SendBound(const Step& step);
  void SendPinned(const Step& step);
  bool Once(const Step& step, const base::Slice& parse);
  void SendParsed(std::string_view parse, std::string_view bind, bool once);
  void SendText(std::string_view text, const Step* step);
  void SendMark(std::string_view mark);
  void Execute(const Step* step, uint32_t row_limit);
  void Frame(char type, std::initializer_list<std::string_view> body);
  void CopyData(const Step& step);
  void Expect(const Step* step);
  void OnCompleted(const backend::Note& note);
  void OnFailed(const backend::Note& note);
  // The oldest not answered, if it is among those up to request `up_to`.
  const Sent* Next(turn::RequestId up_to) const;

  backend::Connection* const connection_;
  PinCheck* const check_;
  Parsed* const prepared_;
  std::string out_;
  std::string sqlstate_;
  std::string was_;
  std::string is_;
  std::vector<Sent> sent_;
  size_t answered_ = 0;  // of sent_
  std::vector<std::string> tags_;
  std::vector<Step> steps_;  // of AddAll(), until the next
  base::Slice parsed_;  // what the unnamed statement was last made of
  bool failed_ = false;
  bool relies_ = false;
  bool differs_ = false;
  bool mark_failed_ = false;
  turn::RequestId mark_begin_ = 0;  // the ids of what was sent to mark: from here
  turn::RequestId mark_end_ = 0;    // up to, not including, this one
};

}  // namespace mirror
