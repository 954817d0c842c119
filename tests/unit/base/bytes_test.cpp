#include "base/bytes.h"

#include <random>

#include "tests/support/catch.h"

using namespace postern;

TEST_CASE("a byte queue gives back what it was given, in order, however it is cut") {
  std::mt19937 random(7);
  std::string in, out;
  ByteQueue queue;
  for (int i = 0; i < 2000; ++i) {
    std::string piece(random() % 100, static_cast<char>('a' + i % 26));
    in += piece;
    queue.append(piece);
    const std::size_t taken = queue.empty() ? 0 : random() % (queue.size() + 1);
    out += queue.view().substr(0, taken);
    queue.consume(taken);
    REQUIRE(queue.size() == in.size() - out.size());
  }
  out += queue.take();
  CHECK(queue.empty());
  CHECK(out == in);
}
