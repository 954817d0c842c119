#include "delivery/balance.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;

namespace {

using Order = std::vector<std::size_t>;
const std::vector<std::string> three{"a:24", "b:24", "c:24"};

smtp::ForwardPath to(std::string local_part, std::string domain) {
  return {smtp::Mailbox{std::move(local_part), std::move(domain)}};
}

}  // namespace

TEST_CASE("as they stand") {
  CHECK(order_of_targets(Balance::Order, "x", three, {9, 0, 0}, 7) == Order{0, 1, 2});
  CHECK(order_of_targets(Balance::Hash, "x", {"one"}, {}, 0) == Order{0});
}

TEST_CASE("the least busy first; equals take turns") {
  CHECK(order_of_targets(Balance::Least, "x", three, {2, 0, 1}, 0) == Order{1, 2, 0});
  CHECK(order_of_targets(Balance::Least, "x", three, {0, 0, 0}, 0) == Order{0, 1, 2});
  CHECK(order_of_targets(Balance::Least, "x", three, {0, 0, 0}, 1) == Order{1, 2, 0});
  CHECK(order_of_targets(Balance::Least, "x", three, {0, 0, 0}, 5) == Order{2, 0, 1});
}

TEST_CASE("by recipient: each keeps its target, and all targets have about as many") {
  std::map<std::size_t, int> counts;
  for (int i = 0; i < 3000; ++i) {
    const auto key = fmt::format("user{}@example.com", i);
    const auto order = order_of_targets(Balance::Hash, key, three, {}, static_cast<std::size_t>(i));
    CHECK(std::is_permutation(order.begin(), order.end(), Order{0, 1, 2}.begin()));
    ++counts[order.front()];
    // Without the first the rest stay in their order: only its own recipients move.
    const auto first = order.front();
    std::vector<std::string> left;
    for (const auto index : {order[1], order[2]}) left.push_back(three[index]);
    std::sort(left.begin(), left.end());
    const auto then = order_of_targets(Balance::Hash, key, left, {}, 0);
    CHECK(left[then.front()] == three[order[1]]);
    CHECK(first < 3);
  }
  for (const auto& [target, count] : counts) CHECK((count > 800 && count < 1200));
}

TEST_CASE("a user is one, whatever the detail and the case") {
  CHECK(hash_key(to("Bob+lists", "Example.COM")) == "bob@example.com");
  CHECK(hash_key(to("+1555", "example.com")) == "+1555@example.com");
  CHECK(hash_key(to("postmaster", "")) == "postmaster@");
}
