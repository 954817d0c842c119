// One libuv loop, which belongs to one thread. Everything under daemon/uv is used only on its loop's thread, except
// Loop::post() and Loop::stop().
#pragma once

#include <uv.h>

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/instant.h"

namespace postern::uv {

class Loop {
 public:
  Loop();
  /// All handles must have been closed (run() has returned); close callbacks that are still due come from here.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until stop(), or until nothing is left that could happen.
  void run();

  /// From any thread, also before run(): run() returns after the callbacks in progress. Closing handles first is the
  /// owner's business.
  void stop();

  /// From any thread: calls `task` on the loop's thread, never within this call. Tasks run in the order of their
  /// posting. A task that waits does not keep run() from stopping, and is dropped unrun with the loop.
  void post(std::function<void()> task);

  /// The loop's cached time; does not move within one callback.
  Instant now() const;

  uv_loop_t* get() { return &loop_; }
  static Loop& of(const uv_loop_t* loop) { return *static_cast<Loop*>(loop->data); }

  static constexpr std::size_t read_octets_max = 64 * 1024;
  /// What all sockets of the loop read into: a buffer for each would be memory held by idle sessions.
  uv_buf_t read_buffer();

 private:
  void run_posted();

  uv_loop_t loop_{};
  uv_async_t async_{};
  bool stopped_ = false;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::unique_ptr<std::array<char, read_octets_max>> read_buffer_;
};

/// Calendar time, for headers, logs and certificates.
WallTime wall_time();

/// A monotonic time that any thread may ask for.
Instant monotonic_now();

/// A one-shot timer with the loop's resolution, a millisecond; it never expires early. Destroying it cancels it, also
/// from within its own callback. Moving the deadline further away is nearly free, as sessions do it at every command.
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
