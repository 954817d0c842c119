#include "report/sender.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

TEST_CASE("a sender is the organisation that its confirmed name belongs to") {
  const auto address = IpAddress::parse("192.0.2.77").value();
  const auto sender = [&](const char* name) { return sender_of(address, DnsName::parse(name)); };
  CHECK(sender("mail-ed1-f49.google.com") == "google.com");
  CHECK(sender("out.mail.example.co.uk") == "example.co.uk");
  CHECK(sender("example.org") == "example.org");
  CHECK(sender("localhost") == "localhost");
  CHECK(sender("co.uk") == "co.uk");  // a public suffix belongs to nobody
  CHECK(is_verified(sender("example.org")));
}

TEST_CASE("without such a name it is a network, which nobody has verified") {
  CHECK(sender_of(IpAddress::parse("192.0.2.77").value(), std::nullopt) == "192.0.2.0/24");
  CHECK(sender_of(IpAddress::parse("2001:db8:1:2:3::4").value(), std::nullopt) == "2001:db8:1:2::/64");
  CHECK_FALSE(is_verified("192.0.2.0/24"));
}
