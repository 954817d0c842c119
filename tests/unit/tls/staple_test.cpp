#include "tls/staple.h"

#include "tests/support/catch.h"
#include "tests/support/ocsp_response.h"
#include "tests/support/test_ca.h"
#include "tests/support/tls_peers.h"

using namespace postern;
using namespace postern::tls;
using test::Heard;
using test::MapSource;
using test::ocsp_response;
using test::OcspRequest;
using test::PlainClient;
using test::test_now;

namespace {

const test::TestCa& ca() {
  static const test::TestCa authority = test::TestCa().intermediate("Test Intermediate");
  return authority;
}

const std::shared_ptr<const Credential>& credential() {
  static const auto made = ca().issue({.names = {"a.example"}}).credential();
  return made;
}

Result<std::optional<Staple>> read(std::string_view der, const Credential& of = *credential()) {
  return read_staple(der, "a.ocsp", of.chain[0].get(), of.chain[1].get());
}

std::string error_of(std::string_view der) {
  const auto staple = read(der);
  return staple ? "" : staple.error().text;
}

}  // namespace

TEST_CASE("a response that says that the certificate is good", "[staple]") {
  const auto hash = GENERATE(OcspRequest::Hash::Sha1, OcspRequest::Hash::Sha256);
  const std::string der = ocsp_response(*credential(), {.hash = hash});
  const auto staple = read(der);
  REQUIRE(staple);
  REQUIRE(*staple);
  CHECK((*staple)->der == der);
  CHECK((*staple)->this_update == test_now() - std::chrono::hours(1));
  CHECK((*staple)->next_update == test_now() + std::chrono::days(3));
  CHECK((*staple)->is_fresh(test_now()));
  CHECK_FALSE((*staple)->is_fresh(test_now() + std::chrono::days(3)));
  CHECK_FALSE((*staple)->is_fresh(test_now() - std::chrono::days(1)));
  CHECK(read_staple(der, "a.ocsp", credential()->chain[0].get(), nullptr).value());
}

TEST_CASE("a response for another certificate", "[staple]") {
  const auto other = ca().issue({.names = {"a.example"}}).credential();
  CHECK_FALSE(read(ocsp_response(*other)).value());
  // The same serial number and name of the issuer, another key of the issuer.
  const auto stranger = test::TestCa().intermediate("Test Intermediate").issue({.names = {"a.example"}}).credential();
  CHECK_FALSE(read_staple(ocsp_response(*credential()), "", credential()->chain[0].get(), stranger->chain[1].get()).value());
}

TEST_CASE("responses that are not to be sent", "[staple]") {
  CHECK(error_of(ocsp_response(*credential(), {.status = OcspRequest::Status::Revoked})) ==
        "a.ocsp: says that the certificate has been revoked");
  CHECK(error_of(ocsp_response(*credential(), {.status = OcspRequest::Status::Unknown})) ==
        "a.ocsp: says that the certificate is not known to its issuer");
  CHECK(error_of(ocsp_response(*credential(), {.next_update = std::nullopt})) ==
        "a.ocsp: does not say until when it is good");
  CHECK(error_of(std::string("\x30\x03\x0a\x01\x06", 5)) == "a.ocsp: is the refusal of an OCSP server, not a response");
}

TEST_CASE("no part of a response passes for a whole one, and no octet of it is read beyond", "[staple]") {
  const std::string der = ocsp_response(*credential());
  CHECK(error_of("") == "a.ocsp: is no OCSP response in DER form");
  CHECK(error_of(credential()->source) == "a.ocsp: is no OCSP response in DER form");
  for (std::size_t length = 0; length < der.size(); ++length) CHECK_FALSE(read(der.substr(0, length)));
  for (std::size_t at = 0; at < der.size(); ++at) {
    for (const int bit : {1, 0x80}) {
      std::string damaged = der;
      damaged[at] = static_cast<char>(damaged[at] ^ bit);
      (void)read(damaged);
    }
  }
}

TEST_CASE("a fresh staple is sent to who asks for it", "[staple]") {
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto issued = ca().issue({.names = {"a.example"}});
  auto stapled = make_credential(issued.chain_pem(), "", issued.key_pem, "").value();
  stapled->staple = read(ocsp_response(*stapled), *stapled).value();
  REQUIRE(stapled->staple);
  const auto context = ServerContext::make({}, Application::Smtp).value();
  const auto sent = [&](bool asks, WallTime now) {
    const auto server = Stream::server(context, std::make_shared<MapSource>(stapled), now);
    PlainClient client;
    SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
    if (asks) SSL_enable_ocsp_stapling(client.ssl());
    Heard heard;
    pump(client, *server, heard);
    REQUIRE(heard.established);
    const std::uint8_t* response = nullptr;
    std::size_t length = 0;
    SSL_get0_ocsp_response(client.ssl(), &response, &length);
    return std::string(reinterpret_cast<const char*>(response), length);
  };
  CHECK(sent(true, test_now()) == stapled->staple->der);
  CHECK(sent(false, test_now()).empty());
  CHECK(sent(true, test_now() + std::chrono::days(3)).empty());
}
