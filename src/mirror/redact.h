// Redactor: what a capture may keep of a statement.
//
// Pure, immutable; any thread, but the slices that it makes belong to the thread that called it.
// In doubt it takes too much: a text whose constants begin and end elsewhere under another setting
// of the session is not kept at all. docs/capture.md says exactly what goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "mirror/unit.h"

namespace mirror {

class Redactor {
 public:
  Redactor(config::CaptureRedact what, std::vector<uint32_t> types)
      : what_(what), types_(std::move(types)) {}

  // `unit` as it may be kept.
  Unit Redact(Unit unit) const;
  // Constants become '', 0 and B'', comments go; with kNone only what follows the word PASSWORD
  // does.
  std::string RedactText(std::string_view text) const;

 private:
  void RedactStep(Step* step) const;
  std::string RedactParse(std::string_view body, std::vector<uint32_t>* types) const;
  std::string RedactBind(std::string_view body, const std::vector<uint32_t>& types) const;
  bool Hides(uint32_t type) const;

  const config::CaptureRedact what_;
  const std::vector<uint32_t> types_;  // of kTypes: the OIDs whose values go
};

}  // namespace mirror
