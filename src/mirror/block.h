// Block: how a session's open transaction block was begun, so that a mirror begins it likewise.
//
// Pure; owned by a recorder. It is told of each statement that succeeded. What the block has set
// itself (SET TRANSACTION) is replayed as the statement it is; a block that AND CHAIN begins has it
// from its beginning. Bound: kBytesMax for those; the oldest go.
#pragma once

#include <string>
#include <string_view>

#include "sql/lexer.h"
#include "sql/statement.h"

namespace mirror {

class Block {
 public:
  static constexpr size_t kBytesMax = 1024;

  // Before its transaction is told. `in_block`: whether one was open, which BEGIN leaves as it is.
  void Note(const sql::Statement& facts, std::string_view tag, std::string_view text,
            const sql::LexOptions& options, bool in_block);
  // Afterwards, behind a COMMIT or ROLLBACK.
  void OnEnd(bool chain);

  // What begins it; empty: a plain BEGIN.
  const std::string& begin() const { return begin_; }
  // True exactly if it may only read by its beginning.
  bool read_only() const { return read_only_; }

 private:
  std::string options_;  // BEGIN with its options, or empty
  std::string sets_;     // "; SET TRANSACTION ..." of the block and of those it is chained to
  std::string begin_;
  bool read_only_ = false;
};

}  // namespace mirror
