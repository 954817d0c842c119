// Changes in directories, by inotify. What happened is not said, only where, and to what: whoever asked looks again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/uv/loop.h"

namespace postern::uv {

/// Where something has happened since the last on_change.
struct DirectoryChanges {
  /// As they were given to set(); with the names of all that was touched in each. Without names where it was the
  /// directory itself, or more than can be told.
  std::map<std::string, std::optional<std::set<std::string>>> directories;
  bool lost = false;                  ///< the kernel's queue was too short: more may have happened, anywhere
};

/// Watches a set of directories (not recursive). Bursts are coalesced: `on_change` comes once `quiet` has passed
/// without another event, but at the latest ten times `quiet` after the first. Nothing that happens after set() is
/// missed, an overflow of the kernel's queue included.
class DirectoryWatch {
 public:
  DirectoryWatch(Loop& loop, Duration quiet, std::function<void(DirectoryChanges)> on_change);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  /// Replaces the set. Costs a system call for each directory that is new in it. Directories that cannot be watched (not
  /// there yet, out of watches) are left out: a periodic sweep has to find their changes. A watched directory that is
  /// replaced by another of its name is taken up by itself if the directory that holds it is watched too.
  void set(const std::vector<std::string>& directories);
  /// Tries those again that could not be watched.
  void retry();
  /// Watches everything anew: for when directories may have been replaced unseen, by a change further up.
  void renew();

  /// How many directories of the set are not watched.
  std::size_t unwatched() const;
  bool out_of_watches() const;  ///< fs.inotify.max_user_watches (or max_user_instances) is too low

 private:
  struct State;
  State* state_;
};

}  // namespace postern::uv
