#include "base/freed_memory.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/sanitizers.h"
#include "tests/support/catch.h"
#include "tests/support/resident_memory.h"

using postern::test::resident_octets;

TEST_CASE("what a thread has freed goes back to the system, and what it holds stays as it was") {
  constexpr std::size_t pieces = 200'000;
  const std::string piece(300, 'x');
  std::size_t before = 0;
  std::size_t after = 0;
  std::string held;
  std::thread([&] {
    std::vector<std::unique_ptr<std::string>> all;
    for (std::size_t i = 0; i < pieces; ++i) all.push_back(std::make_unique<std::string>(piece));
    const auto last = std::move(all.back());  // so that the end of the heap cannot simply be cut off
    all.clear();
    before = resident_octets();
    postern::give_back_freed_memory();
    after = resident_octets();
    held = *last;
  }).join();
  CHECK(held == piece);
  // A sanitizer has an allocator of its own, which keeps what is freed on purpose.
  if (!postern::address_sanitizer && !postern::thread_sanitizer) {
    CHECK(before > after + pieces * piece.size() / 2);
  }
}
