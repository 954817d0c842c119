#include "daemon/uv/work_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <mutex>
#include <thread>

#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace std::chrono_literals;

TEST_CASE("work runs on named threads of the given niceness, and its end is told on the loop") {
  Loop loop;
  Timer alive(loop, [] { FAIL_CHECK("never done"); });
  alive.start_at(loop.now() + 1min);
  const auto home = std::this_thread::get_id();
  std::string name;
  int nice = 0;
  std::thread::id worker;
  WorkPool pool({.name = "keys-of-the-house", .nice = 10});
  const int ours = ::getpriority(PRIO_PROCESS, 0);
  const bool queued = pool.submit(
      [&] {
        char text[16] = "";
        pthread_getname_np(pthread_self(), text, sizeof text);
        name = text;
        nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
        worker = std::this_thread::get_id();
      },
      loop,
      [&] {
        CHECK(std::this_thread::get_id() == home);
        loop.stop();
      });
  REQUIRE(queued);
  loop.run();
  CHECK(name == "keys-of-the-hou");
  CHECK(nice == 10);
  CHECK(worker != home);
  CHECK(::getpriority(PRIO_PROCESS, 0) == ours);
}

TEST_CASE("a full queue refuses, and takes again once there is room") {
  WorkPool pool({.name = "small", .threads = 1, .queue_max = 2});
  std::promise<void> started, release;
  REQUIRE(pool.submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();  // now the queue is empty and the only thread is busy
  std::promise<void> second;
  CHECK(pool.submit([] {}));
  CHECK(pool.submit([&] { second.set_value(); }));
  CHECK_FALSE(pool.submit([] { FAIL_CHECK("was refused"); }));
  release.set_value();
  second.get_future().wait();
  CHECK(pool.submit([] {}));
}

TEST_CASE("the end of a pool waits for the work in hand and drops what waits") {
  std::promise<void> started, release;
  bool finished = false;
  auto dropped = std::make_shared<int>();
  auto pool = std::make_unique<WorkPool>(WorkPool::Options{.name = "ending", .threads = 1});
  REQUIRE(pool->submit([&] {
    started.set_value();
    release.get_future().wait();
    finished = true;
  }));
  started.get_future().wait();
  REQUIRE(pool->submit([held = dropped] {}));
  std::thread ending([&] { pool.reset(); });
  release.set_value();
  ending.join();
  CHECK(finished);
  CHECK(dropped.use_count() == 1);
}

TEST_CASE("several threads work side by side") {
  WorkPool pool({.name = "pair", .threads = 2});
  // Each waits for the other: with one thread this would hang.
  std::promise<void> a, b, done;
  REQUIRE(pool.submit([&] {
    a.set_value();
    b.get_future().wait();
    done.set_value();
  }));
  REQUIRE(pool.submit([&] {
    a.get_future().wait();
    b.set_value();
  }));
  CHECK(done.get_future().wait_for(30s) == std::future_status::ready);
}

TEST_CASE("a pool that rests has done its work, has no thread, and works again") {
  WorkPool pool({.name = "resting", .threads = 2});
  pool.rest();  // there is no thread yet
  std::mutex mutex;
  int done = 0;
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    ++done;
  };
  for (int i = 0; i < 100; ++i) REQUIRE(pool.submit(count));
  pool.rest();
  CHECK(done == 100);
  std::promise<void> again;
  REQUIRE(pool.submit([&] { again.set_value(); }));
  CHECK(again.get_future().wait_for(30s) == std::future_status::ready);
}
