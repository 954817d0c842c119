// `[score]`; config/ fills it.
#pragma once

#include <cstddef>

#include "base/instant.h"

namespace postern::report {

constexpr Duration retention_max = std::chrono::hours(7 * 24);  ///< the longest window

struct ScoreSettings {
  bool enabled = true;
  Duration retention = retention_max;  ///< what is older is forgotten
  std::size_t senders_max = 5000;      ///< that are counted apart; likewise domains, and their pairs
  friend bool operator==(const ScoreSettings&, const ScoreSettings&) = default;
};

}  // namespace postern::report
