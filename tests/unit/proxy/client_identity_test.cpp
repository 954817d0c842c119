#include "proxy/client_identity.h"

#include "tests/support/catch.h"

using namespace postern;
using proxy::ClientIdentity;

namespace {

ClientIdentity read(std::string_view argument) {
  ClientIdentity identity;
  const auto done = proxy::read_attributes(argument, proxy::xclient_attributes, identity);
  REQUIRE(done.has_value());
  return identity;
}

bool is_refused(std::string_view argument, std::string_view allowed = proxy::xclient_attributes) {
  ClientIdentity identity;
  return !proxy::read_attributes(argument, allowed, identity).has_value() && identity == ClientIdentity{};
}

ClientIdentity example() {
  ClientIdentity identity;
  identity.address = IpAddress::parse("2001:db8::1");
  identity.port = 40000;
  identity.name = "client.example.net";
  identity.destination_address = IpAddress::parse("192.0.2.9");
  identity.destination_port = 25;
  return identity;
}

}  // namespace

TEST_CASE("xtext") {
  CHECK(proxy::xtext("mx.example") == "mx.example");
  CHECK(proxy::xtext("a+b=c d\r\n\xff") == "a+2Bb+3Dc+20d+0D+0A+FF");
  CHECK(proxy::from_xtext("a+2Bb+3dc+0D+0A") == "a+b=c\r\n");
  CHECK_FALSE(proxy::from_xtext("a+2"));
  CHECK_FALSE(proxy::from_xtext("a+zz"));
}

TEST_CASE("attributes are made from the backend's own list") {
  auto identity = example();
  CHECK(proxy::xclient_command(identity, {"NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR",
                                          "DESTPORT"}) ==
        "XCLIENT NAME=client.example.net REVERSE_NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=40000 "
        "DESTADDR=192.0.2.9 DESTPORT=25");
  // Exim answers 501 to everything else.
  CHECK(proxy::xclient_command(identity, {"ADDR", "PORT"}) == "XCLIENT ADDR=IPV6:2001:db8::1 PORT=40000");
  CHECK_FALSE(proxy::xclient_command(identity, {"NAME", "PORT"}).has_value());
  identity.name.reset();
  identity.name_may_come = true;
  CHECK(proxy::xclient_command(identity, {"NAME", "ADDR"}) == "XCLIENT NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::1");
  CHECK_FALSE(proxy::xclient_command(ClientIdentity{}, {"ADDR"}).has_value());
}

TEST_CASE("a hostile name cannot inject") {
  auto identity = example();
  identity.name = "x ADDR=127.0.0.1\r\nMAIL FROM:<a@b>";
  CHECK(proxy::xclient_command(identity, {"NAME", "ADDR"}) ==
        "XCLIENT NAME=x+20ADDR+3D127.0.0.1+0D+0AMAIL+20FROM:<a@b> ADDR=IPV6:2001:db8::1");
}

TEST_CASE("attributes that are told us") {
  const auto identity = read("name=client.example.net ADDR=192.0.2.1 PORT=4711 HELO=we+20are PROTO=ESMTP");
  CHECK(identity.name == "client.example.net");
  CHECK(identity.address == IpAddress::parse("192.0.2.1"));
  CHECK(identity.port == 4711);
  CHECK(identity.hello_name == "we are");
  CHECK(identity.protocol == "ESMTP");
  CHECK(read("ADDR=IPv6:2001:db8::1").address == IpAddress::parse("2001:db8::1"));
  CHECK(read("ADDR=::ffff:192.0.2.1").address == IpAddress::parse("192.0.2.1"));
  CHECK(read("NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL]") == ClientIdentity{});
}

TEST_CASE("later commands add to earlier ones") {
  auto identity = read("ADDR=192.0.2.1");
  CHECK(proxy::read_attributes("PORT=25", proxy::xclient_attributes, identity).has_value());
  CHECK(identity.address == IpAddress::parse("192.0.2.1"));
  CHECK(identity.port == 25);
}

TEST_CASE("what is told us may be wrong") {
  for (const char* argument : {"", " ", "ADDR", "ADDR=", "ADDR=nonsense", "ADDR=192.0.2.1.", "PORT=0", "PORT=65536",
                               "PORT=x", "NAME=+", "COLOUR=red", "LOGIN=root", "ADDR=192.0.2.1 PORT=x", "IDENT=1"}) {
    INFO(argument);
    CHECK(is_refused(argument));
  }
  CHECK(is_refused("NAME=" + std::string(256, 'a')));
  CHECK_FALSE(is_refused("IDENT=1", proxy::xforward_attributes));
}

TEST_CASE("XFORWARD says what it was offered") {
  ClientIdentity identity;
  identity.address = IpAddress::parse("2001:db8::1");
  identity.hello_name = "mx example";
  identity.identifier = "1K15";
  CHECK(proxy::xforward_command(identity, {"NAME", "ADDR", "HELO", "IDENT"}).value() ==
        "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 HELO=mx+20example IDENT=1K15");
  CHECK_FALSE(proxy::xforward_command(identity, {"NAME"}));
}
