#include "mirror/parsed.h"

#include <algorithm>
#include <utility>

namespace mirror {

void Parsed::Begin(uint64_t schema) {
  if (schema != schema_) {
    Doubt();
  }
  schema_ = schema;
  ++flight_;
  fresh_ = false;
}

void Parsed::OnGood() {
  if (!fresh_) {
    return;
  }
  for (auto& [parse, place] : places_) {
    if (place.flight == flight_) {
      place.proven = doubts_;
    }
  }
  fresh_ = false;
}

Parsed::Use Parsed::Take(std::string_view parse) {
  auto found = places_.find(parse);
  if (found == places_.end()) {
    Place place = NewPlace();
    found = places_.emplace(parse, std::move(place)).first;
  }
  Place& place = found->second;
  place.used = ++uses_;
  Use use;
  use.name = place.name;
  if (place.proven != doubts_ && place.flight != flight_) {
    use.parse = true;
    use.close = std::exchange(place.may_have, true);
    place.flight = flight_;
    fresh_ = true;
  }
  return use;
}

// A new name, or that of the one that goes.
Parsed::Place Parsed::NewPlace() {
  Place place;
  if (places_.size() < kMax) {
    place.name = "pgbraid_m" + std::to_string(places_.size());
    return place;
  }
  const auto oldest = std::min_element(
      places_.begin(), places_.end(),
      [](const auto& one, const auto& other) { return one.second.used < other.second.used; });
  place.name = std::move(oldest->second.name);
  place.may_have = oldest->second.may_have;
  places_.erase(oldest);
  return place;
}

}  // namespace mirror
