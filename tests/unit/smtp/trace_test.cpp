#include "smtp/trace.h"

#include "base/text.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;

namespace {

TraceFacts facts() {
  TraceFacts made;
  made.client_name = "mail.client.example";
  made.client_address = *IpAddress::parse("192.0.2.1");
  made.by = "mx.example.net";
  made.protocol = "ESMTPS";
  made.transaction = "0a1b2c3d";
  made.for_path = ForwardPath{{"user", "example.com"}};
  made.tls_version = "TLSv1.3";
  made.tls_cipher = "TLS_AES_128_GCM_SHA256";
  made.server_name = "mx.example.com";
  made.time = WallTime{std::chrono::seconds(1'795'460'590)};
  return made;
}

std::string unfolded(std::string field) {
  for (std::size_t at; (at = field.find("\r\n\t")) != std::string::npos;) field.replace(at, 3, " ");
  return field;
}

void check_form(const std::string& field) {
  REQUIRE(field.ends_with("\r\n"));
  for (const auto line : split(std::string_view(field).substr(0, field.size() - 2), '\n')) {
    CHECK(line.size() <= 998);
    CHECK((line.starts_with("Received: ") || line.starts_with('\t')));
    CHECK(line.find_first_not_of("\t\r ") != std::string_view::npos);
  }
}

}  // namespace

TEST_CASE("the Received field over TLS") {
  CHECK(received_field(facts()) ==
        "Received: from mail.client.example ([192.0.2.1]) by mx.example.net with ESMTPS\r\n"
        "\tid 0a1b2c3d for <user@example.com> tls TLS_AES_128_GCM_SHA256 (TLSv1.3, SNI\r\n"
        "\tmx.example.com); Mon, 23 Nov 2026 19:03:10 +0000\r\n");
}

TEST_CASE("the name that DNS confirms stands before the address, whatever the client called itself") {
  auto named = facts();
  named.client_dns_name = "out.client.example";
  CHECK(unfolded(received_field(named)).starts_with(
      "Received: from mail.client.example (out.client.example [192.0.2.1]) by mx.example.net "));
  named.client_name = "(by evil)";
  CHECK(unfolded(received_field(named)).starts_with(
      "Received: from [192.0.2.1] (out.client.example HELO \\x28by evil\\x29) by mx.example.net "));
}

TEST_CASE("the Received field in clear, and without SNI") {
  auto clear = facts();
  clear.tls_version = clear.tls_cipher = clear.server_name = "";
  clear.protocol = "ESMTP";
  clear.for_path.reset();
  clear.client_address = *IpAddress::parse("2001:db8::1");
  CHECK(unfolded(received_field(clear)) ==
        "Received: from mail.client.example ([IPv6:2001:db8::1]) by mx.example.net with ESMTP id 0a1b2c3d; "
        "Mon, 23 Nov 2026 19:03:10 +0000\r\n");
  auto no_sni = facts();
  no_sni.server_name = "";
  CHECK(unfolded(received_field(no_sni)).find(" (TLSv1.3, no SNI); ") != std::string::npos);
}

TEST_CASE("what came from the wire cannot break out of its clause") {
  auto hostile = facts();
  hostile.client_name = "x) by evil.example; (\"\\\r\nX-Evil: 1";
  hostile.server_name = std::string("a)\r\nB: c\0\\", 10);
  const auto field = received_field(hostile);
  check_form(field);
  CHECK(unfolded(field).starts_with("Received: from [192.0.2.1] (HELO x\\x29 by evil.example; "
                                    "\\x28\\x22\\x5c\\x0d\\x0aX-Evil: 1) by mx.example.net"));
  CHECK(unfolded(field).find("SNI a\\x29\\x0d\\x0aB: c\\x00\\x5c); ") != std::string::npos);
}

TEST_CASE("a literal that could end a clause is shown as a comment") {
  auto odd = facts();
  odd.client_name = "[192.0.2.7]";
  CHECK(received_field(odd).starts_with("Received: from [192.0.2.7] ([192.0.2.1]) by"));
  odd.client_name = "[tag:a;b(c]";
  CHECK(unfolded(received_field(odd)).starts_with("Received: from [192.0.2.1] (HELO [tag:a;b\\x28c]) by"));
}

TEST_CASE("lines are folded, whatever their parts are") {
  auto longest = facts();
  longest.client_name = std::string(2000, 'c');
  longest.server_name = std::string(255, '\x01');
  longest.for_path = ForwardPath{{std::string(600, 'u'), "example.com"}};
  check_form(received_field(longest));
  CHECK(received_field(longest).find("for\r\n\t<uuu") != std::string::npos);
  longest.for_path = ForwardPath{{std::string(2000, 'u'), "example.com"}};
  check_form(received_field(longest));
  CHECK(received_field(longest).find("uuu") == std::string::npos);
}
