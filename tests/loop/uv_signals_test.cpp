#include "daemon/uv/signals.h"

#include <csignal>

#include "tests/loop/uv_support.h"

using namespace postern::uv;
using namespace postern::uv::test;

// SIGWINCH, because its default is to be ignored.

TEST_CASE("a signal is told to everyone who asked for it, and not to others") {
  Loop loop;
  int first = 0, second = 0;
  Signal a(loop, SIGWINCH, [&] { ++first; });
  Signal b(loop, SIGWINCH, [&] { ++second; });
  Signal other(loop, SIGUSR2, [] { FAIL_CHECK("not this one"); });
  ::raise(SIGWINCH);
  CHECK(turn_until(loop, [&] { return first > 0 && second > 0; }));
  CHECK(first == 1);
  CHECK(second == 1);
}

TEST_CASE("a signal may be destroyed in its own callback, and the loop ends then") {
  Loop loop;
  int seen = 0;
  std::unique_ptr<Signal> signal;
  signal = std::make_unique<Signal>(loop, SIGWINCH, [&] {
    ++seen;
    signal.reset();
  });
  ::raise(SIGWINCH);
  loop.run();
  CHECK(seen == 1);
  ::raise(SIGWINCH);
  loop.run();
  CHECK(seen == 1);
}
