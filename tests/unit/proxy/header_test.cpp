#include "proxy/header.h"

#include "tests/support/catch.h"

using namespace postern;
using proxy::Header;

namespace {

Endpoint endpoint(std::string_view text) { return *Endpoint::parse(text); }

Header proxied(std::string_view source, std::string_view destination) {
  Header header;
  header.source = endpoint(source);
  header.destination = endpoint(destination);
  return header;
}

/// Version 2 around `rest`; `command` and `family` are the octets as they stand in the header.
std::string v2(char command, char family, const std::string& rest) {
  std::string made("\r\n\r\n\0\r\nQUIT\n", 12);
  made += command;
  made += family;
  made += static_cast<char>(rest.size() >> 8);
  made += static_cast<char>(rest.size() & 0xff);
  return made + rest;
}

const std::string v4_addresses("\xc0\x00\x02\x01\xc6\x33\x64\x02\x9c\x40\x00\x19", 12);

std::string tlv(char type, const std::string& value) {
  return std::string{type, static_cast<char>(value.size() >> 8), static_cast<char>(value.size() & 0xff)} + value;
}

bool is_refused(std::string_view bytes) { return !proxy::take_header(bytes).has_value(); }

/// The header that stands at the front of `bytes` followed by a greeting, which must remain.
Header taken(const std::string& bytes) {
  const std::string with_more = bytes + "EHLO x\r\n";
  std::string_view input = with_more;
  const auto header = proxy::take_header(input);
  REQUIRE(header.has_value());
  REQUIRE(header->has_value());
  CHECK(input == "EHLO x\r\n");
  return **header;
}

bool wants_more(std::string_view bytes) {
  const auto before = bytes;
  const auto header = proxy::take_header(bytes);
  return header.has_value() && !header->has_value() && bytes == before;
}

}  // namespace

TEST_CASE("version 1 both ways") {
  const Header v4 = proxied("192.0.2.1:40000", "198.51.100.2:25");
  CHECK(proxy::render_v1(v4) == "PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n");
  CHECK(taken("PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n") == v4);
  const Header v6 = proxied("[2001:db8::1]:40000", "[2001:db8::2]:25");
  CHECK(taken(proxy::render_v1(v6)) == v6);
  const Header mixed = proxied("192.0.2.1:40000", "[2001:db8::2]:25");
  CHECK(proxy::render_v1(mixed) == "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 40000 25\r\n");
  CHECK(taken(proxy::render_v1(mixed)) == mixed);
}

TEST_CASE("version 1: UNKNOWN is legal, and what follows it is ignored") {
  CHECK(taken("PROXY UNKNOWN\r\n") == Header{});
  CHECK(taken("PROXY UNKNOWN ffff:f...f:ffff 65535 anything\r\n") == Header{});
  Header local;
  local.command = Header::Command::Local;
  CHECK(proxy::render_v1(local) == "PROXY UNKNOWN\r\n");
}

TEST_CASE("version 1: malformed lines") {
  for (const char* line : {"PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 40000 65536\r\n",
                           "PROXY TCP4 192.0.2.1 198.51.100.2  40000 25\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
                           "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 040 25\r\n", "PROXY \r\n",
                           "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "EHLO client\r\n", "proxy UNKNOWN\r\n", "\r\n"}) {
    INFO(line);
    CHECK((is_refused(line) || wants_more(line)) == true);
    if (std::string_view(line) != "\r\n") CHECK(is_refused(line));
  }
  CHECK(is_refused("PROXY UNKNOWN " + std::string(100, 'x')));
  CHECK(is_refused("PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\n" + std::string(107, ' ')));
}

TEST_CASE("a header is waited for to its last octet") {
  const std::string v1 = proxy::render_v1(proxied("192.0.2.1:40000", "198.51.100.2:25"));
  const std::string binary = proxy::render_v2(proxied("192.0.2.1:40000", "198.51.100.2:25"), 536);
  for (const auto& whole : {v1, binary}) {
    for (std::size_t octets = 0; octets < whole.size(); ++octets) CHECK(wants_more(std::string_view(whole).substr(0, octets)));
  }
}

TEST_CASE("version 2 both ways, with TLVs") {
  Header header = proxied("192.0.2.1:40000", "198.51.100.2:25");
  CHECK(proxy::render_v2(header, 536) == v2('\x21', '\x11', v4_addresses));
  header.authority = "mx.example.net";
  header.alpn = "smtp";
  header.unique_id = "4kq9";
  header.tls = proxy::TlsFacts{proxy::TlsFacts::Verified::Good, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "client"};
  CHECK(taken(proxy::render_v2(header, 536)) == header);
  header.tls->verified = proxy::TlsFacts::Verified::Failed;
  CHECK(taken(proxy::render_v2(header, 536)) == header);

  Header v6 = proxied("[2001:db8::1]:40000", "192.0.2.9:25");
  CHECK(taken(proxy::render_v2(v6, 536)) == v6);
}

TEST_CASE("version 2 fits what a backend bears") {
  Header header = proxied("[2001:db8::1]:40000", "[2001:db8::2]:25");
  header.authority = std::string(253, 'a');
  header.unique_id = std::string(128, 'u');
  header.alpn = "smtp";
  header.tls = proxy::TlsFacts{proxy::TlsFacts::Verified::Good, "TLSv1.3", "TLS_AES_128_GCM_SHA256", std::string(200, 'c')};
  const std::string postfix = proxy::render_v2(header, 536);
  CHECK(postfix.size() <= 536);
  CHECK(taken(postfix).authority == header.authority);
  CHECK(taken(postfix).tls->cipher == header.tls->cipher);
  const std::string small = proxy::render_v2(header, 52);
  CHECK(small.size() == 52);
  CHECK(taken(small).source == header.source);
}

TEST_CASE("version 2: LOCAL and unknown families are legal and say nothing") {
  Header local;
  local.command = Header::Command::Local;
  CHECK(taken(proxy::render_v2(local, 536)) == local);
  CHECK(taken(v2('\x20', '\x11', v4_addresses)) == local);
  CHECK(taken(v2('\x21', '\x00', "")) == Header{});
  CHECK(taken(v2('\x21', '\x31', std::string(216, 'p'))) == Header{});
  CHECK(taken(v2('\x21', '\x51', "whatever")) == Header{});
  CHECK(taken(v2('\x21', '\x13', "whatever")) == Header{});
}

TEST_CASE("version 2: lengths are checked against the end of the header") {
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses.substr(1))));
  CHECK(is_refused(v2('\x21', '\x31', std::string(215, 'p'))));
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses + "\x02")));
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses + std::string("\x02\x00\x05name", 7))));
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses + tlv('\x20', std::string("\x01\x00\x00\x00", 4)))));
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses + tlv('\x20', std::string("\x01\x00\x00\x00\x00\x21\x00\x09v", 9)))));
  CHECK(is_refused(v2('\x21', '\x11', v4_addresses + tlv('\x05', std::string(129, 'u')))));
  CHECK(is_refused(v2('\x11', '\x11', v4_addresses)));
  CHECK(is_refused(v2('\x22', '\x11', v4_addresses)));
  CHECK(is_refused(v2('\x21', '\x11', std::string(5000, 'x'))));
}

TEST_CASE("version 2: a checksum is verified") {
  // Computed by hand with another implementation of CRC-32C over the header with a zeroed field.
  std::string header = v2('\x21', '\x11', v4_addresses + tlv('\x03', std::string("\0\0\0\0", 4)));
  CHECK(is_refused(header));
  const auto field = header.size() - 4;
  header.replace(field, 4, std::string("\x12\x67\x09\xf2", 4));
  CHECK(taken(header).source == endpoint("192.0.2.1:40000"));
  header[20] = static_cast<char>(header[20] ^ 1);
  CHECK(is_refused(header));
}
