// Marker: how a mirror remembers which of our transactions it has committed, so that after a lost
// connection nothing is applied twice and nothing is left out.
//
// Each connection has a row of its own in pgbraid.mirror_marker, on the mirror, with a number;
// every transaction adds one to it by pgbraid.mirror_mark(), which fails unless it finds the number
// before. When the answer to a COMMIT is lost, another connection ends the old one and takes the
// row, by a negative number, if its number is still the one before: then the transaction has not
// happened and, since mirror_mark() would fail, never will. If the number is the next one, it has.
// Asked again, the row says the same.
//
// Texts and bodies of messages only; pure. The function runs as its owner, since a session may have
// another role.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mirror::marker {

// Of mirror_mark() whose row is gone or has another number.
inline constexpr std::string_view kNotMine = "PB001";

// Makes the schema, the table and the function.
std::string_view InstallText();
// Makes the row of `link`, at number 0, and deletes those that crashes have left a month ago.
std::string OpenText(uint64_t link);
// Adds one: the bodies, behind the names, of a Parse and of the Bind for it. `number`: the new one.
std::string_view MarkParse();
std::string MarkBind(uint64_t link, uint64_t number);
std::string CloseText(uint64_t link);
// Ends the session that made the row, if it lives.
std::string EndText(uint64_t link);
// Takes the row if it has this number.
std::string TakeText(uint64_t link, uint64_t number);
// Finds it (a tag of "SELECT 1") if it was taken at this number, or if it has it.
std::string WasTakenText(uint64_t link, uint64_t number);
std::string HasText(uint64_t link, uint64_t number);

}  // namespace mirror::marker
