// One posternd for one state directory: a second one would start and silently share the work.
#pragma once

#include <string>

#include "base/result.h"

namespace postern::app {

/// Once taken, holds an flock(2) on `DIR/lock` until it is given up or destroyed.
class StateLock {
 public:
  StateLock() = default;
  ~StateLock();
  StateLock(const StateLock&) = delete;
  StateLock& operator=(const StateLock&) = delete;

  /// Makes the directory if it is not there.
  Result<void> take(const std::string& state_dir);
  /// For another process; take_again() is for when that did not want it.
  void give_up();
  Result<void> take_again() { return take(state_dir_); }

 private:
  std::string state_dir_;
  int descriptor_ = -1;
};

}  // namespace postern::app
