// How much memory this process has in RAM.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace postern::test {

inline std::size_t resident_octets() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace postern::test
