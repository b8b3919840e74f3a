// Returned: what an INSERT ... RETURNING has returned on the primary, from its answer to a Step.
//
// ReturnedRows gathers it, piece by piece, in a recorder; Step::returned holds it as bytes that the
// spill can keep; Returned reads these. On one shard. Bounds: kReturnedRowsMax rows and
// kReturnedBytesMax bytes of a statement, charged to the recorder's budget as they come; what is
// more is not kept, and why is told. Nothing is allocated from a length that the server declared.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/credit.h"
#include "mirror/unit.h"
#include "pg/frame.h"
#include "sql/lexer.h"

namespace mirror {

inline constexpr size_t kReturnedRowsMax = 1000;
inline constexpr size_t kReturnedBytesMax = 64 * 1024;

// What is made of the values that an INSERT returns: the most that one of the mirrors wants.
enum class Learning : uint8_t { kOff, kCounted, kKept };

class ReturnedRows {
 public:
  // A statement's answer begins.
  void Clear();
  // Of a RowDescription or a DataRow, first piece to last.
  void Add(const pg::Piece& piece, base::Credit* credit);
  // True exactly when a RowDescription has come to its end since the last time.
  bool TakeDescription(std::string* body);
  // What has come, for a Step whose text is read by `lex`; `description`: of one that came at
  // another time. kNone, or why there is nothing: kTooLarge.
  Unpinned Take(std::string_view description, sql::LexOptions lex, base::Slice* returned);

 private:
  std::string description_;
  std::string rows_;  // each with its length in front
  uint32_t count_ = 0;
  char open_ = 0;  // the type of the frame whose pieces come; 0: none that is kept
  bool too_large_ = false;
  bool described_ = false;
  Charge charge_;
};

// Views of Step::returned.
struct Returned {
  sql::LexOptions lex;
  std::string_view description;  // a RowDescription's body; empty: there was none
  std::vector<std::string_view> rows;  // the bodies of DataRows
};
// False: they are no such bytes.
bool ParseReturned(std::string_view bytes, Returned* returned);

// What the step is charged for, beside itself: that, and its text and Bind anew.
int64_t PinBytes(const Step& step);

// A field of a RowDescription.
struct ReturnedField {
  std::string_view name;
  uint32_t type = 0;
};
// Empty if the body is not laid out as one.
std::vector<ReturnedField> ReadFields(std::string_view description);

}  // namespace mirror
