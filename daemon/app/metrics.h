// What /metrics says. Names and units follow Prometheus' conventions; every label's values are bounded by the
// configuration, by the protocol or by a number that stands here.
#pragma once

#include <string>

#include "daemon/app/status.h"

namespace postern::app {

/// `expires_within`: certificates that end sooner are listed one by one.
std::string metrics_text(const StatusSources& sources, const Overview& overview, Duration expires_within, WallTime now);

}  // namespace postern::app
