#include "mirror/unit.h"

#include <algorithm>

#include "mirror/overflow.h"

namespace mirror {

bool Unit::ends_prepared() const {
  return steps.size() == 1 &&
         (steps[0].tag == "COMMIT PREPARED" || steps[0].tag == "ROLLBACK PREPARED");
}

bool Unit::may_be_cancelled() const {
  return !commits && std::any_of(steps.begin(), steps.end(), [](const Step& step) {
    return !step.tag.starts_with("SELECT ");
  });
}

bool Unit::stored() const {
  return std::any_of(steps.begin(), steps.end(),
                     [](const Step& step) { return step.stored; });
}

uint64_t Unit::statements() const {
  uint64_t count = 0;
  for (const Step& step : steps) {
    count += step.copy_in || !step.stored ? 1 : step.stored->statements;
  }
  return count;
}

}  // namespace mirror
