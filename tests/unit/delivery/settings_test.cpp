#include "delivery/settings.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;

TEST_CASE("targets are written as they are read") {
  const auto* text =
      GENERATE("unix:/run/dovecot/lmtp", "127.0.0.1:24", "[::1]:24", "store.example:24", "localhost:65535");
  const auto target = parse_target(text);
  REQUIRE(target);
  CHECK(to_string(*target) == text);
}

TEST_CASE("the three kinds of target") {
  CHECK(parse_target("unix:/run/lmtp") == Target(UnixTarget{"/run/lmtp"}));
  CHECK(parse_target("[::1]:24") == Target(*Endpoint::parse("[::1]:24")));
  CHECK(parse_target("Store.Example.:24") == Target(HostTarget{*DnsName::parse("store.example"), 24}));
}

TEST_CASE("what is no target") {
  const auto* text = GENERATE("", "store.example", "store.example:", "store.example:0", "store.example:65536", ":24",
                              "127.0.0.1", "127.0.0.1:0", "::1:24", "unix:", "unix:relative/path", "store example:24",
                              "store.example:24x", "lmtp://store:24");
  CHECK_FALSE(parse_target(text));
}

TEST_CASE("a unix path must fit a socket address") {
  CHECK(parse_target("unix:/" + std::string(106, 'a')));
  CHECK_FALSE(parse_target("unix:/" + std::string(107, 'a')));
  CHECK_FALSE(parse_target(std::string("unix:/a\0b", 9)));
}
