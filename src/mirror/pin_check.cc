#include "mirror/pin_check.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "pg/views.h"

namespace mirror {
namespace {

std::vector<pg::Value> ValuesOf(std::string_view row) {
  std::vector<pg::Value> values;
  row.remove_prefix(std::min<size_t>(2, row.size()));
  while (!row.empty()) {
    const std::optional<pg::Value> value = pg::NextValue(&row);
    if (!value.has_value()) {
      break;
    }
    values.push_back(*value);
  }
  return values;
}

}  // namespace

void PinCheck::Clear() {
  expected_.clear();
  row_ = std::string();
  in_row_ = false;
  changed_ = false;
  hears_parts_ = false;
}

void PinCheck::Expect(turn::RequestId request, const Step* step) {
  if (!step->pinned_fields.empty()) {
    expected_.push_back(Expected{request, step});
    hears_parts_ = true;
  }
}

void PinCheck::OnPart(turn::RequestId request, const pg::Piece& piece) {
  if (piece.first) {
    while (!expected_.empty() && expected_.front().request < request) {
      expected_.pop_front();
    }
    in_row_ = piece.type == 'D' && !expected_.empty() && expected_.front().request == request;
    row_.clear();
  }
  if (!in_row_) {
    return;
  }
  if (row_.size() + piece.body.size() > kRowMax) {
    changed_ = true;
    in_row_ = false;
    return;
  }
  row_ += piece.body;
  if (piece.last) {
    OnRow(&expected_.front());
  }
}

void PinCheck::OnRow(Expected* expected) {
  Returned returned;
  if (!ParseReturned(expected->step->returned.view(), &returned) ||
      expected->row >= returned.rows.size()) {
    changed_ = true;
    return;
  }
  const std::vector<pg::Value> there = ValuesOf(row_);
  const std::vector<pg::Value> here = ValuesOf(returned.rows[expected->row++]);
  for (const uint16_t field : expected->step->pinned_fields) {
    changed_ = changed_ || field >= there.size() || field >= here.size() ||
               there[field].null != here[field].null || there[field].bytes != here[field].bytes;
  }
}

}  // namespace mirror
