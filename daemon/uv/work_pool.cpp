#include "daemon/uv/work_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace postern::uv {

struct WorkPool::State {
  explicit State(Options chosen) : options(std::move(chosen)) {}

  const Options options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;
  bool stopping = false;
  bool resting = false;
  std::vector<std::thread> threads;

  void run() {
    pthread_setname_np(pthread_self(), options.name.substr(0, 15).c_str());
    // On Linux a nice value belongs to a thread, not to the process (sched(7)).
    if (options.nice != 0) ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), options.nice);
    for (;;) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return stopping || resting || !waiting.empty(); });
      if (stopping || waiting.empty()) return;
      const auto work = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      work();
    }
  }

  /// With the mutex held.
  void start() {
    while (threads.size() < options.threads) threads.emplace_back([this] { run(); });
  }

  /// Ends the threads, which have been told why.
  void join() {
    changed.notify_all();
    std::vector<std::thread> ending;
    {
      const std::lock_guard lock(mutex);
      ending.swap(threads);
    }
    for (auto& thread : ending) thread.join();
  }
};

WorkPool::WorkPool(Options options) : state_(std::make_unique<State>(std::move(options))) {}

WorkPool::~WorkPool() { stop(); }

void WorkPool::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->join();
}

void WorkPool::rest() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->resting = true;
  }
  state_->join();
  const std::lock_guard lock(state_->mutex);
  state_->resting = false;
  if (!state_->waiting.empty()) state_->start();
}

bool WorkPool::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping || state_->waiting.size() >= state_->options.queue_max) return false;
    state_->waiting.push_back(std::move(work));
    if (!state_->resting) state_->start();
  }
  state_->changed.notify_one();
  return true;
}

bool WorkPool::submit(std::function<void()> work, Loop& loop, std::function<void()> done) {
  return submit([work = std::move(work), &loop, done = std::move(done)]() mutable {
    work();
    loop.post(std::move(done));
  });
}

}  // namespace postern::uv
