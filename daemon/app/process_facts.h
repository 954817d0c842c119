// What the kernel says of this process.
#pragma once

#include <cstdint>

namespace postern::app {

struct ProcessFacts {
  double cpu_seconds = 0;
  std::uint64_t resident_octets = 0;
  std::uint64_t virtual_octets = 0;
  std::uint64_t descriptors = 0;      ///< open
  std::uint64_t descriptors_max = 0;
  std::uint64_t threads = 0;
  double started_at = 0;              ///< seconds since 1970
};

/// Reads /proc, which does not block; what is not there stays 0.
ProcessFacts process_facts();

}  // namespace postern::app
