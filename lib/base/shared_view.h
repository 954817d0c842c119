// Immutable state that one thread publishes and many threads read: a Publisher holds the newest generation, each reader
// thread has a View with its own copy of the pointer and refreshes it only when the generation has moved. So the usual
// read costs one atomic load and takes no lock. (std::atomic<std::shared_ptr> would be shorter, but the one of
// libstdc++ 12 has a data race that ThreadSanitizer finds.)
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace postern {

template <class T>
class Publisher {
 public:
  Publisher() = default;
  explicit Publisher(std::shared_ptr<const T> first) : current_(std::move(first)), generation_(1) {}
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Makes `next` the current generation and returns the one before, so that the caller decides on which thread it
  /// is freed if this was its last reference (never a loop thread).
  [[nodiscard]] std::shared_ptr<const T> publish(std::shared_ptr<const T> next) {
    const std::lock_guard lock(mutex_);
    std::swap(current_, next);
    generation_.fetch_add(1, std::memory_order_release);
    return next;
  }

  std::shared_ptr<const T> current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  /// Counts the publications; 0 means that nothing was ever published.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  template <class>
  friend class View;

  std::pair<std::shared_ptr<const T>, std::uint64_t> current_with_generation() const {
    const std::lock_guard lock(mutex_);
    return {current_, generation_.load(std::memory_order_relaxed)};
  }

  mutable std::mutex mutex_;
  std::shared_ptr<const T> current_;
  std::atomic<std::uint64_t> generation_{0};
};

/// One thread's window on a Publisher; not to be shared between threads. The Publisher must outlive it.
template <class T>
class View {
 public:
  explicit View(const Publisher<T>& publisher) : publisher_(&publisher) {}

  /// The newest generation (null when nothing was published yet). The reference stays good until the next call on
  /// this View; keep a copy of the pointer to pin the generation for longer.
  const std::shared_ptr<const T>& get() {
    if (publisher_->generation() != seen_) {
      auto [newest, generation] = publisher_->current_with_generation();
      local_ = std::move(newest);
      seen_ = generation;
    }
    return local_;
  }

 private:
  const Publisher<T>* publisher_;
  std::shared_ptr<const T> local_;
  std::uint64_t seen_ = 0;
};

}  // namespace postern
