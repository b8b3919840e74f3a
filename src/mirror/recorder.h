// Recorder: what one session's statements come to, for the mirrors.
//
// Owned by the session, on its shard. It sees every frame that the client sends and every answer's
// kind, and hands each transaction that the primary committed to its targets (the session's lanes)
// as one Unit: to each what its filter and its sample leave of it. Nothing here waits or fails the
// session. What no target wants costs one look-up of the text and no memory.
//
// Frames are kept as requests until their answers tell what they did: names of statements and
// portals are resolved in the order of the answers, as the server did it, so pipelines, failed
// Parses and swallowed messages come out as on the server. What a request is part of is told by
// its id: ids count up in the ledger's order, a note for one says that all before it succeeded,
// or, behind a failure, were swallowed.
//
// Bounds: what is held is charged to `held` (and `names`, for prepared statements, which live
// long); a transaction above mirror_transaction_max, or without budget, is dropped whole, by cause.
// standard_conforming_strings and client_encoding, which decide where a text ends, are followed by
// what the server reports, and before it has by plain SETs.
// Known limit: the mirror refuses EXECUTE of what Parse prepared: it has no such name.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/connection.h"
#include "base/keyed_hash.h"
#include "base/limits.h"
#include "io/loop.h"
#include "mirror/filter.h"
#include "mirror/mirror_metrics.h"
#include "mirror/order_board.h"
#include "mirror/unit.h"
#include "pg/frame.h"
#include "sql/classify_cache.h"
#include "turn/transaction.h"

namespace mirror {

// Where committed units go: one lane, or a test.
class Target {
 public:
  virtual ~Target() = default;
  // The clock's next number is a stamp or an acknowledgement; Reserve() or Offer() follows.
  virtual void Expect() = 0;
  // A COMMIT with `stamp` is being forwarded; Release() follows once what it committed, if it did,
  // was offered.
  virtual void Reserve(uint64_t stamp) = 0;
  virtual void Release(uint64_t stamp) = 0;
  // A committed transaction, before its client knows. `lost`: kNone, or why it cannot be sent; then
  // it only counts.
  virtual void Offer(const Unit& unit, Cause lost) = 0;
  // The session is over; nothing more is offered.
  virtual void End() = 0;
};

// A target with what it is to get. Both outlive the recorder.
struct Route {
  Target* target = nullptr;
  size_t filter = 0;  // of Filters
  MirrorMetrics* metrics = nullptr;
};

// What a recorder needs of its shard; everything outlives it.
struct RecorderTools {
  const base::Limits* limits = nullptr;
  const io::Loop* loop = nullptr;  // for the time of commits
  Clock* clock = nullptr;          // for their order
  sql::ClassifyCache* cache = nullptr;
  base::Credit* held = nullptr;
  base::Credit* names = nullptr;
  const Filters* filters = nullptr;
  uint64_t session = 0;
  bool statements_alone = false;  // a transaction's statements are units of their own
};

class Recorder final : public backend::NoteTaker {
 public:
  Recorder(const RecorderTools& tools, const std::vector<Route>& routes);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // As the start-up parameters say, or what the server has reported.
  void SetLexing(std::string_view setting, std::string_view value);
  // Each piece of each frame the client sends, in order; `id` is the machine's for that frame, 0
  // for one that makes no entry (COPY data, Flush, what the server swallows).
  void OnRequest(turn::RequestId id, const pg::Piece& piece);
  // What became of requests, in the order of the replies.
  void OnNote(const backend::Note& note) override;

 private:
  // A statement of a request or of a name, as far as it is kept.
  struct Kept {
    base::Slice bytes;
    Charge charge;
    Cause lost = Cause::kNone;  // why `bytes` is not there
  };
  struct Prepared {
    Kept parse;
    sql::Statement facts;
  };
  struct Portal {
    base::Slice parse;
    std::string statement;  // if it was prepared in SQL
    sql::Statement facts;
    Kept bind;
    uint64_t item = 0;      // serial of what its first Execute made
  };
  struct View {  // the targets with one filter
    uint32_t bit = 0;
    double exposure = 1;
    std::vector<Route> routes;
  };
  struct Part {  // one statement of a Query
    uint32_t begin = 0;
    uint32_t length = 0;
    sql::Statement facts;
  };
  enum class Act : uint8_t {
    kQuery,
    kParse,
    kBind,
    kExecute,
    kForgetStatement,  // it is closed, or now names what only reads
    kForgetPortal,
    kFunctionCall,
  };
  struct Copied {  // the data of one COPY
    std::vector<base::Slice> data;
    bool ended = false;
  };
  struct Request {
    turn::RequestId id = 0;
    Act act = Act::kQuery;
    std::string name;       // of the statement or portal
    std::string statement;  // kBind: which one
    Kept kept;
    uint32_t row_limit = 0;
    uint32_t completed = 0;     // kQuery: statements that have
    uint32_t copies_taken = 0;  // of `copies`
    std::vector<Part> parts;    // kQuery
    std::vector<Copied> copies;
    sql::Statement facts;  // kParse
    uint64_t seen = 0;     // the clock when it was forwarded
    base::Instant sent;    // the same in time
    uint64_t stamp = 0;    // reserved for what it may commit; 0: none
    bool works = false;    // it may leave something to be committed
  };
  struct Item {  // a statement that succeeded and whose transaction is open
    Step step;
    Charge charge;
    Cause lost = Cause::kNone;
    uint64_t serial = 0;
    uint32_t wanted = 0;  // the filters that want it
    bool kept = false;    // goes though its transaction is not in the sample
    uint64_t seen = 0;  // the clock when it was forwarded
  };
  template <typename T>
  using Names = base::NameTable<T>;

  // -- recorder.cc: what the client sends ---------------------------------------------------------
  void OnFrame(turn::RequestId id, char type, std::string_view body, Cause lost);
  void Gather(turn::RequestId id, const pg::Piece& piece);
  void OnQuery(turn::RequestId id, std::string_view text);
  void OnParse(turn::RequestId id, std::string_view body);
  void OnBind(turn::RequestId id, std::string_view body);
  void OnExecute(turn::RequestId id, std::string_view body);
  void OnClose(turn::RequestId id, std::string_view body);
  void OnLost(turn::RequestId id, char type, Cause lost);
  Request* CopyTarget();
  void OnCopyPiece(const pg::Piece& piece);
  void OnCopyEnd();
  Request& Push(turn::RequestId id, Act act);
  void Keep(Kept* kept, std::string_view bytes, base::Credit* credit);
  bool AddCopyBlock(Request* request);
  void AppendCopy(Request* request, std::string_view bytes);
  uint32_t MayHaveCommitted();
  uint32_t MayWant(const sql::Statement& facts) const;
  bool MayNameStatement(std::string_view name) const;
  bool MayNamePortal(std::string_view name) const;
  void Works(Request* request);
  void ReserveFor(Request* request);
  void OnQueryForwarded(Request* request);
  bool BindsCommit(std::string_view portal) const;
  const sql::Statement* FactsOf(std::string_view statement) const;

  // -- recorder_notes.cc: what became of it -------------------------------------------------------
  void Confirm(turn::RequestId before);
  void Apply(Request* request);
  void ApplyBind(Request* request);
  void PopFront();
  void OnDone(const backend::Note& note);
  void OnUnfollowed(const backend::Note& note);
  void OnQueryDone(Request* request, std::string_view tag);
  void OnExecuteDone(Request* request, const backend::Note& note);
  Item MakeItem(Request* request, Portal* portal);
  void ExecutedAgain(const Request& request, const Portal& portal, const backend::Note& note);
  void OnFailed(const backend::Note& note);
  void OnReady(const backend::Note& note);
  uint64_t Completed(Item item, const sql::Statement& facts, std::string_view tag);
  const sql::Statement& Meant(const sql::Statement& facts) const;
  uint32_t Wanted(const sql::Statement& facts, std::string_view tag, Cause lost) const;
  void OnSession(const sql::Statement& facts, std::string_view tag, std::string_view text);
  void TakeCopy(Request* request, Item* item);
  uint64_t AddItem(Item item);
  void LeftOut(uint32_t wanted);
  void OnUnit(const turn::Unit* unit, const base::Slice& prepare, Cause lost);

  // -- recorder_offer.cc: what each target gets of a unit -----------------------------------------
  struct Choice {
    const View* view = nullptr;
    Unit unit;
    Cause lost = Cause::kNone;
  };
  void OfferItems(std::span<Item> items, const Unit& unit, Cause lost);
  bool Choose(const View& view, std::span<Item> items, Unit* unit, Cause* lost);
  void Offer(std::span<Choice> choices);
  void OfferAlone(const Choice& choice);
  void OfferSurvivors(std::span<Item> items);
  void OfferLost(Cause lost, uint32_t wanted);

  const RecorderTools tools_;
  std::vector<View> views_;
  uint32_t present_ = 0;          // the bits of all views
  uint64_t transactions_ = 0;     // numbers them, for the sample
  sql::LexOptions lex_;
  turn::Transaction transaction_;
  std::deque<Request> requests_;  // those not answered, oldest first
  Names<Prepared> statements_;    // what is worth following, as the answers have told
  Names<sql::Statement> sql_prepared_;  // what EXECUTE of the name is
  Names<Portal> portals_;
  Names<uint32_t> parses_;        // names in requests_, with how often
  Names<uint32_t> binds_;
  std::vector<Item> items_;       // of the open transaction, which knows them by index + 1
  uint64_t last_serial_ = 0;
  uint32_t works_ = 0;     // of requests_, those that may leave something to be committed
  uint32_t reserved_ = 0;  // of requests_, those with a stamp
  int64_t items_bytes_ = 0;
  bool skipping_ = false;         // true exactly when an error was told and its end not yet
  std::string gathered_;          // of a frame that comes in pieces, as what follows
  Charge gathered_charge_;
  Cause gathered_lost_ = Cause::kNone;
  turn::RequestId gathering_ = 0;  // its id
};

}  // namespace mirror
