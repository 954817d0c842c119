// Time types. Nothing in lib/ reads a clock: the time is an argument, so that a test decides what time it is.
#pragma once

#include <chrono>
#include <cstdint>

namespace postern {

using Duration = std::chrono::nanoseconds;

/// The time line of Instant: monotonic, with an arbitrary origin. It has no now(): daemon/uv has.
struct Monotonic {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<Monotonic>;
  static constexpr bool is_steady = true;
};

/// A point on the monotonic time line, for deadlines and measured delays.
using Instant = Monotonic::time_point;

/// A point of calendar time (UTC, whole seconds), for certificates, headers and logs.
using WallTime = std::chrono::sys_seconds;

}  // namespace postern
