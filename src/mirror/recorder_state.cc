#include <algorithm>
#include <array>
#include <utility>

#include "mirror/recorder.h"
#include "mirror/trace.h"
#include "sql/quote.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

constexpr size_t kSqlPreparedMax = 4096;  // names followed; EXECUTE of others is always mirrored
constexpr uint32_t kCursorItemsMax = 1000;

constexpr std::string_view kStandardStrings = "standard_conforming_strings";
constexpr std::string_view kEncoding = "client_encoding";
// The server reports them, and reads a constant of a text by them when it parses it. What else a
// statement depends on (search_path, for one) it looks up again when it runs it.
constexpr std::array<std::string_view, 4> kReading = {"datestyle", "intervalstyle", "timezone",
                                                      kStandardStrings};
// On the mirror: of a statement that has to be parsed under other settings than it runs under.
constexpr std::string_view kParsedName = "pgbraid_parsed";

Step TextStep(const std::string& text, std::string_view tag) {
  Step step;
  step.text = base::Slice::CopyOf(text);
  step.tag = tag;
  return step;
}

Step ReadingStep(const base::Slice& reading) {
  Step step;
  step.text = reading;
  step.tag = "SELECT 1";
  return step;
}

// A Parse of `name`, and nothing else.
Step ParseStep(const base::Slice& parse, std::string_view name) {
  Step step;
  step.extended = true;
  step.parse = parse;
  step.statement = name;
  return step;
}

Step DeallocateStep(std::string_view name) {
  return TextStep("DEALLOCATE " + sql::Quote(name, '"'), "DEALLOCATE");
}

bool Moves(std::string_view tag) { return tag.starts_with("FETCH ") || tag.starts_with("MOVE "); }

}  // namespace

// -- settings and names ---------------------------------------------------------------------------

void Recorder::SetLexing(std::string_view setting, std::string_view value) {
  if (setting == kStandardStrings) {
    lex_.standard_conforming_strings = value != "off" && value != "false" && value != "0";
  } else if (setting == kEncoding) {
    lex_.encoding = sql::EncodingOf(value);
    encodings_ |= static_cast<uint8_t>(1U << static_cast<uint8_t>(lex_.encoding));
  }
  for (size_t i = 0; i < kReading.size(); ++i) {
    if (sql::EqualFolded(setting, kReading[i]) && reading_values_[i] != value) {
      reading_values_[i] = value;
      reading_.Reset();
    }
  }
}

void Recorder::OnSession(const sql::Statement& facts, std::string_view tag,
                         std::string_view text) {
  if (tag == "PREPARE") {
    if (sql_prepared_.size() < kSqlPreparedMax) {
      sql::Statement& prepared = sql_prepared_[facts.name];
      prepared = facts;
      prepared.effect = facts.prepared;
      prepared.prepared = sql::Effect::kUnknown;
    } else {
      sql_prepared_missed_ = true;
    }
  } else if (tag == "DEALLOCATE") {
    statements_.Erase(facts.name);
    sql_prepared_.erase(facts.name);
  } else if (tag == "DEALLOCATE ALL" || tag == "DISCARD ALL") {
    statements_.Clear();
    sql_prepared_.clear();
  } else {
    reading_unsure_ = true;  // what it has set is reported with the end of the turn
  }
  if (tag == "SET" && !facts.local) {
    const PlainSet set = ReadSet(text);
    if (set.value != "default") {  // else the server reports it
      if (set.name == "names" || set.name == kEncoding) {
        SetLexing(kEncoding, set.value);
      } else if (set.name == kStandardStrings) {
        SetLexing(set.name, set.value);
      }
    }
  }
}

// A statement that puts the settings by which texts are read in force as they are now, for the rest
// of a transaction; empty: they are not known.
base::Slice Recorder::Reading() {
  if (reading_unsure_) {
    return base::Slice();
  }
  if (reading_.empty()) {
    std::string text = "SELECT 1";
    for (size_t i = 0; i < kReading.size(); ++i) {
      if (reading_values_[i].empty()) {
        continue;
      }
      text += ", pg_catalog.set_config('";
      text += kReading[i];
      text += "', ";
      text += sql::Quote(reading_values_[i], '\'') + ", true)";
    }
    reading_ = base::Slice::CopyOf(text);
  }
  return reading_;
}

// `item` runs a statement that was parsed when `reading` was in force: if something else is now, it
// is parsed under the one and run under the other.
void Recorder::AddReading(const base::Slice& reading, Item* item) {
  const base::Slice now = Reading();
  if (reading.empty() || now.empty() || reading.view() == now.view()) {
    return;
  }
  item->around = std::make_unique<Around>();
  item->around->before.push_back(ReadingStep(reading));
  item->around->before.push_back(ParseStep(item->step.parse, kParsedName));
  item->around->before.push_back(ReadingStep(now));
  item->around->after.push_back(DeallocateStep(kParsedName));
  item->step.statement = kParsedName;
}

// Where SQL names what Parse has prepared, the mirror gets the Parse as well.
void Recorder::AddPrepared(const sql::Statement& facts, Item* item) {
  const bool may_name = facts.effect == sql::Effect::kExecute || facts.effect == sql::Effect::kDdl;
  if (!may_name || facts.name.empty() || item->wanted == 0 || item->lost != Cause::kNone) {
    return;
  }
  const Prepared* const prepared = statements_.Find(facts.name);
  if (prepared == nullptr) {
    return;
  }
  const Kept& parse = prepared->parse;
  item->lost = parse.lost;
  if (parse.lost == Cause::kNone && !item->charge.Take(tools_.held, parse.bytes.size())) {
    item->lost = Cause::kOverBudget;
  }
  if (item->lost != Cause::kNone) {
    return;
  }
  const base::Slice& then = prepared->reading;
  const base::Slice now = Reading();
  const bool other = !then.empty() && !now.empty() && then.view() != now.view();
  item->around = std::make_unique<Around>();
  if (other) {
    item->around->before.push_back(ReadingStep(then));
  }
  item->around->before.push_back(ParseStep(parse.bytes, facts.name));
  if (other) {
    item->around->before.push_back(ReadingStep(now));
  }
  item->around->after.push_back(DeallocateStep(facts.name));
}

// -- cursors --------------------------------------------------------------------------------------

// True if nobody wants it by now, and somebody may before the transaction is over: whoever gets a
// write WHERE CURRENT OF a cursor needs the cursor too, where it stands.
bool Recorder::OnCursor(const sql::Statement& facts, std::string_view tag, Item* item) {
  if (tag == "CLOSE CURSOR ALL") {
    for (const auto& [name, cursor] : cursors_) {
      item->wanted |= cursor.wanted;
    }
    cursors_.clear();
    return false;
  }
  if (tag == "DECLARE CURSOR") {
    cursors_[facts.name] = Cursor{last_serial_ + 1, item->wanted, facts.temporary};
  }
  const auto found = cursors_.find(facts.name);
  if (found == cursors_.end()) {
    return false;
  }
  Cursor& cursor = found->second;
  if (tag != "DECLARE CURSOR" && tag != "CLOSE CURSOR" && !Moves(tag)) {
    WantCursor(&cursor, item->wanted);
    return false;
  }
  item->cursor = cursor.declared;
  item->wanted |= cursor.wanted;
  const bool room = cursor_items_ < kCursorItemsMax && !tools_.statements_alone;
  const bool perhaps = item->wanted == 0 && room;
  if (tag == "CLOSE CURSOR" || (item->wanted == 0 && !room)) {
    cursors_.erase(found);  // without all of its statements it would stand somewhere else
  }
  cursor_items_ += perhaps ? 1 : 0;
  return perhaps;
}

void Recorder::WantCursor(Cursor* cursor, uint32_t wanted) {
  if ((wanted & ~cursor->wanted) == 0) {
    return;
  }
  for (Item& item : items_) {
    if (item.cursor == cursor->declared) {
      cursor_items_ -= item.wanted == 0 ? 1 : 0;
      item.wanted |= wanted;
    }
  }
  cursor->wanted |= wanted;
}

void Recorder::OnTransactionOver() {
  cursor_items_ = 0;
  for (auto it = cursors_.begin(); it != cursors_.end();) {
    it = it->second.hold ? std::next(it) : cursors_.erase(it);
  }
}

// Whether ROLLBACK TO leaves its effect: PREPARE, DEALLOCATE, and where a cursor stands that was
// declared before the savepoint. `first`: serial of the first item behind it.
bool Recorder::HoldsThroughRollback(const Item& item, uint64_t first) const {
  return item.step.survives || (item.cursor != 0 && item.cursor < first);
}

}  // namespace mirror
