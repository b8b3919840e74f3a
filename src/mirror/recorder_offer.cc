#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "mirror/overflow.h"
#include "mirror/recorder.h"
#include "mirror/returned.h"

namespace mirror {
namespace {

constexpr uint8_t kAnyEncoding = (1U << sql::kEncodingCount) - 1;

int64_t Size(const base::Slice& slice) { return static_cast<int64_t>(slice.size()); }

// What steps hold that are not all of a transaction. The statements of one Query share its text.
int64_t BytesOf(std::span<const Step> steps) {
  const base::Block* last = nullptr;
  int64_t bytes = 0;
  for (const Step& step : steps) {
    bytes += recording::kStepBytes + Size(step.parse) + Size(step.bind) + PinBytes(step);
    if (!step.text.empty() && step.text.block() != last) {
      last = step.text.block();
      bytes += last->capacity;
    }
    for (const base::Slice& data : step.copy) {
      bytes += data.block()->capacity;
    }
  }
  return bytes;
}

// Known by now: whoever sends what is on the disk may find out more.
Cause LostOf(const recording::Item& item) {
  const base::Held<Stored>& stored = item.step.stored;
  const bool broken = stored && !stored->file->failure().ok();
  return broken && item.lost == Cause::kNone ? Cause::kSpillLost : item.lost;
}

}  // namespace

// Of a transaction without BEGIN, those that refuse one are sent alone, and so in several.
void Recorder::OfferRuns(std::span<Item> items, const Unit& unit) {
  size_t from = 0;
  Unit alone = unit;
  alone.commits = true;
  for (size_t i = 0; i < items.size() && !unit.place.is_explicit; ++i) {
    if (items[i].alone) {
      if (from < i) {
        OfferItems(items.subspan(from, i - from), unit, Cause::kNone);
      }
      OfferItems(items.subspan(i, 1), alone, Cause::kNone);
      from = i + 1;
    }
  }
  if (from < items.size()) {
    OfferItems(items.subspan(from), unit, Cause::kNone);
  }
}

void Recorder::OfferItems(std::span<Item> items, const Unit& unit, Cause lost) {
  ++transactions_;
  absl::InlinedVector<Choice, 1> choices;
  for (const View& view : views_) {
    Choice choice{&view, unit, lost, {}};
    if (Choose(&choice, items)) {
      choices.push_back(std::move(choice));
    }
  }
  for (Item& item : items) {
    item.charge.Release();  // the lanes charge their own mirror's budget
  }
  if (!tools_.statements_alone || !unit.prepare.empty() || lost != Cause::kNone) {
    Offer({choices.data(), choices.size()});
    return;
  }
  for (const Choice& choice : choices) {
    OfferAlone(choice);
  }
}

// With ours around it. `last`: nobody else will ask for them.
void Recorder::AppendSteps(Item* item, bool last, std::vector<Step>* steps) {
  const Around none;
  const Around& around = item->around == nullptr ? none : *item->around;
  item->step.seen = item->seen;
  steps->insert(steps->end(), around.before.begin(), around.before.end());
  steps->push_back(last ? std::move(item->step) : item->step);
  steps->insert(steps->end(), around.after.begin(), around.after.end());
}

// Fills the unit with what the choice's view gets of a transaction. False: nothing, or SET LOCAL
// and nothing else. PREPARE TRANSACTION goes in any case, or COMMIT PREPARED would find nothing.
bool Recorder::Choose(Choice* choice, std::span<Item> items) {
  const View& view = *choice->view;
  Unit* const unit = &choice->unit;
  Cause* const lost = &choice->lost;
  const bool in_sample = InSample(view.exposure, tools_.session, transactions_);
  const bool last = view.bit == views_.back().bit;
  const bool prepares = !unit->prepare.empty() || *lost != Cause::kNone;
  bool any = false;
  bool sampled_out = false;
  bool all = true;
  int64_t charged = 0;
  unit->steps.reserve(items.size());
  for (Item& item : items) {
    const bool wanted = (item.wanted & view.bit) != 0;
    const bool goes = wanted && (in_sample || item.kept);
    sampled_out |= wanted && !goes;
    all &= goes && item.around == nullptr;
    if (!goes) {
      continue;
    }
    any |= !item.step.local || item.lost != Cause::kNone;
    *lost = *lost == Cause::kNone ? LostOf(item) : *lost;
    charged += item.charge.bytes();
    unit->after = std::max(unit->after, item.seen);
    unit->took += item.took;
    if (tools_.statements_alone) {
      choice->groups.push_back(unit->steps.size());
    }
    AppendSteps(&item, last, &unit->steps);
  }
  unit->bytes = all ? charged : BytesOf(unit->steps);
  unit->bytes += static_cast<int64_t>(unit->begin.size());
  if (sampled_out) {
    for (const Route& route : view.routes) {
      route.metrics->filtered_transactions.Add();
    }
  }
  return any || prepares;
}

// Whom it may have met, and whom it follows in a row: see Unit::meets and Unit::behind.
uint64_t Recorder::NoteRows(Unit* unit) {
  const bool meets = tools_.overlaps != nullptr && !unit->block();
  if (!meets && tools_.last_writers == nullptr) {
    return 0;
  }
  const std::vector<WrittenRow> rows = WrittenRows(*unit, lex_);
  unit->meets = meets && tools_.overlaps->Meets(*unit, tools_.session, rows);
  return tools_.last_writers == nullptr ? 0 : tools_.last_writers->Note(unit->place.stamp, rows);
}

// They take their place: that of the COMMIT at whose answer they are offered, or, while a COMMIT of
// the session behind it waits for its own, that one's (a session's transactions stay in their
// order).
void Recorder::Offer(std::span<Choice> choices) {
  if (choices.empty()) {
    return;
  }
  for (const Choice& choice : choices) {
    for (const Route& route : choice.view->routes) {
      route.target->Expect();
    }
  }
  Place place;
  place.acked = tools_.clock->Tick();
  place.stamp = place.acked;
  if (reserved_ > 0) {
    place.stamp = std::find_if(requests_.begin(), requests_.end(), [](const Request& request) {
                    return request.stamp != 0;
                  })->stamp;
  }
  uint64_t behind = 0;
  for (Choice& choice : choices) {
    place.is_explicit = choice.unit.place.is_explicit;
    choice.unit.place = place;
    if (choice.lost == Cause::kNone) {
      behind = std::max(behind, NoteRows(&choice.unit));
      choice.unit.behind = behind;
    }
    choice.unit.committed = tools_.loop->now();
    choice.unit.encodings = reading_unsure_ ? kAnyEncoding : encodings_;
    const std::vector<Route>& routes = choice.view->routes;
    for (size_t i = 0; i + 1 < routes.size(); ++i) {
      routes[i].target->Offer(choice.unit, choice.lost);
    }
    routes.back().target->Offer(std::move(choice.unit), choice.lost);
  }
}

// Each is a transaction of its own on the mirror, and may be refused or repeated alone.
void Recorder::OfferAlone(const Choice& choice) {
  if (choice.lost != Cause::kNone) {
    Choice lost{choice.view, choice.unit, choice.lost, {}};
    Offer({&lost, 1});
    return;
  }
  const std::vector<Step>& steps = choice.unit.steps;
  for (size_t i = 0; i < choice.groups.size(); ++i) {
    const size_t from = choice.groups[i];
    const size_t end = i + 1 < choice.groups.size() ? choice.groups[i + 1] : steps.size();
    if (end - from == 1 && steps[from].local) {
      continue;
    }
    Choice alone{choice.view, Unit(), Cause::kNone, {}};
    alone.unit.steps.assign(steps.begin() + static_cast<ptrdiff_t>(from),
                            steps.begin() + static_cast<ptrdiff_t>(end));
    alone.unit.bytes = BytesOf(alone.unit.steps);
    alone.unit.after = choice.unit.after;
    Offer({&alone, 1});
  }
}

// PREPARE and DEALLOCATE hold though their transaction was rolled back whole.
void Recorder::OfferSurvivors(std::span<Item> items) {
  for (Item& item : items) {
    if (item.step.survives && item.lost == Cause::kNone) {
      OfferItems(std::span<Item>(&item, 1), Unit(), Cause::kNone);
    }
  }
}

// A transaction that cannot be sent; one that is not in the sample would not have been.
void Recorder::OfferLost(Cause lost, uint32_t wanted) {
  if (wanted == 0) {
    return;
  }
  ++transactions_;
  absl::InlinedVector<Choice, 1> choices;
  for (const View& view : views_) {
    if ((view.bit & wanted) == 0) {
      continue;
    }
    if (InSample(view.exposure, tools_.session, transactions_)) {
      choices.push_back(Choice{&view, Unit(), lost, {}});
      continue;
    }
    for (const Route& route : view.routes) {
      route.metrics->filtered_transactions.Add();
    }
  }
  Offer({choices.data(), choices.size()});
}

}  // namespace mirror
