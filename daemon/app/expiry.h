// Which certificates of a map end next.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/instant.h"
#include "certs/snapshot.h"

namespace postern::app {

struct Expiring {
  std::string name;      ///< one for which it is served
  WallTime not_after{};
};

/// The `count_max` served certificates that end first, in this order. A walk over the whole map: for the loading thread.
std::vector<Expiring> next_to_expire(const certs::Snapshot& snapshot, std::size_t count_max);

}  // namespace postern::app
