#include "mirror/returned.h"

#include "base/byte_input.h"
#include "mirror/trace.h"
#include "pg/body_reader.h"

namespace mirror {
namespace {

constexpr char kRowDescription = 'T';
constexpr char kDataRow = 'D';
constexpr uint32_t kFieldTailBytes = 8;  // length, modifier and format of a field's type

}  // namespace

void ReturnedRows::Clear() {
  description_.clear();
  rows_.clear();
  count_ = 0;
  open_ = 0;
  too_large_ = false;
  described_ = false;
  charge_.Release();
}

void ReturnedRows::Add(const pg::Piece& piece, base::Credit* credit) {
  if (piece.first) {
    const bool kept = piece.type == kRowDescription || piece.type == kDataRow;
    open_ = kept && !too_large_ ? piece.type : 0;
    if (open_ == kDataRow) {
      base::AppendLe32(&rows_, piece.body_length);
      ++count_;
    } else if (open_ == kRowDescription) {
      description_.clear();
    }
  }
  if (open_ == 0) {
    return;
  }
  std::string& to = open_ == kDataRow ? rows_ : description_;
  const auto bytes = static_cast<int64_t>(piece.body.size());
  too_large_ = count_ > kReturnedRowsMax ||
               rows_.size() + description_.size() + piece.body.size() > kReturnedBytesMax ||
               !charge_.Take(credit, bytes);
  if (too_large_) {
    rows_ = std::string();
    description_ = std::string();
    open_ = 0;
    charge_.Release();
    return;
  }
  to += piece.body;
  described_ = described_ || (piece.last && open_ == kRowDescription);
}

bool ReturnedRows::TakeDescription(std::string* body) {
  if (!described_) {
    return false;
  }
  described_ = false;
  *body = description_;
  return true;
}

Unpinned ReturnedRows::Take(std::string_view description, sql::LexOptions lex,
                            base::Slice* returned) {
  const bool kept = !too_large_;
  if (kept) {
    std::string bytes;
    base::AppendByte(&bytes, lex.standard_conforming_strings ? 1 : 0);
    base::AppendByte(&bytes, static_cast<unsigned char>(lex.encoding));
    base::AppendSized(&bytes, description.empty() ? std::string_view(description_) : description);
    base::AppendLe32(&bytes, count_);
    bytes += rows_;
    *returned = base::Slice::CopyOf(bytes);
  }
  Clear();
  return kept ? Unpinned::kNone : Unpinned::kTooLarge;
}

// A value takes at least four bytes there; a parameter, its type and its format take them again.
int64_t PinBytes(const Step& step) {
  constexpr int64_t kTimes = 4;
  return step.returned.empty()
             ? 0
             : kTimes * step.returned.size() + static_cast<int64_t>(TextOf(step).size()) +
                   step.bind.size();
}

// The count of rows is not believed: each has bytes of its own, or the input fails.
bool ParseReturned(std::string_view bytes, Returned* returned) {
  base::ByteInput input(bytes);
  *returned = Returned();
  returned->lex.standard_conforming_strings = input.Byte() != 0;
  const unsigned char encoding = input.Byte();
  const bool known = encoding < sql::kEncodingCount;
  returned->lex.encoding = static_cast<sql::Encoding>(known ? encoding : 0);
  returned->description = input.Sized();
  for (uint32_t left = input.Le32(); left > 0 && !input.failed(); --left) {
    returned->rows.push_back(input.Sized());
  }
  return !input.failed() && input.at_end() && known;
}

std::vector<ReturnedField> ReadFields(std::string_view description) {
  pg::BodyReader reader(description);
  std::vector<ReturnedField> fields;
  for (uint32_t left = reader.Be16(); left > 0 && !reader.failed(); --left) {
    ReturnedField field;
    field.name = reader.String();
    reader.Be32();  // the table
    reader.Be16();  // its column
    field.type = reader.Be32();
    reader.Bytes(kFieldTailBytes);
    fields.push_back(field);
  }
  return reader.done() ? fields : std::vector<ReturnedField>();
}

}  // namespace mirror
