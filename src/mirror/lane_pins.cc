// Which values of the first unit the mirror is given, see pin.h, and what has to be known for it.
#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "mirror/catalogue.h"
#include "mirror/lane.h"
#include "mirror/next_round.h"
#include "mirror/replay.h"
#include "mirror/returned.h"
#include "mirror/shadow.h"
#include "mirror/trace.h"

namespace mirror {
namespace {

// What is due to how the statement was written anew, or to what the table was taken for: syntax,
// names, types, values that cannot be read.
bool IsOfPins(std::string_view sqlstate) {
  return sqlstate.starts_with("42") || sqlstate == "22P02" || sqlstate == "22P03" ||
         sqlstate == "08P01" || sqlstate == "0A000";
}

// Of a long transaction; then the shard's other work goes first.
constexpr size_t kWrittenAtOnce = 256;

bool IsSetting(const Step& step) {
  return step.local || step.trace == Trace::kSet || step.trace == Trace::kReset;
}

}  // namespace

struct Lane::PinWork {
  std::vector<std::string> settings;  // of the unit, so far, that decide what names mean
  bool known = true;    // false: its tables may be of its own making
  size_t asked = 0;     // it asks for a sequence's last value behind all steps before this one
  size_t step = 0;      // the one at work
  sql::InsertShape shape;
  Returned returned;
  std::string key;      // of the table in the catalogue
};

// The first unit's statements are written anew, as far as the mirror's tables allow it.
io::Task<void> Lane::PinValues() {
  Queued& front = queue_.front();
  std::vector<Step>& steps = front.unit.steps;
  const uint64_t schema = shadow_->schema();
  front.pinning.rows = 0;
  front.pinning.unpinned = {};
  front.pinning.schema = front.unit.stored() ? schema : 0;
  if (front.unit.stored()) {
    co_return;
  }
  PinWork work;
  for (size_t i = 0; i < steps.size(); ++i) {
    work.asked = steps[i].asks && AsksForLastValue(steps[i]) ? i : work.asked;
  }
  size_t written = 0;
  for (work.step = 0; work.step < steps.size(); ++work.step) {
    Step* const step = &steps[work.step];
    if (!Begin(&work, step)) {
      continue;
    }
    if (++written % kWrittenAtOnce == 0) {
      NextRound next{loop_};
      co_await next;
    }
    if (shadow_->catalogue().Find(work.key, schema) == nullptr) {
      co_await LookUp(work.key, work.shape.table, work.settings);
    }
    if (link_ == nullptr || stopped_) {
      co_return;
    }
    Pin(work, step);
  }
  front.pinning.schema = schema;
}

// True if the step is to be written anew. What the unit makes of names and tables before it decides
// which table it is about.
bool Lane::Begin(PinWork* work, Step* step) {
  step->pinned_parse.Reset();
  step->pinned_bind.Reset();
  step->pinned_fields.clear();
  step->pins_sequence = false;
  if (IsSetting(*step) && ChangesNames(TextOf(*step))) {
    work->known = work->known && !step->extended;
    work->settings.emplace_back(TextOf(*step));
  }
  work->known = work->known && !ChangesTables(*step);
  if (step->returned.empty()) {
    LeaveUnpinned(step->unpinned);
    return false;
  }
  if (queue_.front().pinning.off) {
    LeaveUnpinned(Unpinned::kRefused);
    return false;
  }
  std::optional<sql::InsertShape> shape;
  if (ParseReturned(step->returned.view(), &work->returned)) {
    shape = sql::ReadInsert(TextOf(*step), work->returned.lex);
  }
  if (!shape.has_value() || !work->known) {
    LeaveUnpinned(shape.has_value() ? Unpinned::kTable : Unpinned::kShape);
    return false;
  }
  work->shape = *std::move(shape);
  work->key = TableKey(work->shape.table, work->settings);
  return true;
}

void Lane::LeaveUnpinned(Unpinned why) {
  if (why != Unpinned::kNone) {
    ++queue_.front().pinning.unpinned[static_cast<size_t>(why)];
  }
}

// Of a unit that is sent from the disk, piece by piece: it goes as it was, all of it, so that its
// rows belong together.
void Lane::LeaveStored(const Step& step) {
  queue_.front().changes |= ChangesTables(step);
  if (shadow_->generated() != config::Generated::kOff) {
    LeaveUnpinned(step.returned.empty() ? step.unpinned : Unpinned::kTooLarge);
  }
}

// All that decides what a name means: whose connection it is, and its search_path.
std::string Lane::TableKey(const std::vector<std::string>& table,
                           const std::vector<std::string>& settings) const {
  std::string key = key_;
  const auto add = [&key](std::string_view part) {
    key += '\0';
    key += part;
  };
  add(journal_.tied() ? std::to_string(id_) : std::string());  // it may have temporary tables
  if (table.size() == 1) {
    for (const std::string& text : journal_.texts()) {
      if (ChangesNames(text)) {
        add(text);
      }
    }
    std::for_each(settings.begin(), settings.end(), add);
  }
  add("");
  std::for_each(table.begin(), table.end(), add);
  return key;
}

// In a transaction of its own, with what the unit has set by then.
io::Task<void> Lane::LookUp(const std::string& key, const std::vector<std::string>& table,
                            const std::vector<std::string>& settings) {
  const uint64_t schema = shadow_->schema();
  const std::string text = TableText(table);
  if (text.empty()) {
    shadow_->catalogue().Put(key, schema, PinTable());
    co_return;
  }
  Replay replay(&link_->connection());
  if (!settings.empty()) {
    replay.Query("BEGIN");
    for (const std::string& setting : settings) {
      replay.Query(setting);
    }
  }
  replay.Query(text);
  if (!settings.empty()) {
    replay.Query("ROLLBACK");
  }
  TableReader reader;
  link_->connection().TellNotes(&reader);
  const Flight flight = co_await Ask(&replay);
  if (flight != Flight::kAnswered) {
    co_return;  // the connection is gone
  }
  link_->connection().TellNotes(&link_->check());
  shadow_->catalogue().Put(key, schema,
                           replay.sqlstate().empty() ? reader.Take() : PinTable());
}

// Where its transaction asks for a sequence's last value behind it, the mirror's own would be
// another one: so the mirror's sequences are used.
void Lane::Pin(const PinWork& work, Step* step) {
  const PinTable* const table = shadow_->catalogue().Find(work.key, shadow_->schema());
  mirror::Pin pin = PinStep(*step, work.returned, work.shape,
                            table == nullptr ? PinTable() : *table);
  if (pin.sequence && work.step < work.asked) {
    pin = mirror::Pin();
    pin.why = Unpinned::kCurrval;
  }
  LeaveUnpinned(pin.why);
  queue_.front().pinning.rows += pin.rows;
  step->pinned_parse = std::move(pin.parse);
  step->pinned_bind = std::move(pin.bind);
  step->pinned_fields = std::move(pin.fields);
  step->pins_sequence = pin.sequence;
}

// True if the unit is to be sent once more: first with what the mirror's tables are like now, then
// as it was.
bool Lane::PinsRefused(std::string_view sqlstate) {
  Queued& front = queue_.front();
  if (front.pinning.rows == 0 || front.pinning.off || !IsOfPins(sqlstate)) {
    return false;
  }
  front.pinning.off = front.pinning.again;
  front.pinning.again = true;
  front.pinning.schema = 0;
  if (!front.pinning.off) {
    shadow_->OnSchemaChanged();
  }
  return true;
}

// Of a unit that was applied.
void Lane::CountPins() {
  const Queued& front = queue_.front();
  MirrorMetrics& metrics = shadow_->metrics();
  if (shadow_->generated() == config::Generated::kTolerate) {
    const auto direct = static_cast<uint32_t>(std::count_if(
        front.unit.steps.begin(), front.unit.steps.end(), [](const Step& step) {
          return step.unpinned != Unpinned::kNone || !step.returned.empty();
        }));
    const auto& told = front.pinning.unpinned;
    metrics.unpinned[static_cast<size_t>(Unpinned::kTolerated)].Add(
        front.unit.stored() ? std::accumulate(told.begin(), told.end(), uint32_t{0}) : direct);
  }
  if (!shadow_->pins()) {
    return;
  }
  metrics.pinned_rows.Add(front.pinning.rows);
  for (size_t i = 1; i < kUnpinnedReasons; ++i) {
    metrics.unpinned[i].Add(front.pinning.unpinned[i]);
  }
  if (front.pinning.rows > 0 && link_ != nullptr && link_->check().changed()) {
    metrics.unpinned[static_cast<size_t>(Unpinned::kChanged)].Add();
  }
}

}  // namespace mirror
