// Pin: an INSERT as the mirror is to be sent it, with the values that the primary made up for it.
//
// Pure. Columns that the primary filled from a sequence, the clock or chance, and returned, are
// given as parameters: the text gets their names and $n, the Bind their values, in the format and
// with the type in which they were returned. Nothing is pasted into a text. What is not proved is
// left as it was, and why is told. What a column is, is the mirror's own word (PinTable).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/slice.h"
#include "mirror/returned.h"
#include "mirror/unit.h"
#include "sql/insert_shape.h"

namespace mirror {

struct PinColumn {
  enum class Fill : uint8_t {
    kNothing,   // NULL, or a value that is the same everywhere
    kMade,      // by its default: the clock, chance, a function
    kSequence,  // by a sequence: serial, identity, nextval()
  };
  std::string name;
  Fill fill = Fill::kNothing;
  bool always = false;   // GENERATED ALWAYS AS IDENTITY
  bool derived = false;  // GENERATED ALWAYS AS (expression)
};

// A table of the mirror, its columns in their order.
struct PinTable {
  bool known = false;     // an ordinary or partitioned table without rules
  bool triggers = false;  // one fills columns by a sequence, the clock or chance
  std::vector<PinColumn> columns;
};

struct Pin {
  base::Slice parse;      // as Step::parse and Step::bind; empty: it goes as it was
  base::Slice bind;
  uint32_t rows = 0;      // of which values are given
  std::vector<uint16_t> fields;  // of what is returned, those that must come back the same
  bool sequence = false;  // a sequence's among them
  Unpinned why = Unpinned::kNone;  // what the primary made up is not given, or not all of it
};

// What came of a unit's steps.
struct Pinning {
  uint64_t schema = 0;  // of the Catalogue by which it was done; 0: it is to be done
  uint64_t rows = 0;
  std::array<uint32_t, kUnpinnedReasons> unpinned{};
  bool again = false;  // the mirror has refused it, and it was done anew
  bool off = false;    // it has refused that, too: the unit goes as it was
};

// `shape`: of the step's text.
Pin PinStep(const Step& step, const Returned& returned, const sql::InsertShape& shape,
            const PinTable& table);

// What the expression of a column's default fills it with.
PinColumn::Fill FillOf(std::string_view expression);

}  // namespace mirror
