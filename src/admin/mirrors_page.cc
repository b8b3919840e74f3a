#include "admin/mirrors_page.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "admin/target.h"
#include "base/json.h"

namespace admin {
namespace {

constexpr std::string_view kMirrors = "/v1/mirrors";
constexpr std::string_view kGaps = "/gaps";

void WriteGap(const GapReport& gap, base::JsonWriter* json) {
  const auto text = [json](std::string_view value) {
    value.empty() ? json->Null() : json->String(value);
  };
  json->BeginObject();
  json->Key("table");
  text(gap.table);
  json->Key("cause").String(gap.cause);
  json->Key("sqlstate");
  text(gap.sqlstate);
  json->Key("first").Time(gap.first);
  json->Key("last").Time(gap.last);
  json->Key("statements").Unsigned(gap.statements);
  json->Key("transactions").Unsigned(gap.transactions);
  json->EndObject();
}

void WriteGaps(const std::vector<GapReport>& gaps, base::JsonWriter* json) {
  json->BeginArray();
  for (const GapReport& gap : gaps) {
    WriteGap(gap, json);
  }
  json->EndArray();
}

void WriteCounters(const MirrorReport& mirror, base::JsonWriter* json) {
  json->Key("offered").Unsigned(mirror.offered);
  json->Key("delivered").Unsigned(mirror.delivered);
  json->Key("refused").Unsigned(mirror.refused);
  json->Key("dropped").BeginObject();
  for (const auto& [cause, count] : mirror.dropped) {
    json->Key(cause).Unsigned(count);
  }
  json->EndObject();
  json->Key("statements").Unsigned(mirror.statements);
  json->Key("retries").Unsigned(mirror.retries);
  json->Key("reconnects").Unsigned(mirror.reconnects);
  json->Key("queued_units").Signed(mirror.queued_units);
  json->Key("queued_bytes").Signed(mirror.queued_bytes);
  json->Key("spilled").Unsigned(mirror.spilled);
  json->Key("spilled_bytes").Unsigned(mirror.spilled_bytes);
  json->Key("spill_failures").Unsigned(mirror.spill_failures);
  json->Key("spill_units").Signed(mirror.spill_units);
  json->Key("spill_bytes").Signed(mirror.spill_bytes);
  json->Key("connections").Signed(mirror.connections);
}

void WriteMirror(const MirrorReport& mirror, base::JsonWriter* json) {
  json->BeginObject();
  json->Key("name").String(mirror.name);
  json->Key("address").String(mirror.address);
  json->Key("database");
  if (mirror.database.empty()) {
    json->Null();
  } else {
    json->String(mirror.database);
  }
  json->Key("reachable").Bool(mirror.reachable);
  WriteCounters(mirror, json);
  json->Key("lag_seconds").BeginObject();
  json->Key("p50").Number(mirror.lag_p50);
  json->Key("p99").Number(mirror.lag_p99);
  json->EndObject();
  json->Key("gaps_kept").Bool(mirror.gaps_kept);
  json->Key("gaps_folded").Bool(mirror.gaps_folded);
  json->Key("gaps");
  WriteGaps(mirror.gaps, json);
  json->EndObject();
}

Answered Json(const base::JsonWriter& json) {
  Answered answered;
  answered.response.content_type = "application/json";
  answered.response.body = json.text() + "\n";
  return answered;
}

Answered Plain(int status, std::string_view line) {
  Answered answered;
  answered.response.status = status;
  answered.response.body = line;
  return answered;
}

Answered NotAllowed(std::string_view allow) {
  Answered answered = Plain(405, "the field Allow names the methods\n");
  answered.response.allow = allow;
  return answered;
}

Answered List(const Source& source) {
  base::JsonWriter json;
  json.BeginArray();
  for (const MirrorReport& mirror : source.mirrors()) {
    WriteMirror(mirror, &json);
  }
  json.EndArray();
  return Json(json);
}

// A browser says where the page is from that sends it, and no page is from here.
bool IsFromAPage(const http::Request& request) {
  constexpr std::string_view kOrigin = "origin";
  return std::any_of(
      request.fields.begin(), request.fields.end(), [&](const http::Field& field) {
        return std::equal(field.name.begin(), field.name.end(), kOrigin.begin(), kOrigin.end(),
                          [](char a, char b) {
                            return (a >= 'A' && a <= 'Z' ? static_cast<char>(a | 0x20) : a) == b;
                          });
      });
}

// What the query asks for; nullopt: it is not understood, and nothing may be forgotten for it.
std::optional<ClearGaps> ReadOrder(const http::Request& request) {
  const std::optional<std::vector<Parameter>> parameters = QueryOf(request.target);
  if (!parameters.has_value()) {
    return std::nullopt;
  }
  ClearGaps order;
  bool until = false;
  for (const Parameter& parameter : *parameters) {
    std::string error;
    if (parameter.name == "table" && !order.table.has_value()) {
      order.table = parameter.value;
    } else if (parameter.name == "until" && !until &&
               absl::ParseTime(absl::RFC3339_full, parameter.value, &order.until, &error)) {
      until = true;
    } else {
      return std::nullopt;
    }
  }
  return order;
}

Answered Clear(const http::Request& request, const MirrorReport& mirror) {
  if (IsFromAPage(request)) {
    return Plain(403, "orders are not taken from a browser\n");
  }
  std::optional<ClearGaps> order = ReadOrder(request);
  if (!order.has_value()) {
    return Plain(400, "the query may have table=NAME and until=TIME (RFC 3339), each once\n");
  }
  order->mirror = mirror.name;
  base::JsonWriter json;
  json.BeginObject();
  json.Key("cleared").Signed(std::count_if(mirror.gaps.begin(), mirror.gaps.end(),
                            [&](const GapReport& gap) { return IsCleared(*order, gap); }));
  json.EndObject();
  Answered answered = Json(json);
  answered.order = std::move(order);
  return answered;
}

}  // namespace

bool IsCleared(const ClearGaps& order, const GapReport& gap) {
  return (!order.table.has_value() || *order.table == gap.table) && gap.last <= order.until;
}

bool IsMirrorsPath(std::string_view path) {
  return path.starts_with(kMirrors) &&
         (path.size() == kMirrors.size() || path[kMirrors.size()] == '/');
}

Answered AnswerMirrors(const http::Request& request, const Source& source) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  std::string_view rest = request.path();
  rest.remove_prefix(kMirrors.size());
  if (rest.empty()) {
    return reads ? List(source) : NotAllowed("GET, HEAD");
  }
  rest.remove_prefix(1);
  if (!rest.ends_with(kGaps)) {
    return Plain(404, "there are /v1/mirrors and /v1/mirrors/NAME/gaps\n");
  }
  rest.remove_suffix(kGaps.size());
  const std::optional<std::string> name = DecodePercent(rest);
  for (const MirrorReport& mirror : source.mirrors()) {
    if (name != mirror.name) {
      continue;
    }
    if (request.method == "DELETE") {
      return Clear(request, mirror);
    }
    if (!reads) {
      return NotAllowed("GET, HEAD, DELETE");
    }
    base::JsonWriter json;
    WriteGaps(mirror.gaps, &json);
    return Json(json);
  }
  return Plain(404, "there is no mirror of that name\n");
}

}  // namespace admin
