#include "tests/load/nonce_client.h"

#include <algorithm>
#include <utility>

namespace load {

namespace {

constexpr size_t kFrameMax = 1u << 20;

// A field of an ErrorResponse or NoticeResponse, or empty.
std::string_view Field(std::string_view body, char wanted) {
  while (!body.empty() && body[0] != '\0') {
    const size_t end = body.find('\0');
    if (end == std::string_view::npos) return {};
    if (body[0] == wanted) return body.substr(1, end - 1);
    body.remove_prefix(end + 1);
  }
  return {};
}

// The first column of a DataRow; false if there is none.
bool FirstColumn(std::string_view body, std::string_view* value) {
  if (body.size() < 6) return false;
  const uint32_t size = Get32(body.data() + 2);
  if (size > body.size() - 6) return false;
  *value = body.substr(6, size);
  return true;
}

// What a server or a proxy says when it, not the statement, has failed.
bool IsLoss(std::string_view severity, std::string_view code) {
  return severity == "FATAL" || severity == "PANIC" || code.substr(0, 2) == "08" ||
         code.substr(0, 3) == "57P" || code.substr(0, 2) == "53";
}

}  // namespace

std::string NonceClient::Start() {
  owed_.clear();
  input_.clear();
  key_.clear();
  ready_ = false;
  status_ = 'I';
  broken_off_ = false;
  cancels_ = 0;
  planner_.Reset();
  return Startup(login_.user, login_.database, planner_.FirstName());
}

std::string NonceClient::Begin(const Batch& batch) {
  std::string bytes;
  for (const Turn& turn : batch.turns) {
    bytes += turn.bytes;
    // In a transaction that our cancel has ended, the rest of it fails too.
    owed_.push_back({.turn = turn, .tolerant = cancels_ > 0 || batch.cancel || status_ == 'E'});
  }
  return bytes;
}

Reading NonceClient::Wrong(std::string what) {
  text_ = "client " + std::to_string(number_) + ": " + std::move(what);
  if (!owed_.empty()) {
    const Turn& turn = owed_.front().turn;
    text_ += "; asked: " + turn.bytes.substr(0, 120);
    std::replace_if(
        text_.begin(), text_.end(), [](char c) { return c >= 0 && c < ' '; }, '.');
  }
  return Reading::kMismatch;
}

// Whether a text holds a nonce of somebody else's.
bool NonceClient::Foreign(std::string_view text) const {
  const std::string own = std::string(kMark) + std::to_string(number_) + ".";
  for (size_t at = text.find(kMark); at != std::string_view::npos; at = text.find(kMark, at + 1)) {
    if (text.substr(at, own.size()) != own) return true;
  }
  return false;
}

Reading NonceClient::Read(std::string_view bytes, std::string* reply) {
  input_.append(bytes);
  size_t at = 0;
  Reading result = Reading::kGoesOn;
  while (input_.size() - at >= 5 && result == Reading::kGoesOn) {
    const uint32_t length = Get32(input_.data() + at + 1);
    if (length < 4 || length > kFrameMax) return Wrong("a frame of an impossible length");
    if (input_.size() - at < size_t{length} + 1) break;
    const std::string_view body(input_.data() + at + 5, length - 4);
    result = OnFrame(input_[at], body, reply);
    at += size_t{length} + 1;
  }
  input_.erase(0, at);
  if (result == Reading::kGoesOn && free()) return Reading::kFree;
  return result;
}

Reading NonceClient::OnFrame(char type, std::string_view body, std::string* reply) {
  if (type == 'E') return OnError(body);
  if (type == 'N') return OnNotice(body);
  if (type == 'S') return OnParameter(body);
  if (!ready_) return OnLogin(type, body, reply);
  if (owed_.empty()) return Wrong(std::string("an answer that nobody asked for: ") + type);
  std::string_view value;
  switch (type) {
    case 'D':
      if (!FirstColumn(body, &value)) return Wrong("a row without a value");
      return OnRow(value);
    case 'd':
      if (!body.empty() && body.back() == '\n') body.remove_suffix(1);
      return OnRow(body);
    case '1':
      if (owed_.front().turn.prepares >= 0) planner_.OnPrepared(owed_.front().turn.prepares);
      return Reading::kGoesOn;
    case 'Z':
      return OnReady(body);
    case '2':
    case 'C':
    case 'H':
    case 'I':
    case 'T':
    case 'c':
    case 'n':
      return Reading::kGoesOn;
    default:
      return Wrong(std::string("a message that no turn asks for: ") + type);
  }
}

Reading NonceClient::OnLogin(char type, std::string_view body, std::string* reply) {
  switch (type) {
    case 'R': {
      const uint32_t method = body.size() < 4 ? 0xff : Get32(body.data());
      if (method == 3) *reply = PasswordMessage(login_.password);
      return method == 0 || method == 3 ? Reading::kGoesOn : Wrong("a login it does not know");
    }
    case 'K':
      key_ = body;
      return Reading::kGoesOn;
    case 'Z':
      ready_ = true;
      return Reading::kGoesOn;
    default:
      return Wrong(std::string("in the middle of a login: ") + type);
  }
}

Reading NonceClient::OnRow(std::string_view value) {
  Owed& owed = owed_.front();
  if (owed.row >= owed.turn.rows.size()) return Wrong("a row too many: " + std::string(value));
  const std::string& wanted = owed.turn.rows[owed.row++];
  if (value == wanted) return Reading::kGoesOn;
  return Wrong("'" + std::string(value.substr(0, 100)) + "' instead of '" + wanted + "'");
}

Reading NonceClient::OnError(std::string_view body) {
  const std::string_view code = Field(body, 'C');
  const std::string message(Field(body, 'M'));
  if (Foreign(body)) return Wrong("somebody else's error: " + message);
  if (IsLoss(Field(body, 'V'), code) || IsLoss(Field(body, 'S'), code)) {
    text_ = std::string(code) + " " + message;
    return Reading::kLost;
  }
  if (owed_.empty()) return Wrong("an error that nobody caused: " + message);
  Owed& owed = owed_.front();
  if (owed.failed) return Wrong("a second error in one turn: " + message);
  owed.failed = true;
  const bool own_cancel = owed.tolerant && (code == "57014" || code == "25P02");
  if (own_cancel && owed.turn.error != code) {
    ++cancelled_;
    owed.cancelled = true;
    return Reading::kGoesOn;
  }
  if (owed.turn.error == code && message.find(owed.turn.error_text) != std::string::npos) {
    return Reading::kGoesOn;
  }
  if (code == "57014") return Wrong("a cancel that was meant for somebody else");
  return Wrong("an error it did not cause: " + std::string(code) + " " + message);
}

Reading NonceClient::OnNotice(std::string_view body) {
  const std::string_view message = Field(body, 'M');
  if (Foreign(body)) return Wrong("somebody else's notice: " + std::string(message));
  if (!owed_.empty() && message == owed_.front().turn.notice) owed_.front().noticed = true;
  return Reading::kGoesOn;
}

Reading NonceClient::OnParameter(std::string_view body) {
  constexpr std::string_view kName("application_name\0", 17);
  if (!body.starts_with(kName) || !Foreign(body)) return Reading::kGoesOn;
  return Wrong("somebody else's application_name: " + std::string(body.substr(kName.size())));
}

Reading NonceClient::OnReady(std::string_view body) {
  Owed& owed = owed_.front();
  if (!owed.failed && owed.row != owed.turn.rows.size()) return Wrong("rows are missing");
  if (!owed.failed && !owed.turn.error.empty()) {
    return Wrong("the error " + owed.turn.error + " did not come");
  }
  if (!owed.failed && !owed.turn.notice.empty() && !owed.noticed) return Wrong("no notice came");
  if (!owed.failed && !owed.turn.name_set.empty()) planner_.OnNameSet(owed.turn.name_set);
  status_ = body.empty() ? '?' : body[0];
  broken_off_ = broken_off_ || (owed.cancelled && status_ == 'I');
  ++checked_;
  owed_.pop_front();
  return Reading::kGoesOn;
}

}  // namespace load
