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
// what the server reports, and before it has by plain SETs; a text that comes while a SET may be
// under way is read again when it has run. A statement of Parse is replayed under the settings that
// were in force when it was parsed (recorder_state.cc).
// With a spill_dir the statements of a transaction that holds much, and the data of a COPY, go to
// the disk and come back when they are sent; what the recorder may have to look at again stays.
// A cursor's statements are kept until its transaction ends, in case a write turns out to need
// them: at most kCursorItemsMax; of a cursor with more, that write is refused by the mirror.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/connection.h"
#include "base/keyed_hash.h"
#include "mirror/block.h"
#include "mirror/names.h"
#include "mirror/recorder_tools.h"
#include "mirror/recording.h"
#include "mirror/target.h"
#include "mirror/unit.h"
#include "pg/frame.h"
#include "turn/transaction.h"

namespace mirror {

class OverflowFile;

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
  // A whole frame that the session answered itself, while no server owed it anything.
  void OnAnswered(const pg::Piece& piece);
  // What became of requests, in the order of the replies.
  void OnNote(const backend::Note& note) override;
  void OnPart(turn::RequestId request, const pg::Piece& piece) override;
  // True exactly when the open transaction is older than that and now holds less memory.
  bool UnloadIfOlder(absl::Duration age);

 private:
  using Kept = recording::Kept;
  using Prepared = recording::Prepared;
  using Portal = recording::Portal;
  using Part = recording::Part;
  using Act = recording::Act;
  using Copied = recording::Copied;
  using Request = recording::Request;
  using Around = recording::Around;
  using Item = recording::Item;
  using Cursor = recording::Cursor;
  // Settings, beside the client's encoding, by which a text is read when it is parsed.
  static constexpr size_t kReadingSettings = 4;
  struct View {  // the targets with one filter
    uint32_t bit = 0;
    double exposure = 1;
    std::vector<Route> routes;
  };

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
  void NoteBound(Request* request, const sql::Statement* facts);
  void Works(Request* request);
  void ReserveFor(Request* request);
  void OnQueryForwarded(Request* request);
  uint32_t ReadParts(std::string_view text, const sql::Statement& facts,
                     std::vector<Part>* parts) const;
  const sql::Statement* FactsOfPortal(std::string_view portal) const;
  const sql::Statement* FactsOf(std::string_view statement) const;

  // -- recorder_notes.cc: what became of it -------------------------------------------------------
  void Confirm(turn::RequestId before);
  void Apply(Request* request);
  void ApplyBind(Request* request);
  void PopFront();
  void OnDone(const backend::Note& note);
  void OnUnfollowed(const backend::Note& note);
  void Time();
  void OnQueryDone(Request* request, std::string_view tag);
  void OnExecuteDone(Request* request, const backend::Note& note);
  static Item MakeItem(const Request& request, const Part& part);
  Item MakeItem(Request* request, Portal* portal);
  void ExecutedAgain(const Request& request, const Portal& portal, const backend::Note& note);
  void OnFailed(const backend::Note& note);
  void OnPartlyDone(Request* request, std::string_view sqlstate);
  void OfferInDoubt(std::span<Item> items);
  void OnReady(const backend::Note& note);
  uint64_t Completed(Item&& item, const sql::Statement& facts, std::string_view tag);
  const sql::Statement& Meant(const sql::Statement& facts) const;
  uint32_t Wanted(const sql::Statement& facts, std::string_view tag, Cause lost) const;
  void TakeCopy(Request* request, Item* item);
  void LoseStep(Item* item);
  uint64_t AddItem(Item&& item);
  void LeftOut(uint32_t wanted);
  void OnUnit(const turn::Unit* unit, const base::Slice& prepare, Cause lost);

  // -- recorder_state.cc: what statements mean by what was said before them -----------------------
  void OnSession(const sql::Statement& facts, std::string_view tag, std::string_view text);
  base::Slice Reading();
  void AddPrepared(const sql::Statement& facts, Item* item);
  void AddReading(const base::Slice& reading, Item* item);
  bool OnCursor(const sql::Statement& facts, std::string_view tag, Item* item);
  void WantCursor(Cursor* cursor, uint32_t wanted);
  void OnTransactionOver();
  bool HoldsThroughRollback(const Item& item, uint64_t first) const;

  // -- recorder_returned.cc: what INSERT ... RETURNING has returned -------------------------------
  void OnDescribe(turn::RequestId id, std::string_view body);
  bool Listens(const sql::Statement& facts) const;
  void ListenTo(Request* request);
  void StopListening();
  void OnDescribed(const Request& request, std::string_view body);
  void Learn(const sql::Statement& facts, const Request& request, Item* item);
  // -- recorder_overflow.cc: what waits on the disk -----------------------------------------------
  static bool MayUnload(const Item& item);
  size_t UnloadCount(size_t from, size_t place) const;
  int64_t MemoryFor(bool begun) const;
  bool HasMuch(int64_t more) const;
  bool Unload();
  bool Hold(Charge* charge, base::Credit* credit, int64_t bytes);
  base::Held<Stored> NewStored();
  Item Fold(std::span<Item> items);
  void StoreSteps(Unit* unit, Item* folded);
  void UnloadCopy(Request* request);
  bool CopyHasMuch(const Request& request, int64_t more) const;

  // -- recorder_offer.cc: what each target gets of a unit -----------------------------------------
  struct Choice {
    const View* view = nullptr;
    Unit unit;
    Cause lost = Cause::kNone;
    std::vector<size_t> groups;  // where in its steps each of the client's begins
  };
  void OfferRuns(std::span<Item> items, const Unit& unit);
  void OfferItems(std::span<Item> items, const Unit& unit, Cause lost);
  static void AppendSteps(Item* item, bool last, std::vector<Step>* steps);
  bool Choose(Choice* choice, std::span<Item> items);
  uint64_t NoteRows(Unit* unit);
  void Offer(std::span<Choice> choices);
  void OfferAlone(const Choice& choice);
  void OfferSurvivors(std::span<Item> items);
  void OfferLost(Cause lost, uint32_t wanted);

  const RecorderTools tools_;
  std::vector<View> views_;
  uint32_t present_ = 0;          // the bits of all views
  uint64_t transactions_ = 0;     // numbers them, for the sample
  sql::LexOptions lex_;
  uint8_t encodings_ = 0;         // a bit for each encoding that the session has had
  std::array<std::string, kReadingSettings> reading_values_;  // empty: not known
  base::Slice reading_;           // what Reading() returns; empty: to be made again
  bool reading_unsure_ = false;   // true exactly when something was set since the last turn's end
  turn::Transaction transaction_;
  std::deque<Request> requests_;  // those not answered, oldest first
  Names<Prepared> statements_;    // what is worth following, as the answers have told
  base::NameTable<sql::Statement> sql_prepared_;  // what EXECUTE of the name is
  bool sql_prepared_missed_ = false;  // true exactly if one had no room there
  Names<Portal> portals_;
  base::NameTable<Cursor> cursors_;  // open, whose DECLARE is of the open transaction, or held
  uint32_t cursor_items_ = 0;     // of items_, those that nobody wants so far
  Names<uint32_t> parses_;        // names in requests_, with how often
  Names<uint32_t> binds_;
  std::vector<Item> items_;       // of the open transaction, which knows them by their serials
  base::Instant began_;           // when the first of them came
  uint32_t loose_ = 0;            // of them, those that came since Unload()
  int64_t stuck_bytes_ = 0;       // what that left
  base::Held<OverflowFile> overflow_;  // the open transaction's
  uint64_t last_serial_ = 0;
  uint32_t works_ = 0;     // of requests_, those that may leave something to be committed
  uint32_t reserved_ = 0;  // of requests_, those with a stamp
  base::Instant answered_at_;  // the last answer
  absl::Duration took_;        // from there, or since it was forwarded, to the one that is read
  int64_t items_bytes_ = 0;
  Block block_;                   // the open one
  bool skipping_ = false;         // true exactly when an error was told and its end not yet
  std::string gathered_;          // of a frame that comes in pieces
  Charge gathered_charge_;
  Cause gathered_lost_ = Cause::kNone;
  turn::RequestId gathering_ = 0;  // its id
  recording::Heard heard_;         // what INSERT ... RETURNING returns
};

}  // namespace mirror
