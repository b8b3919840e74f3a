#include "mirror/filter.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/keyed_hash.h"

namespace mirror {
namespace {

using config::MirrorMode;

constexpr uint32_t Bit(Kind kind) { return uint32_t{1} << static_cast<uint32_t>(kind); }

constexpr uint32_t kAlways = Bit(Kind::kPrepared) | Bit(Kind::kState) | Bit(Kind::kLock);
constexpr uint32_t kWrites = Bit(Kind::kDdl) | Bit(Kind::kDml) | Bit(Kind::kUnknown);

// The kinds that a mode takes.
constexpr uint32_t KindsOf(MirrorMode mode) {
  switch (mode) {
    case MirrorMode::kWrites:
      return kAlways | kWrites;
    case MirrorMode::kAll:
      return kAlways | kWrites | Bit(Kind::kRead) | Bit(Kind::kOther);
    case MirrorMode::kReads:
      return kAlways | Bit(Kind::kRead);
    case MirrorMode::kDdl:
      return kAlways | Bit(Kind::kDdl) | Bit(Kind::kUnknown);
    case MirrorMode::kDml:
      return kAlways | Bit(Kind::kDml) | Bit(Kind::kUnknown);
    case MirrorMode::kWritesAndReads:
      return kAlways | kWrites | Bit(Kind::kRead);
  }
  return 0;
}

Kind KindOfWrite(const sql::Statement& facts) {
  if (facts.temporary && (facts.effect == sql::Effect::kDdl || facts.objects)) {
    return Kind::kState;
  }
  return facts.effect == sql::Effect::kDdl || facts.objects ? Kind::kDdl : Kind::kDml;
}

std::vector<config::MirrorFilter> Distinct(const config::Config& config,
                                           std::vector<size_t>* of_mirror) {
  std::vector<config::MirrorFilter> filters;
  const size_t captures = config.capture.empty() ? 0 : 1;
  for (size_t i = 0; i < config.mirrors.size() + captures; ++i) {
    config::MirrorFilter filter;
    if (i < config.mirrors.size()) {
      filter = config::FilterOf(config, i);
    } else {
      filter.mode = MirrorMode::kAll;
    }
    const auto known = std::find(filters.begin(), filters.end(), filter);
    of_mirror->push_back(static_cast<size_t>(known - filters.begin()));
    if (known == filters.end()) {
      filters.push_back(std::move(filter));
    }
  }
  return filters;
}

}  // namespace

Kind KindOf(const sql::Statement& facts) {
  switch (facts.effect) {
    case sql::Effect::kControl:
      return facts.control == sql::Control::kCommitPrepared ||
                     facts.control == sql::Control::kRollbackPrepared
                 ? Kind::kPrepared
                 : Kind::kControl;
    case sql::Effect::kDdl:
    case sql::Effect::kWrite:
      return KindOfWrite(facts);
    case sql::Effect::kSession:
      if (facts.one_server && facts.prepared == sql::Effect::kUnknown) {
        return Kind::kOneServer;
      }
      return facts.session_lock ? Kind::kLock : Kind::kState;
    case sql::Effect::kExecute:
      return Kind::kDml;
    case sql::Effect::kRead:
      return Kind::kRead;
    case sql::Effect::kOther:
      return facts.one_server ? Kind::kOneServer : Kind::kOther;
    case sql::Effect::kUnknown:
      return Kind::kUnknown;
  }
  return Kind::kUnknown;
}

Kind KindOfTag(std::string_view tag) {
  struct Row {
    std::string_view tag;
    Kind kind;
  };
  static constexpr Row kRows[] = {
      {"SELECT", Kind::kRead},         {"SHOW", Kind::kRead},
      {"FETCH", Kind::kRead},          {"EXPLAIN", Kind::kRead},
      {"BEGIN", Kind::kControl},       {"START TRANSACTION", Kind::kControl},
      {"COMMIT", Kind::kControl},      {"ROLLBACK", Kind::kControl},
      {"SAVEPOINT", Kind::kControl},   {"RELEASE", Kind::kControl},
      {"INSERT", Kind::kDml},          {"UPDATE", Kind::kDml},
      {"DELETE", Kind::kDml},          {"MERGE", Kind::kDml},
      {"COPY", Kind::kDml},            {"DO", Kind::kDml},
      {"CALL", Kind::kDml},
  };
  const std::string_view words = tag.substr(0, tag.find_last_not_of(" 0123456789") + 1);
  for (const Row& row : kRows) {
    if (row.tag == words) {
      return row.kind;
    }
  }
  for (const std::string_view verb : {"CREATE ", "ALTER ", "DROP "}) {
    if (tag.starts_with(verb)) {
      return Kind::kDdl;
    }
  }
  return Kind::kUnknown;
}

Filters::Filters(const config::Config& config)
    : filters_(Distinct(config, &of_mirror_)), patterns_(filters_) {
  for (size_t i = 0; i < filters_.size(); ++i) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      const bool wants = (KindsOf(filters_[i].mode) >> kind & 1) != 0;
      wanting_[kind] |= wants ? uint32_t{1} << i : 0;
    }
  }
}

// What keeps state is not asked to match: a pattern that names a table means its rows.
uint32_t Filters::Blocking(Kind kind, uint64_t marks) {
  uint32_t blocking = 0;
  if (kind == Kind::kLock || kind == Kind::kPrepared) {
    return blocking;
  }
  for (size_t i = 0; i < config::kMirrorFiltersMax; ++i) {
    const bool missing = config::MirrorPatterns::NotIncluded(marks, i) && kind != Kind::kState;
    if (missing || config::MirrorPatterns::Excluded(marks, i)) {
      blocking |= uint32_t{1} << i;
    }
  }
  return blocking;
}

bool InSample(double exposure, uint64_t session, uint64_t number) {
  if (exposure >= 1) {
    return true;
  }
  const uint64_t facts[] = {session, number};
  char bytes[sizeof(facts)];
  std::memcpy(bytes, facts, sizeof(facts));
  const uint64_t hash =
      base::KeyedHashOf(std::string_view(bytes, sizeof(bytes)), base::ProcessHashKey());
  return static_cast<double>(hash >> 11) * 0x1.0p-53 < exposure;
}

}  // namespace mirror
