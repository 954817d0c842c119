#include "certs/version_file.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;

namespace {

const auto no_ids = std::make_shared<const Snapshot::Index::Ids>();

Entry issued(const std::string& name) {
  static const test::TestCa ca;
  return {ca.issue({.names = {name}}).credential(), nullptr};
}

}  // namespace

TEST_CASE("a whole map and its changes give the later map, also through octets") {
  const Entry a = issued("a.example"), b = issued("b.example"), b2 = issued("b.example");
  const auto first = make_snapshot({{"a.example", a}, {"b.example", b}}, no_ids, 1);
  const auto second = make_snapshot({{"b.example", b2}, {"*.c.example", a}}, no_ids, 2);
  const auto changes = difference(*first, *second);
  auto whole = decode_version(encode(whole_version(*first)));
  const auto change = decode_version(encode(changed_version(*second, 1, changes)));
  REQUIRE(whole);
  REQUIRE(change);
  CHECK(whole->base == 0);
  CHECK(change->base == 1);
  CHECK(difference(*whole, *first).empty());
  apply(*change, *whole);
  CHECK(difference(*whole, *second).empty());
  CHECK(whole->summary.version == 2);
  CHECK(whole->entries.size() == 2);
  CHECK(whole->certificates.at(b2.ecdsa->leaf.fingerprint).chain.size() == b2.ecdsa->chain.size());
}

TEST_CASE("every damaged or cut file is known as such") {
  auto octets = encode(whole_version(*make_snapshot({{"a.example", issued("a.example")}}, no_ids, 7)));
  CHECK(decode_summary(octets)->version == 7);
  for (std::size_t at = 0; at < octets.size(); at += 7) {
    CHECK_FALSE(decode_version(std::string_view(octets).substr(0, at)));
    octets[at] = static_cast<char>(octets[at] ^ 1);
    CHECK_FALSE(decode_version(octets));
    octets[at] = static_cast<char>(octets[at] ^ 1);
  }
  CHECK(decode_version(octets));
}
