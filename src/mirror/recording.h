// Recording: what a Recorder keeps of requests, names and statements, and for how long each is of
// interest.
//
// Values without functions, internal to the Recorder that owns them, on its shard. Each holds the
// Charge for its bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/slice.h"
#include "mirror/returned.h"
#include "mirror/unit.h"
#include "sql/lexer.h"
#include "sql/statement.h"
#include "turn/machine.h"

namespace mirror::recording {

inline constexpr int64_t kStepBytes = 256;  // what a step costs beside its bytes, roughly

// A statement of a request or of a name, as far as it is kept.
struct Kept {
  base::Slice bytes;
  Charge charge;
  Cause lost = Cause::kNone;  // why `bytes` is not there
};

struct Prepared {
  Kept parse;
  sql::Statement facts;
  base::Slice reading;  // Reading() when it was parsed
  Kept described;       // its RowDescription, if it was asked for and values are to be learned
};

struct Portal {
  base::Slice parse;
  base::Slice reading;
  std::string statement;  // if it was prepared in SQL
  bool named = false;     // true exactly if Parse gave its statement a name
  sql::Statement facts;
  Kept bind;
  Kept described;         // as in Prepared
  uint64_t item = 0;      // serial of what its first Execute made
};

struct Part {  // one statement of a Query
  uint32_t begin = 0;
  uint32_t length = 0;
  sql::Statement facts;
};

enum class Act : uint8_t {
  kQuery,
  kParse,
  kBind,
  kExecute,
  kForgetStatement,  // it is closed, or now names what only reads
  kForgetPortal,
  kDescribeStatement,  // of an INSERT whose rows are learned
  kDescribePortal,
  kFunctionCall,
};

struct Copied {  // the data of one COPY
  base::Held<Stored> stored;  // what came first
  std::vector<base::Slice> data;
  bool ended = false;
};

struct Request {
  turn::RequestId id = 0;
  Act act = Act::kQuery;
  std::string name;       // of the statement or portal
  std::string statement;  // kBind: which one
  Kept kept;
  uint32_t row_limit = 0;
  uint32_t completed = 0;     // kQuery: statements that have
  uint32_t copies_taken = 0;  // of `copies`
  std::vector<Part> parts;    // kQuery
  std::vector<Copied> copies;
  sql::Statement facts;  // kParse, kBind: as far as it was known when it was forwarded
  base::Instant sent;    // when it was forwarded
  uint64_t seen = 0;     // the clock then
  uint64_t stamp = 0;    // reserved for what it may commit; 0: none
  bool returns = false;  // parts of its answer are listened to
  bool works = false;    // it may leave something to be committed
  bool unsure = false;   // kQuery: how its text is read may have changed before it ran
  sql::LexOptions lex;   // as `parts` were read
};

struct Around {  // steps of ours that go with one of the client's, in its transaction
  std::vector<Step> before;
  std::vector<Step> after;
};

// A statement that succeeded and whose transaction is open, or, in `step.stored`, several.
struct Item {
  Step step;
  Charge charge;
  Cause lost = Cause::kNone;
  uint64_t serial = 0;
  uint32_t wanted = 0;  // the filters that want it
  bool kept = false;    // goes though its transaction is not in the sample
  bool alone = false;   // refuses a transaction block, or may end transactions as it runs
  uint64_t seen = 0;    // the clock when it was forwarded
  absl::Duration took;  // on the primary
  uint64_t cursor = 0;  // DECLARE, FETCH, MOVE, CLOSE: the serial of the DECLARE
  std::unique_ptr<Around> around;
};

struct Heard {  // of answers that are listened to
  uint32_t requests = 0;  // not answered, whose answers are
  bool in_part = false;   // true exactly within a frame of one
  ReturnedRows rows;      // of the statement that is being answered
};

struct Cursor {
  uint64_t declared = 0;  // serial of its DECLARE's item; 0: there is none
  uint32_t wanted = 0;    // by the filters that have it
  bool hold = false;
};

}  // namespace mirror::recording
