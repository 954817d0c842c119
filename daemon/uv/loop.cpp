#include "daemon/uv/loop.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace postern::uv {

namespace {

/// For what fails only when the process is out of descriptors or memory at its start.
void require(int status, const char* what) {
  if (status < 0) throw std::system_error(-status, std::generic_category(), what);
}

// Turns of the loop that ~Loop gives to close callbacks: a callback may close the next handle, but not without end.
constexpr int closing_turns_max = 100;

}  // namespace

Loop::Loop() : read_buffer_(std::make_unique<std::array<char, read_octets_max>>()) {
  require(uv_loop_init(&loop_), "uv_loop_init");
  loop_.data = this;
  require(uv_async_init(&loop_, &async_, [](uv_async_t* async) { of(async->loop).run_posted(); }), "uv_async_init");
  // Waiting for posts is no work: a loop with nothing else to do returns from run().
  uv_unref(reinterpret_cast<uv_handle_t*>(&async_));
}

Loop::~Loop() {
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
  for (int turn = 0; uv_loop_close(&loop_) == UV_EBUSY; ++turn) {
    if (turn == closing_turns_max) {
      // Going on would free memory that libuv still points to.
      std::fputs("a loop was destroyed before these handles were closed:\n", stderr);
      uv_print_all_handles(&loop_, stderr);
      std::abort();
    }
    uv_run(&loop_, UV_RUN_NOWAIT);
  }
}

void Loop::run() {
  for (;;) {
    uv_run(&loop_, UV_RUN_DEFAULT);
    if (std::exchange(stopped_, false)) return;
    {
      const std::lock_guard lock(mutex_);
      if (posted_.empty()) return;
    }
    run_posted();  // posted while the loop was ending by itself
  }
}

void Loop::stop() {
  post([this] {
    stopped_ = true;
    uv_stop(&loop_);
  });
}

void Loop::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(task));
  // Within the lock: once it is released the loop may have run the task and be gone.
  if (posted_.size() == 1) uv_async_send(&async_);
}

void Loop::run_posted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) std::exchange(task, nullptr)();
}

Instant Loop::now() const { return Instant(std::chrono::milliseconds(uv_now(&loop_))); }

uv_buf_t Loop::read_buffer() { return uv_buf_init(read_buffer_->data(), static_cast<unsigned>(read_buffer_->size())); }

WallTime wall_time() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

// uv_now() is the same clock, in milliseconds.
Instant monotonic_now() { return Instant(Duration(static_cast<Duration::rep>(uv_hrtime()))); }

}  // namespace postern::uv
