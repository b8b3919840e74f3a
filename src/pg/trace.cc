#include "pg/trace.h"

#include <algorithm>

#include "pg/body_reader.h"
#include "pg/messages.h"

namespace pg {
namespace {

constexpr std::string_view kMasked = "NNNN";

char HexDigit(unsigned value) { return "0123456789abcdef"[value & 15]; }

// Printable ASCII as it is, the rest as \xhh: a line stays a line.
void AppendEscaped(std::string* to, std::string_view text, char quote) {
  to->push_back(quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\' && c != quote) {
      to->push_back(c);
    } else {
      to->append("\\x");
      to->push_back(HexDigit(byte >> 4));
      to->push_back(HexDigit(byte));
    }
  }
  to->push_back(quote);
}

// Where the text after the word PASSWORD begins, or its size.
size_t SecretAt(std::string_view sql) {
  constexpr std::string_view kWord = "password";
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  const auto at = std::search(sql.begin(), sql.end(), kWord.begin(), kWord.end(), same);
  return at == sql.end() ? sql.size()
                         : static_cast<size_t>(at - sql.begin()) + kWord.size();
}

// The fields of one body, appended to a line. When a field does not fit, nothing more is shown.
class Fields {
 public:
  Fields(std::string_view body, std::string* line) : reader_(body), line_(line) {}

  Fields& Text() {
    return ShowText([this](std::string_view text) { AppendEscaped(line_, text, '"'); });
  }
  Fields& Sql() {
    return ShowText([this](std::string_view text) {
      const size_t shown = SecretAt(text);
      AppendEscaped(line_, text.substr(0, shown), '"');
      line_->append(shown < text.size() ? " ****" : "");
    });
  }
  Fields& Char() {
    const auto c = static_cast<char>(reader_.Byte());
    return Put([&] { AppendEscapedChar(c); });
  }
  Fields& Number8() { return Number(reader_.Byte()); }
  Fields& Number16() { return Number(reader_.Be16()); }
  Fields& Number32() { return Number(static_cast<int32_t>(reader_.Be32())); }
  Fields& Masked32() {
    reader_.Be32();
    return Put([&] { line_->append(kMasked); });
  }
  // A count, and that many of what `one` shows.
  template <typename One>
  Fields& Counted16(One one) {
    last_ = 0;
    Number16();
    for (int64_t left = reader_.failed() ? 0 : last_; left > 0 && !reader_.failed(); --left) {
      one(this);
    }
    return *this;
  }
  // A length, -1 for NULL, and that many bytes.
  Fields& LengthAndValue() {
    const auto length = static_cast<int32_t>(reader_.Be32());
    Put([&] { line_->append(std::to_string(length)); });
    if (length == -1) {
      return *this;
    }
    const std::string_view bytes = reader_.Bytes(static_cast<uint32_t>(length));
    return Put([&] { AppendEscaped(line_, bytes, '\''); });
  }
  Fields& Rest() {
    const std::string_view bytes = reader_.Bytes(reader_.rest().size());
    return Put([&] { AppendEscaped(line_, bytes, '\''); });
  }
  Fields& MaskRest() {
    reader_.Bytes(reader_.rest().size());
    return Put([&] { line_->append("****"); });
  }
  std::string_view rest() const { return reader_.rest(); }
  bool failed() const { return reader_.failed(); }
  bool done() const { return reader_.done(); }

 private:
  template <typename Show>
  Fields& Put(Show show) {
    if (!reader_.failed()) {
      line_->push_back(' ');
      show();
    }
    return *this;
  }
  // The next string; what is there of it, if it is cut.
  template <typename Show>
  Fields& ShowText(Show show) {
    if (reader_.failed()) {
      return *this;
    }
    const std::string_view before = reader_.rest();
    const std::string_view text = reader_.String();
    line_->push_back(' ');
    show(reader_.failed() ? before : text);
    return *this;
  }
  Fields& Number(int64_t value) {
    last_ = value;
    return Put([&] { line_->append(std::to_string(value)); });
  }
  void AppendEscapedChar(char c) {
    std::string quoted;
    AppendEscaped(&quoted, std::string_view(&c, 1), '"');
    line_->append(quoted, 1, quoted.size() - 2);
  }

  BodyReader reader_;
  std::string* const line_;
  int64_t last_ = 0;
};

void ShowNumber16(Fields* fields) { fields->Number16(); }
void ShowNumber32(Fields* fields) { fields->Number32(); }
void ShowValue(Fields* fields) { fields->LengthAndValue(); }
void ShowColumn(Fields* fields) {
  fields->Text().Number32().Number16().Number32().Number16().Number32().Number16();
}

void ShowErrorFields(Fields* fields) {
  while (!fields->failed() && !fields->rest().empty() && fields->rest().front() != '\0') {
    fields->Char().Text();
  }
  fields->Char();
}

void ShowFrontend(FrontendType type, Fields* fields) {
  switch (type) {
    case FrontendType::kBind:
      fields->Text().Text().Counted16(ShowNumber16).Counted16(ShowValue).Counted16(ShowNumber16);
      return;
    case FrontendType::kClose:
    case FrontendType::kDescribe:
      fields->Char().Text();
      return;
    case FrontendType::kCopyData:
      fields->Rest();
      return;
    case FrontendType::kCopyFail:
      fields->Text();
      return;
    case FrontendType::kExecute:
      fields->Text().Number32();
      return;
    case FrontendType::kFunctionCall:
      fields->Number32().Counted16(ShowNumber16).Counted16(ShowValue).Number16();
      return;
    case FrontendType::kParse:
      fields->Text().Sql().Counted16(ShowNumber32);
      return;
    case FrontendType::kPassword:
      fields->MaskRest();
      return;
    case FrontendType::kQuery:
      fields->Sql();
      return;
    case FrontendType::kCopyDone:
    case FrontendType::kFlush:
    case FrontendType::kSync:
    case FrontendType::kTerminate:
      return;
  }
}

// `code` was read already: it is part of the name.
void ShowAuthentication(AuthenticationCode code, Fields* fields) {
  if (code != AuthenticationCode::kSasl) {
    if (!fields->rest().empty()) {
      fields->MaskRest();
    }
    return;
  }
  while (!fields->failed() && !fields->rest().empty() && fields->rest().front() != '\0') {
    fields->Text();
  }
  fields->Char();
}

void ShowBackend(BackendType type, Fields* fields) {
  switch (type) {
    case BackendType::kBackendKeyData:
      fields->Masked32();
      fields->MaskRest();
      return;
    case BackendType::kCommandComplete:
      fields->Text();
      return;
    case BackendType::kCopyBothResponse:
    case BackendType::kCopyInResponse:
    case BackendType::kCopyOutResponse:
      fields->Number8().Counted16(ShowNumber16);
      return;
    case BackendType::kCopyData:
      fields->Rest();
      return;
    case BackendType::kDataRow:
      fields->Counted16(ShowValue);
      return;
    case BackendType::kErrorResponse:
    case BackendType::kNoticeResponse:
      ShowErrorFields(fields);
      return;
    case BackendType::kFunctionCallResponse:
      fields->LengthAndValue();
      return;
    case BackendType::kNegotiateProtocolVersion:
      fields->Number32().Number32();
      while (!fields->failed() && !fields->rest().empty()) {
        fields->Text();
      }
      return;
    case BackendType::kNotificationResponse:
      fields->Masked32().Text().Text();
      return;
    case BackendType::kParameterDescription:
      fields->Counted16(ShowNumber32);
      return;
    case BackendType::kParameterStatus:
      fields->Text().Text();
      return;
    case BackendType::kReadyForQuery:
      fields->Char();
      return;
    case BackendType::kRowDescription:
      fields->Counted16(ShowColumn);
      return;
    case BackendType::kAuthentication:  // has its own line
    case BackendType::kBindComplete:
    case BackendType::kCloseComplete:
    case BackendType::kCopyDone:
    case BackendType::kEmptyQueryResponse:
    case BackendType::kNoData:
    case BackendType::kParseComplete:
    case BackendType::kPortalSuspended:
      return;
  }
}

void AppendLineStart(std::string* lines, Side side, uint64_t length, std::string_view name) {
  lines->push_back(side == Side::kFrontend ? 'F' : 'B');
  lines->push_back('\t');
  lines->append(std::to_string(length));
  lines->push_back('\t');
  lines->append(name);
  lines->push_back('\t');
}

void EndLine(std::string* lines) {
  if (lines->back() == '\t') {
    lines->pop_back();  // there were no fields
  }
  lines->push_back('\n');
}

}  // namespace

void Trace::Add(const Piece& piece, std::string* lines) {
  if (piece.first) {
    body_.clear();
  }
  body_.append(piece.body.substr(0, kTraceBodyMax - body_.size()));
  if (!piece.last) {
    return;
  }
  std::string_view body = body_;
  const bool is_authentication =
      side_ == Side::kBackend && piece.type == static_cast<char>(BackendType::kAuthentication);
  AuthenticationCode code{};
  std::string_view name = Name(side_, piece.type);
  if (is_authentication && body.size() >= 4) {
    code = static_cast<AuthenticationCode>(base::LoadBe32(body.data()));
    body.remove_prefix(4);
    name = Name(code);
  }
  AppendLineStart(lines, side_, uint64_t{piece.body_length} + 4, name);
  Fields fields(body, lines);
  if (is_authentication) {
    ShowAuthentication(code, &fields);
  } else if (side_ == Side::kFrontend) {
    ShowFrontend(static_cast<FrontendType>(piece.type), &fields);
  } else {
    ShowBackend(static_cast<BackendType>(piece.type), &fields);
  }
  if (piece.body_length > body_.size()) {
    lines->append(" ...");
  } else if (!fields.done()) {
    lines->append(" ?");
  }
  EndLine(lines);
  body_ = std::string();
}

void TraceStartup(const StartupPacket& packet, std::string* lines) {
  switch (packet.kind) {
    case StartupKind::kSslRequest:
      AppendLineStart(lines, Side::kFrontend, packet.length, "SSLRequest");
      break;
    case StartupKind::kGssEncRequest:
      AppendLineStart(lines, Side::kFrontend, packet.length, "GSSENCRequest");
      break;
    case StartupKind::kCancelRequest:
      AppendLineStart(lines, Side::kFrontend, packet.length, "CancelRequest");
      lines->append(" NNNN ****");
      break;
    case StartupKind::kStartupMessage:
      AppendLineStart(lines, Side::kFrontend, packet.length, "StartupMessage");
      lines->append(" " + std::to_string(packet.version >> 16) + " " +
                    std::to_string(packet.version & 0xffff));
      for (const Setting& parameter : packet.parameters) {
        lines->push_back(' ');
        AppendEscaped(lines, parameter.name, '"');
        lines->push_back(' ');
        AppendEscaped(lines, parameter.value, '"');
      }
      break;
  }
  EndLine(lines);
}

void TraceNegotiation(StartupKind request, char answer, std::string* lines) {
  AppendLineStart(lines, Side::kBackend, 1,
                  request == StartupKind::kSslRequest ? "SSLResponse" : "GSSENCResponse");
  lines->push_back(' ');
  std::string quoted;
  AppendEscaped(&quoted, std::string_view(&answer, 1), '"');
  lines->append(quoted, 1, quoted.size() - 2);
  EndLine(lines);
}

}  // namespace pg
