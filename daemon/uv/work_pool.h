// Bounded pools for blocking work (DESIGN section 2): files, certificates, signatures. Never libuv's own small pool.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "daemon/uv/loop.h"

namespace postern::uv {

class WorkPool {
 public:
  struct Options {
    std::string name;               ///< of its threads, at most 15 octets
    unsigned threads = 1;
    std::size_t queue_max = 1024;
    int nice = 0;                   ///< raised for work that must not compete with the loops
  };
  /// Its threads are made when there is work for the first time.
  explicit WorkPool(Options options);
  ~WorkPool();

  /// Finishes the work in hand and what waits, and ends the threads until there is work again: what a process can do to
  /// its only thread holds for those that come later. Not from one of its threads.
  void rest();

  /// Finishes the work in hand, drops what waits, joins; nothing is taken from then on. Not from one of its threads.
  void stop();

  /// From any thread. False when the queue is full: the caller refuses or defers what it wanted.
  [[nodiscard]] bool submit(std::function<void()> work);

  /// submit(), then `done` on `loop`'s thread. The caller makes sure that the loop outlives the pool's work, and that
  /// `done` finds its object by id (it may be gone by then).
  [[nodiscard]] bool submit(std::function<void()> work, Loop& loop, std::function<void()> done);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::uv
