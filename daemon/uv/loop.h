// One libuv loop, which belongs to one thread. Everything under daemon/uv is used only on its loop's thread, except
// Loop::post() and Loop::stop().
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/instant.h"

namespace postern::uv {

class Loop {
 public:
  Loop();
  /// All handles must have been closed (run() has returned).
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until stop(), or until nothing is left that could happen.
  void run();

  /// From any thread: run() returns after the callbacks in progress. Closing handles first is the owner's business.
  void stop();

  /// From any thread: calls `task` on the loop's thread. Tasks run in the order of their posting.
  void post(std::function<void()> task);

  /// The loop's cached time; does not move within one callback.
  Instant now() const;

  uv_loop_t* get() { return &loop_; }

 private:
  void run_posted();

  uv_loop_t loop_{};
  uv_async_t async_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
};

/// Calendar time, for headers, logs and certificates.
WallTime wall_time();

/// A monotonic time that any thread may ask for.
Instant monotonic_now();

/// A one-shot timer. Destroying it cancels it.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> on_expiry);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Replaces an earlier start. A time that has passed expires at the next turn of the loop.
  void start_at(Instant when);
  void stop();

 private:
  struct Handle;
  Handle* handle_;  // freed by its close callback
};

}  // namespace postern::uv
