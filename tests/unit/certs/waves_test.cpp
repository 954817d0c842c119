#include "certs/waves.h"

#include <atomic>
#include <thread>

#include "tests/support/catch.h"

using namespace postern::certs;

namespace {

/// A thread for each task.
void run_at_once(Tasks& tasks) {
  std::vector<std::thread> threads;
  for (auto& task : tasks) threads.emplace_back([&task] { task(); });
  for (auto& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("what is made in waves is taken once each, in order, by one thread at a time") {
  for (const std::size_t count : {0u, 1u, 63u, 64u, 65u, 4095u, 4096u, 4097u, 8192u, 9000u}) {
    INFO(count);
    std::vector<std::size_t> taken;
    std::atomic<int> takers{0};
    in_waves<std::size_t>(
        count, run_at_once,
        [](std::size_t first, std::span<std::size_t> many) {
          for (std::size_t i = 0; i < many.size(); ++i) many[i] = (first + i) * 2;
        },
        [&](std::size_t i, std::size_t made) {
          if (takers.fetch_add(1) != 0 || made != i * 2) taken.clear();
          taken.push_back(i);
          takers.fetch_sub(1);
        });
    REQUIRE(taken.size() == count);
    for (std::size_t i = 0; i < count; ++i) {
      if (taken[i] != i) FAIL("out of order");
    }
  }
}

TEST_CASE("waves hold no more than two waves of what is made") {
  std::atomic<std::size_t> alive{0}, most{0};
  struct Counted {
    std::atomic<std::size_t>* alive = nullptr;
    Counted() = default;
    Counted(Counted&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
    Counted& operator=(Counted&& other) noexcept {
      if (alive != nullptr) alive->fetch_sub(1);
      alive = std::exchange(other.alive, nullptr);
      return *this;
    }
    ~Counted() {
      if (alive != nullptr) alive->fetch_sub(1);
    }
  };
  in_waves<Counted>(
      20'000, run_inline,
      [&](std::size_t, std::span<Counted> many) {
        for (auto& made : many) {
          made.alive = &alive;
          most = std::max<std::size_t>(most, alive.fetch_add(1) + 1);
        }
      },
      [](std::size_t, Counted) {});
  CHECK(alive == 0);
  CHECK(most <= 2 * 4096);
}
