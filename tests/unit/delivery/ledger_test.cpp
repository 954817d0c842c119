#include "delivery/ledger.h"

#include <algorithm>
#include <map>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using std::chrono::seconds;

namespace {

EnvelopeKey envelope(std::uint8_t number) { return {{number}}; }
MessageKey message(std::uint8_t number) { return {{number}}; }
WallTime at(int second) { return WallTime(seconds(second)); }

const smtp::Reply over_quota{552, "5.2.2", "over quota"};

LedgerIndex::Item served(std::uint8_t of, std::uint8_t which, int until = 100) {
  return {{envelope(of), message(which), std::nullopt}, at(until)};
}
LedgerIndex::Item refused(std::uint8_t of, std::uint8_t which, int until = 100) {
  return {{envelope(of), message(which), over_quota}, at(until)};
}

}  // namespace

TEST_CASE("an entry is found by envelope and message, and replaced by a later one") {
  LedgerIndex index;
  CHECK(index.find(envelope(1), message(1)) == nullptr);
  index.put(refused(1, 1));
  REQUIRE(index.find(envelope(1), message(1)) != nullptr);
  CHECK(index.find(envelope(1), message(1))->refusal == over_quota);
  CHECK(index.find(envelope(1), message(2)) == nullptr);
  CHECK(index.find(envelope(2), message(1)) == nullptr);
  index.put(served(1, 1, 200));
  CHECK(index.size() == 1);
  CHECK(!index.find(envelope(1), message(1))->refusal);
  CHECK(index.expire(at(150)) == 0);
  CHECK(index.erase(envelope(1), message(1)));
  CHECK(!index.erase(envelope(1), message(1)));
  CHECK(!index.knows(envelope(1)));
  CHECK(index.size() == 0);
}

TEST_CASE("the lane of an envelope comes from all of its messages") {
  LedgerIndex index;
  CHECK(index.lane(envelope(1)) == Lane::Open);
  index.put(served(1, 1));
  CHECK(index.lane(envelope(1)) == Lane::Open);
  index.put(refused(1, 2));
  CHECK(index.lane(envelope(1)) == Lane::Alone);
  index.erase(envelope(1), message(1));
  CHECK(index.lane(envelope(1)) == Lane::Refused);
  CHECK(index.lane(envelope(2)) == Lane::Open);
}

TEST_CASE("a transaction takes one lane, and one recipient alone") {
  Separation open;
  CHECK(open.admit(Lane::Open));
  CHECK(!open.admit(Lane::Refused));
  CHECK(!open.admit(Lane::Alone));
  CHECK(open.admit(Lane::Open));
  Separation refusals;
  CHECK(refusals.admit(Lane::Refused));
  CHECK(!refusals.admit(Lane::Open));
  CHECK(refusals.admit(Lane::Refused));
  Separation alone;
  CHECK(alone.admit(Lane::Alone));
  CHECK(!alone.admit(Lane::Alone));
  CHECK(!alone.admit(Lane::Open));
}

TEST_CASE("what has expired goes, and when there is no room what is next to expire") {
  LedgerIndex index;
  for (std::uint8_t n = 0; n < 10; ++n) index.put(served(n, n, 100 + n));
  CHECK(index.expire(at(99)) == 0);
  CHECK(index.expire(at(101)) == 2);
  CHECK(!index.knows(envelope(1)));
  CHECK(index.knows(envelope(2)));
  CHECK(index.shrink(5) == 3);
  CHECK(index.shrink(5) == 0);
  CHECK(index.size() == 5);
  CHECK(!index.knows(envelope(4)));
  std::size_t visited = 0;
  index.for_each([&](const LedgerIndex::Item& item) {
    ++visited;
    CHECK(item.expires >= at(105));
  });
  CHECK(visited == 5);
}

namespace {

/// A sender that keeps at it as SMTP wants, against a backend that answers each recipient as a script says, with the
/// rules of the ledger between them. Everything about it that is not in lib/delivery is what daemon/session does.
struct Convergence {
  enum class Will { Take, Refuse, Defer };

  LedgerIndex index;
  std::map<std::uint8_t, Will> will;              // recipient → what the backend does
  std::map<std::uint8_t, int> delivered, bounced;  // of the message that is looked at

  struct Transaction {
    std::vector<std::uint8_t> recipients, later;
  };

  Transaction split(const std::vector<std::uint8_t>& recipients) const {
    Transaction made;
    Separation separation;
    for (const auto recipient : recipients) {
      auto& to = separation.admit(index.lane(envelope(recipient))) ? made.recipients : made.later;
      to.push_back(recipient);
    }
    return made;
  }

  /// One try at a message; what is left afterwards.
  std::vector<std::uint8_t> attempt(std::uint8_t which, const std::vector<std::uint8_t>& recipients) {
    const Transaction made = split(recipients);
    const auto& now = made.recipients;
    auto later = made.later;
    std::map<std::uint8_t, Will> became;
    for (const auto recipient : now) {
      const auto* entry = index.find(envelope(recipient), message(which));
      became[recipient] = entry == nullptr ? will[recipient] : entry->refusal ? Will::Refuse : Will::Take;
      if (entry == nullptr && became[recipient] == Will::Take) ++delivered[recipient];
    }
    const auto all = [&](Will one) {
      return std::all_of(now.begin(), now.end(), [&](auto recipient) { return became[recipient] == one; });
    };
    if (all(Will::Take) || all(Will::Refuse)) {
      for (const auto recipient : now) {
        if (became[recipient] == Will::Refuse) ++bounced[recipient];
        index.erase(envelope(recipient), message(which));
      }
      return later;
    }
    for (const auto recipient : now) {
      if (became[recipient] == Will::Take) index.put(served(recipient, which));
      if (became[recipient] == Will::Refuse) index.put(refused(recipient, which));
      later.push_back(recipient);
    }
    return later;
  }
};

}  // namespace

TEST_CASE("every mixed outcome converges: each recipient once, or one bounce") {
  using Will = Convergence::Will;
  // All combinations for four recipients; those that are deferred are taken or refused from some try on. Before it,
  // another message of the same sender has left entries of all kinds behind.
  for (int combination = 0; combination < 256; ++combination) {
    for (int former = 0; former < 16; ++former) {
      Convergence world;
      std::vector<std::uint8_t> left;
      for (std::uint8_t recipient = 0; recipient < 4; ++recipient) {
        left.push_back(recipient);
        if (former >> recipient & 1) {
          world.index.put(recipient % 2 == 0 ? refused(recipient, 200) : served(recipient, 200));
        }
        const int fate = combination >> (2 * recipient) & 3;
        world.will[recipient] = fate == 0 ? Will::Take : fate == 1 ? Will::Refuse : Will::Defer;
      }
      int tries = 0;
      for (; !left.empty() && tries < 30; ++tries) {
        if (tries == 4) {
          for (std::uint8_t recipient = 0; recipient < 4; ++recipient) {
            if (world.will[recipient] != Will::Defer) continue;
            world.will[recipient] = (combination >> (2 * recipient) & 3) == 2 ? Will::Take : Will::Refuse;
          }
        }
        left = world.attempt(1, left);
      }
      CAPTURE(combination, former, tries);
      REQUIRE(left.empty());
      for (std::uint8_t recipient = 0; recipient < 4; ++recipient) {
        const bool takes = world.will[recipient] == Will::Take;
        REQUIRE(world.delivered[recipient] == (takes ? 1 : 0));
        REQUIRE(world.bounced[recipient] == (takes ? 0 : 1));
        REQUIRE(world.index.find(envelope(recipient), message(1)) == nullptr);
      }
    }
  }
}
