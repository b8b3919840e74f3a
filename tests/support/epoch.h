// A configuration as an epoch, for whoever is tested without a server::Process.
#pragma once

#include <utility>

#include "backend/epoch.h"
#include "base/check.h"

namespace support {

inline backend::Epoch PublishOne(backend::Epochs* epochs, config::Config config,
                                 io::Resolver* resolver) {
  absl::StatusOr<backend::Setup> setup =
      backend::MakeSetup(std::move(config), resolver, "process secret");
  CHECK(setup.ok());
  backend::Epoch epoch;
  epochs->Publish(*std::move(setup), 1, [&](int, backend::Epoch one) { epoch = std::move(one); });
  return epoch;
}

}  // namespace support
