#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "mirror/recorder.h"

namespace mirror {
namespace {

constexpr int64_t kStepBytes = 256;  // what a step costs beside its bytes, roughly

int64_t Size(const base::Slice& slice) { return static_cast<int64_t>(slice.size()); }

// What steps hold that are not all of a transaction. The statements of one Query share its text.
int64_t BytesOf(std::span<const Step> steps) {
  const base::Block* last = nullptr;
  int64_t bytes = 0;
  for (const Step& step : steps) {
    bytes += kStepBytes + Size(step.parse) + Size(step.bind);
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

}  // namespace

void Recorder::OfferItems(std::span<Item> items, const base::Slice& prepare, Cause lost) {
  ++transactions_;
  struct Choice {
    Unit unit;
    Cause lost = Cause::kNone;
    bool any = false;
  };
  absl::InlinedVector<Choice, 1> choices(views_.size());
  for (size_t i = 0; i < views_.size(); ++i) {
    choices[i].unit.prepare = prepare;
    choices[i].unit.committed = tools_.loop->now();
    choices[i].lost = lost;
    choices[i].any = Choose(views_[i], items, &choices[i].unit, &choices[i].lost);
  }
  for (Item& item : items) {
    item.charge.Release();  // the lanes charge their own mirror's budget
  }
  for (size_t i = 0; i < views_.size(); ++i) {
    if (choices[i].any) {
      OfferTo(views_[i], choices[i].unit, choices[i].lost);
    }
  }
}

// Fills `unit` with what a view gets of a transaction. False: nothing, or SET LOCAL and nothing
// else. PREPARE TRANSACTION goes in any case, or COMMIT PREPARED would find nothing.
bool Recorder::Choose(const View& view, std::span<Item> items, Unit* unit, Cause* lost) {
  const bool in_sample = InSample(view.exposure, tools_.session, transactions_);
  const bool last = view.bit == views_.back().bit;
  const bool prepares = !unit->prepare.empty() || *lost != Cause::kNone;
  bool any = false;
  bool sampled_out = false;
  bool all = true;
  int64_t charged = 0;
  for (Item& item : items) {
    const bool wanted = (item.wanted & view.bit) != 0;
    const bool goes = wanted && (in_sample || item.kept);
    sampled_out |= wanted && !goes;
    all &= goes;
    if (!goes) {
      continue;
    }
    any |= !item.step.local || item.lost != Cause::kNone;
    *lost = *lost == Cause::kNone ? item.lost : *lost;
    charged += item.charge.bytes();
    unit->steps.push_back(last ? std::move(item.step) : item.step);
  }
  unit->bytes = all ? charged : BytesOf(unit->steps);
  if (sampled_out) {
    for (const Route& route : view.routes) {
      route.metrics->filtered_transactions.Add();
    }
  }
  return any || prepares;
}

void Recorder::OfferTo(const View& view, const Unit& unit, Cause lost) {
  if (tools_.statements_alone && lost == Cause::kNone && unit.prepare.empty() &&
      unit.steps.size() > 1) {
    OfferAlone(view, unit);
    return;
  }
  for (const Route& route : view.routes) {
    route.target->Offer(unit, lost);
  }
}

// Each is a transaction of its own on the mirror, and may be refused or repeated alone.
void Recorder::OfferAlone(const View& view, const Unit& unit) {
  for (const Step& step : unit.steps) {
    if (step.local) {
      continue;
    }
    Unit alone;
    alone.steps.push_back(step);
    alone.bytes = BytesOf(alone.steps);
    alone.committed = unit.committed;
    for (const Route& route : view.routes) {
      route.target->Offer(alone, Cause::kNone);
    }
  }
}

// PREPARE and DEALLOCATE hold though their transaction was rolled back.
void Recorder::OfferSurvivors(std::span<Item> items) {
  for (Item& item : items) {
    if (item.step.survives && item.lost == Cause::kNone) {
      OfferItems(std::span<Item>(&item, 1), base::Slice(), Cause::kNone);
    }
  }
}

// A transaction that cannot be sent; one that is not in the sample would not have been.
void Recorder::OfferLost(Cause lost, uint32_t wanted) {
  if (wanted == 0) {
    return;
  }
  ++transactions_;
  const Unit nothing;
  for (const View& view : views_) {
    if ((view.bit & wanted) == 0) {
      continue;
    }
    const bool in_sample = InSample(view.exposure, tools_.session, transactions_);
    for (const Route& route : view.routes) {
      if (in_sample) {
        route.target->Offer(nothing, lost);
      } else {
        route.metrics->filtered_transactions.Add();
      }
    }
  }
}

}  // namespace mirror
