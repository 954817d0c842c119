// Ids of sessions and transactions: short, and unique over workers and restarts as long as the clock is not set back.
#pragma once

#include <cstdint>
#include <string>

namespace postern::session {

class IdSource {
 public:
  explicit IdSource(unsigned worker) : worker_(worker) {}

  /// Ten or more characters of [0-9A-Z]: the time in microseconds, then the worker.
  std::string next();

 private:
  unsigned worker_;
  std::uint64_t last_ = 0;
};

}  // namespace postern::session
