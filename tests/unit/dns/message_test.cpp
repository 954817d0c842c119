#include "dns/message.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::dns;

namespace {

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)}; }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xffff); }

std::string wire(std::string_view name) {
  std::string made;
  while (!name.empty()) {
    const auto dot = name.find('.');
    made += static_cast<char>(dot) + std::string(name.substr(0, dot));
    name.remove_prefix(dot + 1);
  }
  return made + '\0';
}

std::string record(const std::string& owner, Type type, std::uint32_t ttl, const std::string& data) {
  return owner + u16(static_cast<unsigned>(type)) + u16(1) + u32(ttl) + u16(static_cast<unsigned>(data.size())) + data;
}

constexpr unsigned answered = 0x8180;
constexpr unsigned authentic = 0x0020;

std::string message(unsigned flags, const std::string& name, Type type, const std::vector<std::string>& records) {
  std::string made = u16(1) + u16(flags) + u16(1) + u16(static_cast<unsigned>(records.size())) + u32(0) + wire(name) +
                     u16(static_cast<unsigned>(type)) + u16(1);
  for (const auto& one : records) made += one;
  return made;
}

const std::string question = "\xc0\x0c";  // a pointer to the name in the question

}  // namespace

TEST_CASE("the name servers of a zone, but for what is no host name") {
  const auto read = read_answer(message(answered, "one.test.", Type::Ns,
                                        {record(question, Type::Ns, 60, wire("NS1.one.test.")),
                                         record(question, Type::Ns, 60, wire("a b.test.")),
                                         record(question, Type::Ns, 60, wire("ns2.one.test.") + "x")}),
                                Type::Ns);
  REQUIRE(read);
  CHECK(read->ns == std::vector{*DnsName::parse("ns1.one.test")});
  CHECK(read->malformed == 2);
}

TEST_CASE("MX records, with compressed names and the null MX", "[message]") {
  const auto read = read_answer(
      message(answered | authentic, "example.com.", Type::Mx,
              {record(question, Type::Mx, 300, u16(20) + "\x03mx2" + question),
               record(question, Type::Mx, 600, u16(10) + wire("MX1.Example.NET.")), record(question, Type::Mx, 600, u16(0) + '\0')}),
      Type::Mx);
  REQUIRE(read);
  CHECK(read->authentic);
  CHECK(read->ttl_seconds == 300);
  REQUIRE(read->mx.size() == 3);
  CHECK(read->mx[0] == MxRecord{20, DnsName::parse("mx2.example.com")});
  CHECK(read->mx[1] == MxRecord{10, DnsName::parse("mx1.example.net")});
  CHECK_FALSE(read->mx[2].host);
}

TEST_CASE("the strings of a TXT record are one text", "[message]") {
  const auto read = read_answer(message(answered, "a.test.", Type::Txt,
                                        {record(question, Type::Txt, 60, "\x03" "abc" "\x02" "de"),
                                         record(question, Type::Txt, 60, "\x05" "abc")}),
                                Type::Txt);
  REQUIRE(read);
  CHECK(read->txt == std::vector<std::string>{"abcde"});
  CHECK(read->malformed == 1);
  CHECK_FALSE(read->authentic);
}

TEST_CASE("TLSA records and addresses", "[message]") {
  const auto tlsa = read_answer(message(answered, "_25._tcp.mx.test.", Type::Tlsa,
                                        {record(question, Type::Tlsa, 60, std::string("\x03\x01\x01\xab\xcd", 5))}),
                                Type::Tlsa);
  REQUIRE(tlsa);
  CHECK(tlsa->tlsa.at(0).text() == "3 1 1 abcd");
  const auto address = read_answer(
      message(answered, "mx.test.", Type::A, {record(question, Type::A, 60, std::string("\xc0\x00\x02\x01", 4))}), Type::A);
  REQUIRE(address);
  CHECK(address->addresses.at(0).text() == "192.0.2.1");
}

TEST_CASE("a CNAME is followed, and records of others do not count", "[message]") {
  const auto read = read_answer(
      message(answered, "mta-sts.a.test.", Type::A,
              {record(question, Type::Cname, 30, wire("host.b.test.")),
               record(wire("host.b.test."), Type::A, 60, std::string("\x7f\0\0\x01", 4)),
               record(wire("other.test."), Type::A, 5, std::string("\x7f\0\0\x02", 4))}),
      Type::A);
  REQUIRE(read);
  CHECK(read->addresses == std::vector<IpAddress>{*IpAddress::parse("127.0.0.1")});
  CHECK(read->ttl_seconds == 30);
  const auto circle = read_answer(
      message(answered, "a.test.", Type::A, {record(question, Type::Cname, 30, question)}), Type::A);
  REQUIRE(circle);
  CHECK(circle->empty());
}

TEST_CASE("no such name is an answer, a failing server is none", "[message]") {
  const auto none = read_answer(message(answered | 3, "a.test.", Type::Mx, {}), Type::Mx);
  REQUIRE(none);
  CHECK(none->existence == Answer::Existence::NoDomain);
  CHECK(none->empty());
  const auto failed = read_answer(message(answered | 2, "a.test.", Type::Mx, {}), Type::Mx);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().text.find("SERVFAIL") != std::string::npos);
}

TEST_CASE("what is cut off or no answer is refused", "[message]") {
  const std::string whole = message(answered, "example.com.", Type::Mx,
                                    {record(question, Type::Mx, 300, u16(20) + "\x03mx2" + question)});
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(read_answer(whole.substr(0, size), Type::Mx));
  CHECK_FALSE(read_answer(message(0x0100, "a.test.", Type::Mx, {}), Type::Mx));
  // A pointer to itself.
  CHECK_FALSE(read_answer(message(answered, "a.test.", Type::A, {record("\xc0\x18", Type::A, 1, "1234")}), Type::A));
}
