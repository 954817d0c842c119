// Changes in directories, by inotify. What happened is not said, only that something did: whoever asked looks again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/uv/loop.h"

namespace postern::uv {

/// Watches a set of directories (not recursive). Bursts are coalesced: `on_change` comes once `quiet` has passed
/// without another event, but at the latest ten times `quiet` after the first. Nothing that happens after set() is
/// missed, an overflow of the kernel's queue included.
class DirectoryWatch {
 public:
  DirectoryWatch(Loop& loop, Duration quiet, std::function<void()> on_change);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  /// Replaces the set. Directories that cannot be watched (not there yet, out of watches) are left out: a periodic sweep
  /// has to find their changes. A directory that is replaced by another of its name is taken up at its next on_change.
  void set(const std::vector<std::string>& directories);

 private:
  struct State;
  State* state_;
};

}  // namespace postern::uv
