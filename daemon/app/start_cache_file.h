// The StartCache of `state_dir/certs/cache`: read once at the start, written beside the loading thread when enough of it
// has become old. What is wrong with it costs a slower start and nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "certs/start_cache.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

class StartCacheFile {
 public:
  /// An empty path: there is none.
  explicit StartCacheFile(std::string path);

  /// Null when there is none, or it is not to be used, of which `notice` tells.
  std::shared_ptr<const certs::StartCache> read(std::string& notice) const;

  /// Counts items that the file does not know (of `items` in all). True when it is to be written anew: at once after a
  /// start that has found any, later when they are many, so that a renewal does not write about all the others.
  bool is_due(std::size_t read_anew, std::size_t items);
  /// On a thread of the pool.
  void write(uv::WorkPool& pool, certs::Remembered remembered);

  /// Why it could not be written; empty: it could.
  std::string problem() const;

 private:
  struct Outcome {
    std::mutex mutex;
    std::string problem;
  };

  std::string path_;
  std::string stamp_;
  bool written_ = false;
  std::size_t unknown_ = 0;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>();  // outlives this, for the thread that writes
};

}  // namespace postern::app
