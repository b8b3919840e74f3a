#include "mirror/journal.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mirror/trace.h"
#include "sql/lexer.h"
#include "sql/tables.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

// Of a name as quote_ident() spells it.
std::string LastPart(std::string_view table) {
  if (table.empty() || table.back() != '"') {
    return std::string(table.substr(table.rfind('.') + 1));
  }
  std::string name;
  size_t at = table.size() - 1;
  while (at > 0) {
    --at;
    if (table[at] == '"' && (at == 0 || table[at - 1] != '"')) {
      break;
    }
    at -= table[at] == '"' ? 1 : 0;  // written twice
    name.insert(name.begin(), table[at]);
  }
  return name;
}

// True if one of the names in a text, but for those with a schema, is as `wanted` says.
template <typename Wanted>
bool HasName(std::string_view text, const Wanted& wanted) {
  sql::Lexer lexer(text);
  bool qualified = false;
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    if (sql::IsName(token) && !qualified && wanted(sql::IdentifierName(token))) {
      return true;
    }
    qualified = token.symbol == '.';
  }
  return false;
}

}  // namespace

void Journal::Note(Step* step, bool applied) {
  asks_ = asks_ || step->asks;
  pinned_ = pinned_ || (applied && step->pins_sequence);
  if (step->trace == Trace::kHeld || !temporaries_.empty()) {
    NoteTemporary(*step, applied);
  }
  switch (step->trace) {
    case Trace::kNone:
      break;
    case Trace::kHeld:
      (applied ? held_ : lost_) = true;
      break;
    case Trace::kSet:
      NoteSetting(step);
      break;
    case Trace::kLost:
      blind_ = true;
      break;
    case Trace::kReset:
      blind_ = false;
      Forget("set ");
      break;
    case Trace::kDeallocate:
      if (step->key.empty()) {
        Forget("prepare ");
      } else {
        Erase("prepare " + step->key);
      }
      break;
    case Trace::kDiscardTemp:
      temporaries_.clear();
      break;
    case Trace::kDiscard: {
      const bool asks = asks_;
      *this = Journal();
      asks_ = asks;
    }
  }
}

// Made or dropped, by the texts. Those above kMax are found missing only if nothing else has the
// name.
void Journal::NoteTemporary(const Step& step, bool applied) {
  const bool made = step.trace == Trace::kHeld && step.tag.starts_with("CREATE ");
  if (!made && !IsDrop(step)) {
    return;
  }
  for (const std::string& table : sql::WrittenTables(TextOf(step))) {
    const std::string name = LastPart(table);
    std::erase_if(temporaries_, [&](const Temporary& known) { return known.name == name; });
    if (made && table != sql::kAnyTable && temporaries_.size() < kMax) {
      temporaries_.push_back(Temporary{name, !applied});
    }
  }
}

bool Journal::WouldKeep(const Step& step) const {
  if (step.trace == Trace::kDiscard || step.trace == Trace::kDiscardTemp) {
    return held_;
  }
  if (!IsDrop(step) || temporaries_.empty()) {
    return false;
  }
  std::vector<std::string> dropped;
  for (const std::string& table : sql::WrittenTables(TextOf(step))) {
    dropped.push_back(LastPart(table));
  }
  const auto has = [&dropped](const std::string& name) {
    return std::find(dropped.begin(), dropped.end(), name) != dropped.end();
  };
  const bool any = dropped.empty() || has(std::string(sql::kAnyTable));  // it does not tell
  return std::any_of(temporaries_.begin(), temporaries_.end(), [&](const Temporary& known) {
    return !known.lost && (any || has(known.name));
  });
}

bool Journal::Lacks(const Unit& unit) const {
  if (pinned_ && std::any_of(unit.steps.begin(), unit.steps.end(), [](const Step& step) {
        return step.asks && AsksForLastValue(step);
      })) {
    return true;
  }
  const auto gone = [this](const std::string& name) {
    return std::any_of(temporaries_.begin(), temporaries_.end(), [&](const Temporary& known) {
      return known.lost && known.name == name;
    });
  };
  const bool any = std::any_of(temporaries_.begin(), temporaries_.end(),
                               [](const Temporary& known) { return known.lost; });
  return any && std::any_of(unit.steps.begin(), unit.steps.end(), [&](const Step& step) {
           return HasName(TextOf(step), gone);
         });
}

void Journal::NoteSetting(Step* step) {
  Erase(step->key);
  if (EndsRole(*step)) {
    return;  // what it goes back to is the session's beginning, which every connection has
  }
  if (keys_.size() >= kMax) {
    held_ = true;
    return;
  }
  keys_.push_back(std::move(step->key));
  texts_.emplace_back(TextOf(*step));
}

void Journal::OnLost() {
  lost_ = lost_ || held_;
  values_lost_ = values_lost_ || ran_;
  held_ = false;
  ran_ = false;
  for (Temporary& known : temporaries_) {
    known.lost = true;
  }
}

// A table, view or sequence that is gone is 42P01, a type, index or trigger 42704, a function
// 42883, the temporary schema 3F000; a column that only a temporary table of that name had is
// 42703; a prepared statement is 26000, a cursor 34000. A lock or a LISTEN is missed by nobody.
bool Journal::Misses(std::string_view sqlstate) const {
  constexpr std::array kOfObjects = {"42P01", "42704", "42883", "3F000", "42703", "26000", "34000"};
  return (lost_ && std::find(kOfObjects.begin(), kOfObjects.end(), sqlstate) != kOfObjects.end()) ||
         (values_lost_ && sqlstate == "55000");
}

void Journal::Forget(std::string_view prefix) {
  for (size_t i = keys_.size(); i > 0; --i) {
    const std::string& key = keys_[i - 1];
    // RESET ALL leaves the roles.
    if (key.starts_with(prefix) && key != kRoleKey && key != kAuthorizationKey) {
      keys_.erase(keys_.begin() + static_cast<ptrdiff_t>(i - 1));
      texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i - 1));
    }
  }
}

void Journal::Erase(const std::string& key) {
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) {
      keys_.erase(keys_.begin() + static_cast<ptrdiff_t>(i));
      texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }
}

}  // namespace mirror
