// PinCheck: whether the mirror has stored the values that it was given.
//
// Owned by a Link, on its shard; told of what the mirror answers while a statement that was written
// anew (pin.h) is under way. A trigger there may have made another value of one: that shows in what
// the statement returns. Bound: kRowMax bytes of a row; a longer one is no longer the same.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "backend/connection.h"
#include "mirror/returned.h"
#include "mirror/unit.h"

namespace mirror {

class PinCheck final : public backend::NoteTaker {
 public:
  static constexpr size_t kRowMax = 4 * kReturnedBytesMax;

  // A unit is about to be sent.
  void Clear();
  // `request` executes `step`, which lives until its answer has come or Clear().
  void Expect(turn::RequestId request, const Step* step);
  // True exactly if a value came back that is not the one that was given.
  bool changed() const { return changed_; }

  void OnNote(const backend::Note& /*note*/) override {}
  void OnPart(turn::RequestId request, const pg::Piece& piece) override;

 private:
  struct Expected {
    turn::RequestId request = 0;
    const Step* step = nullptr;
    size_t row = 0;
  };

  void OnRow(Expected* expected);

  std::deque<Expected> expected_;
  std::string row_;
  bool in_row_ = false;
  bool changed_ = false;
};

}  // namespace mirror
