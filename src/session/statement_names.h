// StatementNames: the prepared statements of one session in transaction or statement mode: which
// text each of its names stands for, and what has to be sent so that the borrowed connection knows
// it.
//
// Owned by the session, on its shard. A client's name is never used on a server: statements have
// names of their own there, which sessions share (backend::StatementTable). A Parse whose statement
// the connection has already is answered by us, in its place among the server's answers. The
// unnamed statement keeps its text, and is parsed again where another session came between.
//
// What a client does wrong is forwarded in such a form that the server answers with its own error.
// Bounds: kNamesMax names; texts are those of frames that are seen whole. A longer Parse cannot be
// moved: NeedsPin().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "backend/pooled.h"
#include "backend/prepared.h"
#include "pg/frame.h"
#include "pg/views.h"
#include "sql/session_effects.h"
#include "turn/machine.h"

namespace session {

class StatementNames {
 public:
  static constexpr size_t kNamesMax = 10'000;

  StatementNames(backend::StatementTable* table, uint64_t session)
      : table_(table), session_(session) {}
  ~StatementNames() { Clear(); }
  StatementNames(const StatementNames&) = delete;
  StatementNames& operator=(const StatementNames&) = delete;

  // What becomes of a frame.
  enum class Way : uint8_t {
    kAsItIs,     // forward it
    kRewritten,  // forward rewritten() instead
    kAnswered,   // tell the ledger of answer(), do not forward it; then OnAnswered()
    kTooMany,    // more than kNamesMax
    kDoubtful,   // a Bind that is to be handled again after RowsAreTold()
  };

  // Frames of the client, for the connection in `to`, whose ledger is told of what is sent in front
  // of them. After kAsItIs and kRewritten comes OnForwarded(). `context`: what else than text and
  // types changes a statement's meaning. `failed`: the transaction has failed, so the server
  // decides whether a statement may be parsed at all.
  Way OnParse(std::string_view body, std::string_view context, bool failed, backend::Pooled* to);
  // A Parse while there is no connection. True if it is done: a server has accepted the same
  // before.
  bool OnParseAlone(std::string_view body, std::string_view context);
  Way OnTarget(char type, std::string_view body, backend::Pooled* to);  // Describe, Close
  // `start`: of the body, which has `body_length` bytes. Nothing if its two names are not in it
  // yet. What is rewritten is `start`, with the header; the rest is forwarded as it is.
  std::optional<Way> OnBind(std::string_view start, uint32_t body_length, backend::Pooled* to);
  void OnQuery(backend::Pooled* to);  // destroys the unnamed statement
  // A Parse of the unnamed statement is forwarded in pieces, to a connection that stays the
  // session's: from now on it is the server's business what a Bind of it means.
  void OnLongUnnamed(backend::Pooled* to);

  std::string_view rewritten() const { return rewritten_; }
  std::string_view answer() const { return answer_; }
  // What running the statement last named, or parsed, leaves behind; null: nothing.
  const sql::SessionEffects* effects() const { return effects_; }
  // True exactly when the frame handled last uses a shared statement.
  bool uses_shared() const { return used_ != nullptr; }
  // True exactly when the client has ever asked what rows look like. It may know it of any of its
  // statements, and not ask again.
  bool describes() const { return describes_; }
  // Before a doubtful Bind is handled again: whether a Describe stands behind it.
  void RowsAreTold(bool told) { rows_ = told ? Rows::kTold : Rows::kNotTold; }
  // True exactly when the Bind handled last was made to fail: the client would take its rows for
  // what they were before they changed.
  bool refuses() const { return refuses_; }
  // The client is told of the change of this statement.
  void OnToldOfChange(const backend::Statement* statement);
  // An error in which the server's names of statements are the client's; false if it has none.
  bool InClientsWords(const pg::Piece& error, std::string* instead) const;
  // The ids that the ledger gave to what was forwarded, or to the answer (0: it is skipped).
  void OnForwarded(turn::RequestId request, backend::Pooled* to);
  void OnAnswered(turn::RequestId request);

  // From the ledger.
  // True if that left a statement with a client's name on the connection.
  bool OnFailed(turn::RequestId first, turn::RequestId end);
  // Request `request` will run DEALLOCATE ALL, or DISCARD ALL; and: it has.
  void Doubt(turn::RequestId request);
  void OnDeallocated();
  void Settle();  // every request was answered
  void Clear();   // the end of the session
  // A Close while there is no connection. False if there is no such name.
  bool CloseAlone(std::string_view name);
  // Before SQL's DEALLOCATE of `name` is run: the server gets a statement of that name to remove.
  // `simple`: by a Query. And: request `request` runs it.
  void PrepareDeallocate(std::string_view name, bool simple, backend::Pooled* to);
  void OnDeallocate(const std::string& name, turn::RequestId request);
  // A name of the client's that was sent as it is so that the server refuses it, to be closed
  // behind the next Sync; else "".
  std::string TakeResidue() { return std::exchange(residue_, std::string()); }

 private:
  struct Known {
    backend::Statement* statement = nullptr;
    uint32_t epoch = 0;  // of the statement, as the client knows its rows
    std::unique_ptr<sql::SessionEffects> effects;
  };
  // What is undone if its request fails.
  struct Pending {
    turn::RequestId request = 0;
    std::string name;
    bool closed = false;  // else parsed
    bool raw = false;     // closed by SQL: the server got a statement of this very name
    Known known;          // closed: what it was
  };
  struct Unnamed {
    std::string text;
    std::string types;
    std::unique_ptr<sql::SessionEffects> effects;
    turn::RequestId request = 0;  // its Parse; 0 once it was answered
    uint64_t number = 0;          // of this session's; another connection may have an earlier one
    bool valid = false;
  };

  struct Found {
    Known* known = nullptr;  // with a name of the client's
    std::string_view name;   // on the server
  };
  void NextFrame();
  std::string_view ClientsName(std::string_view ours) const;
  Found Find(std::string_view name, backend::Pooled* to);
  bool Has(const backend::Statement& statement, backend::Pooled* to);
  void CloseUnnamed(backend::Pooled* to);
  void ParseAhead(std::string_view name, std::string_view text, std::string_view types,
                  backend::Pooled* to);
  Way Duplicate(std::string_view name, backend::Pooled* to);
  Way OnUnnamed(const pg::ParseView& parse);
  Way OnClose(std::string_view name);

  backend::StatementTable* const table_;
  const uint64_t session_;
  // Debian's abseil does not look up by std::string_view. Seeded: names are a client's choice.
  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const {
      return absl::Hash<absl::string_view>()(absl::string_view(name.data(), name.size()));
    }
  };
  using Names = absl::flat_hash_map<std::string, Known, NameHash, std::equal_to<>>;
  // What there was before a DEALLOCATE ALL that has not been answered.
  struct Doubted {
    turn::RequestId request = 0;
    Names names;
  };
  void Restore(Doubted* doubted);
  void LetGo(Names* names);
  Names names_;
  std::vector<Doubted> doubted_;
  Unnamed unnamed_;
  Unnamed before_;  // what it was before a Parse that has not been answered
  uint64_t last_unnamed_ = 0;  // the largest number
  bool long_unnamed_ = false;  // true exactly if a Parse in pieces was the last to name it
  std::vector<Pending> pending_;
  std::string rewritten_;
  std::string answer_;
  std::string residue_;
  const sql::SessionEffects* effects_ = nullptr;
  const backend::Statement* used_ = nullptr;  // by the frame handled last; until the next one only
  bool describes_ = false;
  enum class Rows : uint8_t { kUnknown, kTold, kNotTold };
  Rows rows_ = Rows::kUnknown;
  bool refuses_ = false;
  std::string odd_name_;
  // Of the frame handled last, until OnForwarded() or OnAnswered().
  enum class Last : uint8_t { kOther, kParsed, kUnnamed, kClosed };
  Last last_ = Last::kOther;
  std::string last_name_;
  bool last_there_ = false;  // kParsed: the connection has it already
  Known closed_;
};

}  // namespace session
