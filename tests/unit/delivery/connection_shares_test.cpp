#include "delivery/connection_shares.h"

#include <optional>

#include "tests/support/catch.h"

using namespace postern::delivery;

namespace {

/// A worker that counts how often it is told to look.
struct Worker {
  explicit Worker(const std::shared_ptr<ConnectionShares>& shares) : member(shares, [this] { ++told; }) {}
  bool take() { return member.take(); }
  unsigned told = 0;
  ConnectionShares::Member member;
};

}  // namespace

TEST_CASE("a worker may have all that the others do not need") {
  const auto shares = std::make_shared<ConnectionShares>(3);
  Worker one(shares);
  Worker other(shares);
  CHECK((one.take() && one.take() && one.take()));
  CHECK(one.told == 0);
  CHECK_FALSE(one.member.others_want());
  CHECK_FALSE(other.take());
  CHECK(one.told == 1);
  CHECK(one.member.others_want());
  CHECK_FALSE(other.member.others_want());
  // Telling once is enough.
  CHECK_FALSE(other.take());
  CHECK(one.told == 1);
  CHECK(one.member.must_yield());
  one.member.give_back();
  CHECK(other.told == 1);
  // It is the other's turn, although the one may need it as well.
  CHECK_FALSE(one.take());
  CHECK(other.take());
  CHECK(other.member.others_want());
  one.member.stop_wanting();
  CHECK_FALSE(other.member.others_want());
}

TEST_CASE("nobody has to give away an equal part") {
  const auto shares = std::make_shared<ConnectionShares>(4);
  Worker one(shares);
  Worker other(shares);
  CHECK((one.take() && one.take() && other.take() && other.take()));
  CHECK_FALSE(other.take());
  CHECK(one.member.others_want());
  CHECK_FALSE(one.member.must_yield());
  one.member.give_back();
  // Below its equal part it need not stand in line.
  CHECK(one.take());
}

TEST_CASE("with fewer connections than workers they take turns") {
  const auto shares = std::make_shared<ConnectionShares>(1);
  Worker one(shares);
  Worker two(shares);
  Worker three(shares);
  CHECK(one.take());
  CHECK_FALSE(two.take());
  CHECK_FALSE(three.take());
  CHECK(one.member.must_yield());
  one.member.give_back();
  CHECK(two.told == 1);
  CHECK_FALSE(one.take());
  CHECK_FALSE(three.take());
  CHECK(two.take());
  two.member.give_back();
  CHECK(three.take());
}

TEST_CASE("who wants no more, or is gone, is passed over") {
  const auto shares = std::make_shared<ConnectionShares>(1);
  Worker one(shares);
  std::optional<Worker> two(std::in_place, shares);
  Worker three(shares);
  CHECK(one.take());
  CHECK_FALSE(two->take());
  CHECK_FALSE(three.take());
  SECTION("no more") { two->member.stop_wanting(); }
  SECTION("gone") { two.reset(); }
  one.member.give_back();
  CHECK(three.told >= 1);
  CHECK(three.take());
}

TEST_CASE("what a worker held is free when it is gone") {
  const auto shares = std::make_shared<ConnectionShares>(2);
  Worker one(shares);
  {
    Worker gone(shares);
    CHECK((gone.take() && gone.take()));
    CHECK_FALSE(one.take());
  }
  CHECK(one.told >= 1);
  CHECK((one.take() && one.take()));
}

TEST_CASE("the limit may move") {
  const auto shares = std::make_shared<ConnectionShares>(2);
  Worker one(shares);
  CHECK((one.take() && one.take()));
  shares->limit(1);
  one.member.give_back();
  CHECK_FALSE(one.take());
  shares->limit(2);
  CHECK(one.told == 1);
  CHECK(one.take());
}
