#include "daemon/app/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace postern::app {

namespace {

constexpr unsigned helpers_max = 7;  // beyond that it is the disk, not the cores

/// The tasks of one call. A helper that comes when all have been handed out touches nothing but this.
class Batch {
 public:
  explicit Batch(certs::Tasks& tasks) : tasks_(tasks.data()), count_(tasks.size()), left_(tasks.size()) {}

  void work() {
    for (std::size_t at; (at = next_.fetch_add(1)) < count_;) {
      tasks_[at]();
      if (left_.fetch_sub(1) != 1) continue;
      const std::lock_guard lock(mutex_);
      all_done_.notify_all();
    }
  }

  void wait() {
    std::unique_lock lock(mutex_);
    all_done_.wait(lock, [this] { return left_.load() == 0; });
  }

 private:
  std::function<void()>* const tasks_;
  const std::size_t count_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> left_;
  std::mutex mutex_;
  std::condition_variable all_done_;
};

}  // namespace

unsigned helper_count() { return std::min(helpers_max, std::max(2u, std::thread::hardware_concurrency()) - 1); }

certs::Executor on_pool(uv::WorkPool& pool, unsigned helpers) {
  return [&pool, helpers](certs::Tasks& tasks) {
    const auto batch = std::make_shared<Batch>(tasks);
    for (unsigned i = 0; i < helpers && i + 1 < tasks.size(); ++i) {
      if (!pool.submit([batch] { batch->work(); })) break;
    }
    batch->work();
    batch->wait();
  };
}

}  // namespace postern::app
