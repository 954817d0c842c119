#include "daemon/session/chain_trust.h"

#include <atomic>

#include "base/shared_view.h"
#include "daemon/uv/work_pool.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::session;
using postern::uv::test::turn_until;

namespace {

struct Judge final : ChainJudge {
  explicit Judge(bool says) : verdict(says) {}
  bool vouch_for(const tls::Credential&, WallTime) const override {
    ++asked;
    return verdict;
  }
  const bool verdict;
  mutable std::atomic<int> asked{0};
};

struct Fixture {
  uv::Loop loop;
  uv::WorkPool pool{{.name = "trust", .threads = 2, .queue_max = 4}};
  Publisher<TlsGeneration> generations;
  View<TlsGeneration> view{generations};
  ChainTrust trust{loop, pool, view};

  ~Fixture() { pool.stop(); }

  void publish(std::shared_ptr<const ChainJudge> judge) {
    auto generation = std::make_shared<TlsGeneration>();
    generation->chain_judge = std::move(judge);
    (void)generations.publish(std::move(generation));  // a test frees it here
  }
};

std::shared_ptr<const tls::Credential> credential() {
  static const test::TestCa ca;
  return ca.issue({.names = {"mx.example.com"}}).credential();
}

}  // namespace

TEST_CASE("a chain is judged once, on the pool, and its verdict is kept", "[chain_trust]") {
  Fixture f;
  const auto judge = std::make_shared<Judge>(true);
  f.publish(judge);
  const auto served = credential(), other = credential();
  f.trust.find_out(served);
  CHECK_FALSE(f.trust.known(*served));  // never within the call
  f.trust.find_out(served);             // while the first look is under way
  REQUIRE(turn_until(f.loop, [&] { return f.trust.known(*served).has_value(); }));
  CHECK(f.trust.known(*served) == true);
  f.trust.find_out(served);
  CHECK(judge->asked == 1);
  CHECK_FALSE(f.trust.known(*other));
}

TEST_CASE("other anchors judge anew, and the old ones' verdict that comes late is not heard", "[chain_trust]") {
  Fixture f;
  f.publish(std::make_shared<Judge>(true));
  const auto served = credential();
  f.trust.find_out(served);
  const auto strict = std::make_shared<Judge>(false);
  f.publish(strict);
  f.trust.find_out(served);
  REQUIRE(turn_until(f.loop, [&] { return f.trust.known(*served).has_value(); }));
  CHECK(f.trust.known(*served) == false);
  CHECK(strict->asked == 1);
}

TEST_CASE("without anchors nothing is known", "[chain_trust]") {
  Fixture f;
  f.publish(nullptr);
  const auto served = credential();
  f.trust.find_out(served);
  CHECK_FALSE(f.trust.known(*served));
}
