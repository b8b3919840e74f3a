// Redactor: what a capture may keep of a statement.
//
// Immutable; any thread, but the slices that it makes belong to the thread that called it. It keeps
// a value only where the text, or its type, proves that it may; a text that reads otherwise under
// another setting of its session is not kept at all. docs/capture.md says exactly what goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/capture_redaction.h"
#include "mirror/unit.h"
#include "sql/lexer.h"
#include "sql/value_owner.h"

namespace mirror {

class Redactor {
 public:
  explicit Redactor(config::CaptureRedaction what) : what_(std::move(what)) {}

  // `unit` as it may be kept.
  Unit Redact(Unit unit) const;
  // Constants become '', 0, B'' and NULL, comments go; without an order to leave anything out only
  // the strings behind PASSWORD and CONNECTION do. `encodings`: as in a Unit.
  std::string RedactText(std::string_view text, uint8_t encodings = 0) const;

 private:
  void RedactStep(Step* step, uint8_t encodings) const;
  std::string RedactParse(std::string_view body, uint8_t encodings,
                          std::vector<uint32_t>* types) const;
  std::string RedactBind(std::string_view body, const std::vector<uint32_t>& types,
                         std::string_view text, uint8_t encodings) const;
  std::vector<base::Slice> RedactCopy(const Step& step, std::string_view text,
                                      uint8_t encodings) const;
  std::string WithoutConstants(std::string_view text, sql::LexOptions options) const;
  void KeepProven(std::string_view text, sql::LexOptions options, std::vector<bool>* keeps) const;
  bool HidesConstant(const sql::Owner& owner) const;
  bool HidesColumn(const sql::ColumnName& column) const;
  bool HidesType(uint32_t type) const;

  const config::CaptureRedaction what_;
};

}  // namespace mirror
