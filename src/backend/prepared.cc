#include "backend/prepared.h"

#include <charconv>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/fault_point.h"

namespace backend {
namespace {

std::string Hex(uint64_t number) {
  char digits[16];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, number, 16);
  return std::string(digits, end.ptr);
}

// Length before text: no two statements have one key.
std::string KeyOf(std::string_view text, std::string_view types, std::string_view context) {
  if (HISTORICAL_BUG("e8-types-are-not-in-the-key")) types = "";
  if (HISTORICAL_BUG("e11-search-path-is-not-in-the-key")) context = "";
  std::string key = Hex(types.size()) + ":" + Hex(context.size()) + ":";
  key += types;
  key += context;
  key += text;
  return key;
}

}  // namespace

Statement* StatementTable::Use(std::string_view text, std::string_view types,
                               std::string_view context) {
  std::string key = KeyOf(text, types, context);
  std::unique_ptr<Statement>& place = statements_[key];
  if (place == nullptr) {
    place = std::make_unique<Statement>();
    place->key = std::move(key);
    place->id = ++last_;
    place->name = "pgbraid_" + Hex(shard_) + "_" + Hex(last_);
    place->text = text;
    place->types = types;
  }
  ++place->users;
  return place.get();
}

Statement* StatementTable::UseProven(std::string_view text, std::string_view types,
                                     std::string_view context) {
  const auto found = statements_.find(KeyOf(text, types, context));
  if (found == statements_.end() || !found->second->proven) {
    return nullptr;
  }
  ++found->second->users;
  return found->second.get();
}

void StatementTable::LetGo(Statement* statement) {
  CHECK(statement->users > 0);
  if (--statement->users == 0) {
    statements_.erase(std::string(statement->key));
  }
}

Held Prepared::Touch(const Statement* statement) {
  const auto found = places_.find(statement->id);
  if (found == places_.end()) {
    return Held::kNo;
  }
  if (found->second != order_.begin()) {
    order_.splice(order_.begin(), order_, found->second);
  }
  return found->second->epoch == statement->epoch ? Held::kYes : Held::kOutdated;
}

void Prepared::Add(Statement* statement, turn::RequestId request) {
  const auto found = places_.find(statement->id);
  const bool again = found != places_.end();
  if (again) {
    DCHECK(found->second->epoch != statement->epoch);
    found->second->epoch = statement->epoch;
  } else {
    table_->UseAgain(statement);
    order_.push_front(Place{statement, statement->epoch});
    places_[statement->id] = order_.begin();
  }
  pending_.push_back(Pending{request, statement->id, again});
}

void Prepared::OnUse(turn::RequestId request, const Statement* statement) {
  if (request != 0 && uses_.size() < kUsesMax) {
    uses_.push_back(Use{request, statement->id});
  }
}

const Statement* Prepared::OnChanged(turn::RequestId request) {
  for (const Use& use : uses_) {
    const auto found = places_.find(use.statement);
    if (use.request != request || found == places_.end()) {
      continue;
    }
    Statement* const statement = found->second->statement;
    ++statement->epoch;
    statement->proven = false;
    return statement;
  }
  if (uses_.size() == kUsesMax) {  // it may be one of those that were not noted
    for (Place& place : order_) {
      place.epoch = 0;
    }
  }
  return nullptr;
}

void Prepared::Doubt(turn::RequestId request) {
  if (HISTORICAL_BUG("e10-deallocate-all-is-not-seen")) return;
  doubted_.push_back(Doubted{request, std::exchange(order_, {})});
  places_.clear();
}

void Prepared::OnDeallocated() {
  if (doubted_.empty()) {  // it stood in a text that was not read
    Clear();
    return;
  }
  for (const Place& place : doubted_.front().order) {
    table_->LetGo(place.statement);
  }
  doubted_.erase(doubted_.begin());
}

void Prepared::Restore(Doubted* doubted) {
  for (const Place& place : doubted->order) {
    if (places_.contains(place.statement->id)) {
      table_->LetGo(place.statement);
      continue;
    }
    order_.push_back(place);
    places_[place.statement->id] = std::prev(order_.end());
  }
}

void Prepared::OnFailed(turn::RequestId first, turn::RequestId end) {
  std::erase_if(doubted_, [&](Doubted& doubted) {
    const bool failed =
        doubted.request >= first && (doubted.request < end || doubted.request == first);
    if (failed) {
      Restore(&doubted);
    }
    return failed;
  });
  std::erase_if(pending_, [&](const Pending& pending) {
    if (pending.request < first || pending.request >= end ||
        HISTORICAL_BUG("e7-failed-parse-is-kept")) {
      return false;
    }
    const auto found = places_.find(pending.statement);
    if (found != places_.end() && pending.again) {
      found->second->epoch = 0;  // the Close before it may have been swallowed as well
    } else if (found != places_.end()) {
      Erase(found->second);
    }
    return true;
  });
}

void Prepared::Settle() {
  for (Doubted& doubted : doubted_) {  // it was parsed, and never run
    Restore(&doubted);
  }
  doubted_.clear();
  for (const Pending& pending : pending_) {
    if (const auto found = places_.find(pending.statement); found != places_.end()) {
      found->second->statement->proven = true;
    }
  }
  pending_.clear();
  uses_.clear();
}

std::string Prepared::TakeExcess(size_t most) {
  if (places_.size() <= most) {
    return "";
  }
  std::string name = order_.back().statement->name;
  Erase(std::prev(order_.end()));
  return name;
}

void Prepared::Drop(const Statement* statement) {
  if (const auto found = places_.find(statement->id); found != places_.end()) {
    Erase(found->second);
  }
}

void Prepared::Clear() {
  for (Doubted& doubted : std::exchange(doubted_, {})) {
    for (const Place& place : doubted.order) {
      table_->LetGo(place.statement);
    }
  }
  while (!order_.empty()) {
    Erase(order_.begin());
  }
  pending_.clear();
  uses_.clear();
}

void Prepared::Erase(Order::iterator place) {
  Statement* const statement = place->statement;
  places_.erase(statement->id);
  order_.erase(place);
  table_->LetGo(statement);
}

}  // namespace backend
