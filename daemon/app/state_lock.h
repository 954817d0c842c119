// One posternd for one state directory: a second one would start and silently share the work.
#pragma once

#include <string>

#include "base/result.h"

namespace postern::app {

/// Holds an flock(2) on `DIR/lock` until it is destroyed.
class StateLock {
 public:
  StateLock() = default;
  ~StateLock();
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&& other) noexcept;

  /// Makes the directory if it is not there.
  static Result<StateLock> take(const std::string& state_dir);

 private:
  int descriptor_ = -1;
};

}  // namespace postern::app
