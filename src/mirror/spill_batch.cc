#include "mirror/spill_batch.h"

#include <algorithm>
#include <optional>

#include "base/byte_input.h"
#include "mirror/unit_codec.h"
#include "sql/tables.h"

namespace mirror {
namespace {

constexpr unsigned char kVersion = 1;
constexpr size_t kPrefixBytes = 1 + sizeof(uint32_t);  // version, length of the header

using base::AppendByte;
using base::AppendLe32;
using base::AppendLe64;
using base::AppendSized;
using base::ByteInput;

std::string HeaderOf(const SpillSummary& summary) {
  std::string header;
  AppendLe64(&header, summary.units);
  AppendLe64(&header, summary.statements);
  AppendLe64(&header, static_cast<uint64_t>(absl::ToUnixMillis(summary.first)));
  AppendLe64(&header, static_cast<uint64_t>(absl::ToUnixMillis(summary.last)));
  AppendLe32(&header, static_cast<uint32_t>(summary.tables.size()));
  for (const auto& [table, tally] : summary.tables) {
    AppendSized(&header, table);
    AppendLe64(&header, tally.statements);
    AppendLe64(&header, tally.transactions);
  }
  return header;
}

// The header within a record; nullopt if it does not fit in.
std::optional<std::string_view> FindHeader(std::string_view record) {
  ByteInput input(record);
  if (input.Byte() != kVersion) {
    return std::nullopt;
  }
  const std::string_view header = input.Sized();
  return input.failed() ? std::nullopt : std::optional(header);
}

std::string Associated(std::string_view context, std::string_view header) {
  std::string associated;
  AppendSized(&associated, context);
  associated += header;
  return associated;
}

void AppendOwner(std::string* to, const SpillOwner& owner) {
  AppendLe64(to, owner.lane);
  AppendLe64(to, owner.session);
  AppendSized(to, owner.database);
  AppendSized(to, owner.client);
  AppendParameters(to, owner.parameters);
}

SpillOwner ParseOwner(ByteInput* input) {
  SpillOwner owner;
  owner.lane = input->Le64();
  owner.session = input->Le64();
  owner.database = input->Sized();
  owner.client = input->Sized();
  owner.parameters = ParseParameters(input);
  return owner;
}

}  // namespace

// -- the summary ----------------------------------------------------------------------------------

void SpillSummary::AddTable(const std::string& table, const Tally& tally) {
  const bool full = tables.size() >= kTablesMax && !tables.contains(table);
  Tally& to = tables[full ? std::string(sql::kAnyTable) : table];
  to.statements += tally.statements;
  to.transactions += tally.transactions;
}

void SpillSummary::Add(const Unit& unit, absl::Time committed) {
  ++units;
  statements += unit.statements();
  first = std::min(first, committed);
  last = std::max(last, committed);
  for (const auto& [table, count] : TablesOf(unit)) {
    AddTable(table, Tally{.statements = count, .transactions = 1});
  }
}

void SpillSummary::Add(const SpillSummary& other) {
  units += other.units;
  statements += other.statements;
  first = std::min(first, other.first);
  last = std::max(last, other.last);
  for (const auto& [table, tally] : other.tables) {
    AddTable(table, tally);
  }
}

// A table that was folded when it came is folded when it goes.
void SpillSummary::Subtract(const SpillSummary& other) {
  units -= std::min(units, other.units);
  statements -= std::min(statements, other.statements);
  for (const auto& [table, tally] : other.tables) {
    auto found = tables.find(table);
    if (found == tables.end()) {
      found = tables.find(std::string(sql::kAnyTable));
    }
    if (found == tables.end()) {
      continue;
    }
    Tally& from = found->second;
    from.statements -= std::min(from.statements, tally.statements);
    from.transactions -= std::min(from.transactions, tally.transactions);
    if (from.transactions == 0) {
      tables.erase(found);
    }
  }
}

std::vector<Gap> SpillSummary::Gaps(Cause cause) const {
  std::vector<Gap> gaps;
  for (const auto& [table, tally] : tables) {
    gaps.push_back(Gap{.table = table,
                       .cause = cause,
                       .sqlstate = {},
                       .first = absl::FromUnixMillis(absl::ToUnixMillis(first)),
                       .last = absl::FromUnixMillis(absl::ToUnixMillis(last)),
                       .statements = tally.statements,
                       .transactions = tally.transactions});
  }
  return gaps;
}

// -- records --------------------------------------------------------------------------------------

BatchWriter::BatchWriter(const std::vector<SpillOwner>& owners) {
  AppendLe32(&body_, static_cast<uint32_t>(owners.size()));
  for (const SpillOwner& owner : owners) {
    AppendOwner(&body_, owner);
  }
}

void BatchWriter::Add(const SpilledUnit& spilled) {
  std::string bytes;
  AppendUnit(&bytes, spilled.unit, spilled.committed);
  AppendLe64(&body_, spilled.lane);
  AppendByte(&body_, spilled.after_state ? 1 : 0);
  AppendSized(&body_, bytes);
  summary_.Add(spilled.unit, spilled.committed);
}

std::string BatchWriter::Seal(const base::Seal& seal, std::string_view context) const {
  const std::string header = HeaderOf(summary_);
  std::string record;
  AppendByte(&record, kVersion);
  AppendSized(&record, header);
  record += seal.Close(body_, Associated(context, header));
  return record;
}

bool ReadSummary(std::string_view record, SpillSummary* summary) {
  const std::optional<std::string_view> header = FindHeader(record);
  if (!header.has_value()) {
    return false;
  }
  ByteInput input(*header);
  summary->units = input.Le64();
  summary->statements = input.Le64();
  summary->first = absl::FromUnixMillis(static_cast<int64_t>(input.Le64()));
  summary->last = absl::FromUnixMillis(static_cast<int64_t>(input.Le64()));
  for (uint32_t left = input.Le32(); left > 0 && !input.failed(); --left) {
    const std::string table(input.Sized());
    SpillSummary::Tally& tally = summary->tables[table];
    tally.statements = input.Le64();
    tally.transactions = input.Le64();
  }
  return !input.failed() && input.at_end();
}

absl::StatusOr<std::string> OpenBatch(const base::Seal& seal, std::string_view context,
                                      std::string_view record) {
  const std::optional<std::string_view> header = FindHeader(record);
  if (!header.has_value()) {
    return absl::Status(absl::StatusCode::kDataLoss, "it is no record of a spill");
  }
  const std::string_view sealed = record.substr(kPrefixBytes + header->size());
  return seal.Open(sealed, Associated(context, *header));
}

bool ParseBatch(std::string_view body, std::vector<SpillOwner>* owners,
                std::vector<SpilledUnit>* units) {
  ByteInput input(body);
  for (uint32_t left = input.Le32(); left > 0 && !input.failed(); --left) {
    owners->push_back(ParseOwner(&input));
  }
  while (!input.failed() && !input.at_end()) {
    SpilledUnit spilled;
    spilled.lane = input.Le64();
    spilled.after_state = input.Byte() != 0;
    const std::string_view bytes = input.Sized();
    if (input.failed() ||
        ParseUnit(bytes, &spilled.unit, &spilled.committed) != UnitResult::kGood) {
      return false;
    }
    units->push_back(std::move(spilled));
  }
  return !input.failed();
}

}  // namespace mirror
