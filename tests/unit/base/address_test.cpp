#include "base/address.h"

#include "tests/support/catch.h"

using namespace postern;

TEST_CASE("an IPv4-mapped IPv6 address is the IPv4 address that it means") {
  CHECK(IpAddress::parse("::ffff:192.0.2.1") == IpAddress::parse("192.0.2.1"));
  CHECK(IpAddress::parse("::ffff:192.0.2.1")->text() == "192.0.2.1");
}

TEST_CASE("addresses that are none are refused") {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "::g", "1.2.3.4 ", "[::1]"}) {
    CAPTURE(text);
    CHECK_FALSE(IpAddress::parse(text));
  }
  CHECK_FALSE(IpAddress::parse(std::string("1.2.3.4\0", 8)));
}

TEST_CASE("end points") {
  CHECK(Endpoint::parse("192.0.2.1:25")->text() == "192.0.2.1:25");
  CHECK(Endpoint::parse("[2001:db8::1]:25")->text() == "[2001:db8::1]:25");
  for (const char* text : {"192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "2001:db8::1:25", "[192.0.2.1]:25", ":25"}) {
    CAPTURE(text);
    CHECK_FALSE(Endpoint::parse(text));
  }
}

TEST_CASE("networks contain their addresses and no others") {
  const auto v4 = Network::parse("192.0.2.128/25");
  REQUIRE(v4);
  CHECK(v4->contains(*IpAddress::parse("192.0.2.200")));
  CHECK_FALSE(v4->contains(*IpAddress::parse("192.0.2.127")));
  CHECK_FALSE(v4->contains(*IpAddress::parse("::1")));
  CHECK(Network::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
  CHECK_FALSE(Network::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
  CHECK(Network::parse("0.0.0.0/0")->contains(*IpAddress::parse("203.0.113.9")));
  CHECK(Network::parse("192.0.2.77/24")->text() == "192.0.2.0/24");
  CHECK_FALSE(Network::parse("192.0.2.0/33"));
  CHECK_FALSE(Network::parse("192.0.2.0/"));
}

TEST_CASE("loopback and unspecified addresses") {
  CHECK(IpAddress::parse("127.8.9.1")->is_loopback());
  CHECK(IpAddress::parse("::1")->is_loopback());
  CHECK_FALSE(IpAddress::parse("::2")->is_loopback());
  CHECK(IpAddress::parse("::")->is_unspecified());
  CHECK(IpAddress::parse("0.0.0.0")->is_unspecified());
}
