#include "certs/difference.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;

namespace {

const WallTime now = test::test_now();
constexpr std::chrono::hours day{24};

struct Leaf {
  std::uint8_t serial = 1;
  std::string name = "mx.example";
  std::chrono::hours left = 90 * day;
  unsigned bits = 256;
  tls::KeyKind kind = tls::KeyKind::EcdsaP256;
};

std::shared_ptr<const tls::Credential> credential(const Leaf& leaf) {
  auto made = std::make_shared<tls::Credential>();
  made->leaf.fingerprint[0] = leaf.serial;
  made->leaf.names = {*DnsName::parse(leaf.name)};
  made->leaf.not_after = now + leaf.left;
  made->leaf.key_bits = leaf.bits;
  made->leaf.key_kind = leaf.kind;
  return made;
}

Entry ecdsa(const Leaf& leaf) { return {credential(leaf), nullptr}; }

Changes change(const Entry& before, const Entry& after) {
  Changes changes;
  note_change("mx.example", before, after, changes);
  return changes;
}

std::string worse(const Entry& before, const Entry& after) {
  const auto changes = change(before, after);
  return changes.worse.empty() ? "" : changes.worse.front().why;
}

}  // namespace

TEST_CASE("names come, go and are renewed") {
  CHECK(change({}, {}).empty());
  CHECK(change({}, ecdsa({})).added.size() == 1);
  CHECK(change(ecdsa({}), {}).removed.size() == 1);
  CHECK(change(ecdsa({}), ecdsa({})).empty());
  const auto renewed = change(ecdsa({}), ecdsa({.serial = 2, .left = 180 * day}));
  CHECK(renewed.renewed.size() == 1);
  CHECK(renewed.worse.empty());
}

TEST_CASE("what is worse is said") {
  CHECK(worse(ecdsa({}), ecdsa({.serial = 2, .left = 60 * day})).find("30 days before") != std::string::npos);
  CHECK(worse(ecdsa({.bits = 384}), ecdsa({.serial = 2})).find("weaker") != std::string::npos);
  CHECK(worse(ecdsa({}), ecdsa({.serial = 2, .name = "other.example"})).find("does not cover") != std::string::npos);
  Entry both = ecdsa({});
  both.rsa = credential({.serial = 3, .bits = 2048, .kind = tls::KeyKind::Rsa});
  CHECK(worse(both, ecdsa({})).find("no RSA certificate") != std::string::npos);
  CHECK(worse(ecdsa({}), both).empty());
}

TEST_CASE("two maps are compared key by key") {
  const auto ids = std::make_shared<const Snapshot::Index::Ids>();
  const Entry one = ecdsa({}), two = ecdsa({.serial = 2});
  const auto before = make_snapshot({{"a.example", one}, {"b.example", one}, {"*.c.example", one}}, ids, 1);
  const auto after = make_snapshot({{"b.example", two}, {"*.c.example", one}, {".d.example", two}}, ids, 2);
  const auto changes = difference(*before, *after);
  CHECK(changes.removed.strings() == std::vector<std::string>{"a.example"});
  CHECK(changes.renewed.strings() == std::vector<std::string>{"b.example"});
  CHECK(changes.added.strings() == std::vector<std::string>{".d.example"});
  CHECK(after->find(*DnsName::parse("x.c.example")).match == tls::Match::Wildcard);
  CHECK(after->find(*DnsName::parse("x.y.d.example")).match == tls::Match::Parent);
  CHECK(after->certificate_count() == 2);
}

TEST_CASE("a loss is too much from twenty names on") {
  CHECK_FALSE(loses_too_much(19, 19, 10));
  CHECK(loses_too_much(20, 100, 10));
  CHECK_FALSE(loses_too_much(20, 200, 10));
  CHECK(loses_too_much(21, 200, 10));
  CHECK_FALSE(loses_too_much(1000, 1000, 100));
  CHECK(loses_too_much(20, 1'000'000, 0));
}
