#include "delivery/canonical_sender.h"

#include "tests/support/catch.h"

using namespace postern;

namespace {

std::string canonical(const std::string& address) {
  return delivery::canonical_sender({address.empty() ? std::nullopt : smtp::parse_mailbox(address)});
}

}  // namespace

TEST_CASE("an ordinary sender is itself, with its domain in lower case") {
  CHECK(canonical("User@Example.COM") == "User@example.com");
  CHECK(canonical("user+tag@example.com") == "user+tag@example.com");
  CHECK(canonical("first-last@example.com") == "first-last@example.com");
  CHECK(canonical("") == "<>");
}

TEST_CASE("BATV: the tag changes from day to day") {
  CHECK(canonical("prvs=1234abcdef=user@example.com") == "user@example.com");
  CHECK(canonical("PRVS=0000000000=user@example.com") == "user@example.com");
  CHECK(canonical("prvs=user/1234abcdef@example.com") == "user@example.com");
  CHECK(canonical("prvs=@example.com") == "prvs=@example.com");
  CHECK(canonical("prvs=user@example.com") == "prvs=user@example.com");
}

TEST_CASE("SRS: hash and day change, and the forwarders") {
  CHECK(canonical("SRS0=HHHH=TT=Example.com=user@forwarder.test") == "user@example.com");
  CHECK(canonical("srs0+x9=aB=example.com=user=odd@forwarder.test") == "user=odd@example.com");
  CHECK(canonical("SRS1=GGGG=forwarder.test==HHHH=TT=example.com=user@second.test") == "user@example.com");
  CHECK(canonical("SRS1=GGGG=forwarder.test=+HHHH=TT=example.com=user@second.test") == "user@example.com");
  // Not whole: the address stands for itself, or for what is left of it as a list's bounce address.
  CHECK(canonical("SRS0@example.com") == "SRS0@example.com");
  CHECK(canonical("SRS0=HHHH=TT=example.com@forwarder.test") == "SRS0=HHHH=TT=example.com@forwarder.test");
  CHECK(canonical("SRS1=GGGG=forwarder.test=@second.test") == "SRS1=GGGG=forwarder.test=@second.test");
}

TEST_CASE("VERP: a list's bounce address has the recipient in it") {
  CHECK(canonical("list-bounces+user=example.org@lists.example") == "list-bounces@lists.example");
  CHECK(canonical("list-return-4711-user=example.org@lists.example") == "list-return-4711@lists.example");
}

TEST_CASE("one inside the other") {
  CHECK(canonical("SRS0=HHHH=TT=example.com=prvs=1234abcdef=user@forwarder.test") == "user@example.com");
  CHECK(canonical("SRS0=HHHH=TT=lists.example=list-bounces+user=example.org@forwarder.test") ==
        "list-bounces@lists.example");
}
