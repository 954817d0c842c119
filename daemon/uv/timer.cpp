#include <algorithm>
#include <utility>

#include "daemon/uv/handle.h"
#include "daemon/uv/loop.h"

namespace postern::uv {

struct Timer::Handle {
  uv_timer_t timer{};
  std::function<void()> on_expiry;
  Instant deadline{};

  void arm() {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Loop::of(timer.loop).now());
    uv_timer_start(&timer, [](uv_timer_t* expired) { static_cast<Handle*>(expired->data)->expired(); },
                   static_cast<std::uint64_t>(std::max<std::int64_t>(left.count(), 0)), 0);
  }

  void expired() {
    if (Loop::of(timer.loop).now() < deadline) return arm();
    on_expiry();
  }
};

Timer::Timer(Loop& loop, std::function<void()> on_expiry) : handle_(new Handle) {
  handle_->on_expiry = std::move(on_expiry);
  uv_timer_init(loop.get(), &handle_->timer);
  handle_->timer.data = handle_;
}

Timer::~Timer() { close_and_delete(handle_, handle_->timer); }

void Timer::start_at(Instant when) {
  // A later deadline leaves libuv's heap of timers alone: expired() sees that it came too early and arms again.
  const bool postponed = uv_is_active(reinterpret_cast<uv_handle_t*>(&handle_->timer)) != 0 &&
                         when >= handle_->deadline;
  handle_->deadline = when;
  if (!postponed) handle_->arm();
}

void Timer::stop() { uv_timer_stop(&handle_->timer); }

}  // namespace postern::uv
