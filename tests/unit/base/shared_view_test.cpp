#include "base/shared_view.h"

#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace postern;

TEST_CASE("a view sees each publication, and publish gives back the one before") {
  Publisher<int> publisher;
  View<int> view(publisher);
  CHECK(view.get() == nullptr);
  CHECK(publisher.publish(std::make_shared<const int>(1)) == nullptr);
  CHECK(*view.get() == 1);
  const auto pinned = view.get();
  CHECK(*publisher.publish(std::make_shared<const int>(2)) == 1);
  CHECK(*view.get() == 2);
  CHECK(*pinned == 1);
  CHECK(publisher.generation() == 2);
}

TEST_CASE("readers on many threads only ever see whole values that move forward") {
  struct Pair {
    int a, b;
  };
  Publisher<Pair> publisher(std::make_shared<const Pair>(Pair{0, 0}));
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      View<Pair> view(publisher);
      int last = 0;
      while (!done) {
        const auto seen = view.get();
        if (seen->a != seen->b || seen->a < last) ++wrong;
        last = seen->a;
      }
    });
  }
  for (int i = 1; i <= 2000; ++i) (void)publisher.publish(std::make_shared<const Pair>(Pair{i, i}));
  done = true;
  for (auto& reader : readers) reader.join();
  CHECK(wrong == 0);
}
