#include "daemon/uv/loop.h"

#include <atomic>
#include <thread>
#include <vector>

#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace std::chrono_literals;

TEST_CASE("a loop with nothing to do returns, and runs what was posted before") {
  Loop loop;
  loop.run();
  std::string order;
  loop.post([&] {
    order += 'a';
    loop.post([&] { order += 'c'; });
    order += 'b';
  });
  CHECK(order.empty());
  loop.run();
  CHECK(order == "abc");
}

TEST_CASE("tasks posted from many threads all run, on the loop's thread, each thread's in order") {
  constexpr int threads = 4;
  constexpr int tasks = 500;
  Loop loop;
  const auto home = std::this_thread::get_id();
  std::array<int, threads> seen{};
  bool in_order = true, at_home = true;
  int left = threads * tasks;
  Timer alive(loop, [] {});  // posts alone do not keep a loop running
  alive.start_at(loop.now() + 1h);

  std::vector<std::thread> posters;
  for (std::size_t t = 0; t < threads; ++t) {
    posters.emplace_back([&, t] {
      for (int n = 0; n < tasks; ++n) {
        loop.post([&, t, n] {
          in_order = in_order && seen[t]++ == n;
          at_home = at_home && std::this_thread::get_id() == home;
          if (--left == 0) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : posters) thread.join();
  CHECK(left == 0);
  CHECK(in_order);
  CHECK(at_home);
}

TEST_CASE("a stop from another thread ends a loop that still has work, also when it comes before run") {
  Loop loop;
  Timer alive(loop, [] { FAIL_CHECK("ran for an hour"); });
  alive.start_at(loop.now() + 1h);
  loop.stop();
  loop.run();
  std::atomic<bool> running = false;
  loop.post([&] { running = true; });
  std::thread stopper([&] {
    while (!running) std::this_thread::yield();
    loop.stop();
  });
  loop.run();
  stopper.join();
  CHECK(running);
}

TEST_CASE("a timer expires once and never early") {
  Loop loop;
  int expired = 0;
  Instant when{};
  Instant due{};
  Timer timer(loop, [&] {
    ++expired;
    when = loop.now();
  });
  due = loop.now() + 1500us;  // not a whole millisecond: it is rounded up
  timer.start_at(due);
  loop.run();
  CHECK(expired == 1);
  CHECK(when >= due);
}

TEST_CASE("timers expire in the order of their deadlines, however often those were moved") {
  Loop loop;
  std::string order;
  Timer a(loop, [&] { order += 'a'; }), b(loop, [&] { order += 'b'; }), c(loop, [&] { order += 'c'; });
  const Instant now = loop.now();
  a.start_at(now + 1ms);
  b.start_at(now + 20ms);
  c.start_at(now + 1h);
  a.start_at(now + 30ms);   // later
  a.start_at(now + 40ms);
  c.start_at(now + 10ms);   // sooner
  loop.run();
  CHECK(order == "cba");
}

TEST_CASE("a deadline that has passed expires at the next turn, not within start_at") {
  Loop loop;
  bool expired = false;
  Timer timer(loop, [&] { expired = true; });
  timer.start_at(Instant{});
  CHECK_FALSE(expired);
  loop.run();
  CHECK(expired);
}

TEST_CASE("stopped and destroyed timers do not expire and do not keep the loop running") {
  Loop loop;
  Timer stopped(loop, [] { FAIL_CHECK("was stopped"); });
  stopped.start_at(loop.now());
  stopped.start_at(loop.now() + 1h);
  stopped.stop();
  auto destroyed = std::make_unique<Timer>(loop, [] { FAIL_CHECK("was destroyed"); });
  destroyed->start_at(loop.now());
  destroyed.reset();
  loop.run();
  SUCCEED();
}

TEST_CASE("a timer may be started again or destroyed by its own callback") {
  Loop loop;
  int expired = 0;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(loop, [&] {
    if (++expired < 3) return timer->start_at(loop.now() + 1ms);
    timer.reset();
  });
  timer->start_at(loop.now());
  loop.run();
  CHECK(expired == 3);
}

TEST_CASE("the loop's time and the time of other threads are one time line") {
  Loop loop;
  uv_update_time(loop.get());
  const Instant before = loop.now();
  const Instant after = monotonic_now();
  CHECK(before <= after);
  CHECK(after - before < 1h);
}
