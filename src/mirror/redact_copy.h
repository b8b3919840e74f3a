// HideFields: the data of a COPY without the fields of some columns, which become NULL.
//
// Pure; any thread. In doubt it keeps nothing: where a row has another number of fields than
// columns are named, the data are read otherwise than the server has read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/copy_target.h"

namespace mirror {

// `data`: what the CopyData messages held. `hidden`: a place for each column, in their order.
// `ascii_safe`: false where a byte that looks like a backslash may be part of a character.
std::optional<std::string> HideFields(sql::CopyTarget::Format format,
                                      const std::vector<bool>& hidden, bool ascii_safe,
                                      std::string_view data);

}  // namespace mirror
