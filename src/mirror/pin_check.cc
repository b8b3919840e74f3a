#include "mirror/pin_check.h"

#include <optional>
#include <vector>

#include "pg/views.h"

namespace mirror {

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
  const auto there = pg::ReadDataRow(row_);
  const auto here = pg::ReadDataRow(returned.rows[expected->row++]);
  if (!there.has_value() || !here.has_value()) {
    changed_ = true;
    return;
  }
  for (const uint16_t field : expected->step->pinned_fields) {
    changed_ = changed_ || field >= there->size() || field >= here->size() ||
               (*there)[field] != (*here)[field];
  }
}

}  // namespace mirror
