#include "smtp/authentication_results.h"

#include "tests/support/catch.h"

using namespace postern::smtp;

namespace {

std::string filtered(std::string_view message, std::size_t step, std::size_t* dropped = nullptr) {
  AuthenticationResultsFilter filter({"mx.example.net", "b\xc3\xbc" "cher.example"});
  std::string passed;
  while (!message.empty()) {
    auto piece = message.substr(0, step);
    message.remove_prefix(piece.size());
    for (auto part = filter.read(piece); !part.empty(); part = filter.read(piece)) passed += part;
    CHECK(piece.empty());
  }
  passed += filter.finish();
  if (dropped != nullptr) *dropped = filter.fields_dropped();
  return passed;
}

constexpr std::size_t whole = 1'000'000;

/// What goes on of a message with `field` between two others, which must not depend on how it is cut.
void check(const std::string& field, bool passes) {
  const std::string before = "Received: from a\r\n\tby b\r\nArc: x\r\n";
  const std::string behind =
      "Subject: Authentication-Results: mx.example.net; x\r\n\r\nAuthentication-Results: mx.example.net;\r\n";
  const std::string message = before + field + behind;
  INFO(field);
  for (const std::size_t step : {whole, std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{100}}) {
    std::size_t dropped = 0;
    CHECK(filtered(message, step, &dropped) == (passes ? message : before + behind));
    CHECK(dropped == (passes ? 0 : 1));
  }
}

}  // namespace

TEST_CASE("fields that claim to be ours are taken out (RFC 8601 5)") {
  check("Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=a.example\r\n", false);
  check("AUTHENTICATION-results:MX.Example.NET;\r\n\tspf=pass\r\n dkim=pass\r\n", false);
  check("Authentication-Results: mx.example.net. ; none\r\n", false);
  check("Authentication-Results: mx.example.net 1; none\r\n", false);
  check("Authentication-Results: mx.example.net/1; none\r\n", false);
  check("Authentication-Results: mx.example.net\r\n", false);
  check("Authentication-Results:\r\n mx.example.net; none\r\n", false);
  check("Authentication-Results: (a (nested) \\) comment)\r\n\t(another) mx.example.net; none\r\n", false);
  check("Authentication-Results: \"mx.example.net\"; none\r\n", false);
  check("Authentication-Results: \"mx.\\example.net\"; none\r\n", false);
  check("Authentication-Results \t: mx.example.net; none\r\n", false);
  check("Authentication-Results: xn--bcher-kva.example; none\r\n", false);
  check("Authentication-Results: B\xc3\xbc" "cher.example; none\r\n", false);
}

TEST_CASE("fields of others stay, and so does what only looks like one") {
  check("Authentication-Results: mx.other.example; spf=pass\r\n\tx=mx.example.net\r\n", true);
  check("Authentication-Results: mx.example.net.other.example; none\r\n", true);
  check("Authentication-Results: (mx.example.net) other.example; none\r\n", true);
  check("ARC-Authentication-Results: i=1; mx.example.net; spf=pass\r\n", true);
  check("X-Authentication-Results: mx.example.net; none\r\n", true);
  check("Authentication-Results-Original: mx.example.net; none\r\n", true);
  check("Authentication: mx.example.net\r\n", true);
  check("Authentication-Results\r\n", true);
  check("a\r\n", true);
  check("", true);
}

TEST_CASE("fields whose id cannot be read are taken out") {
  check("Authentication-Results: ; mx.example.net\r\n", false);
  check("Authentication-Results:\r\n", false);
  check("Authentication-Results: (no end mx.example.net; none\r\n", false);
  check("Authentication-Results: (no end \\\r\n", false);
  check("Authentication-Results: \"mx.example.net; none\r\n", false);
  check("Authentication-Results: =mx.example.net; none\r\n", false);
}

TEST_CASE("a field that is longer than what is held back is decided by what is there") {
  const std::string filler(AuthenticationResultsFilter::held_octets_max, 'x');
  check("Authentication-Results: mx.example.net; " + filler + "\r\n\t" + filler + "\r\n", false);
  check("Authentication-Results: mx.other.example; " + filler + "\r\n\t" + filler + "\r\n", true);
  check("Authentication-Results: (" + filler + ") mx.example.net; none\r\n", false);
  check("Authentication-Results: " + filler + "; none\r\n", false);
  check("Authentication-Results" + std::string(filler.size(), ' ') + ": mx.example.net; none\r\n", false);
}

TEST_CASE("what was held back at the end of a message is not lost") {
  for (const std::size_t step : {whole, std::size_t{1}}) {
    CHECK(filtered("Authentication-Res", step) == "Authentication-Res");
    CHECK(filtered("Subject: x\r\n\r", step) == "Subject: x\r\n\r");
    CHECK(filtered("\rx\r\nAuthentication-Results: mx.example.net;\r\n", step) == "\rx\r\n");
    CHECK(filtered("Authentication-Results: mx.other.example;", step) == "Authentication-Results: mx.other.example;");
    CHECK(filtered("\r\nAuthentication-Results: mx.example.net;", step) ==
          "\r\nAuthentication-Results: mx.example.net;");
  }
}
