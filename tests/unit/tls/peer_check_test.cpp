#include "tls/peer_check.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tests/support/tls_peers.h"

using namespace postern;
using namespace postern::tls;
using test::Heard;
using test::Issued;
using test::MapSource;
using test::pump;
using test::TestCa;

namespace {

/// What a client that checks against `roots` makes of a server that shows `shown`.
std::optional<TlsFailed> connect(const Issued& shown, const std::string& roots, std::string_view name) {
  const auto server = Stream::server(ServerContext::make({}, Application::Smtp).value(),
                                     std::make_shared<MapSource>(shown.credential()));
  const auto client = Stream::client(ClientContext::make({PeerCheck::Mode::Roots, roots}).value(), DnsName::parse(name));
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  CHECK(at_client.established == !at_client.failed);
  if (at_client.failed) {
    REQUIRE(at_server.failed);
    CHECK(at_server.failed->alert_received == at_client.failed->alert_sent);
  }
  return at_client.failed;
}

}  // namespace

TEST_CASE("a server that is who it should be", "[peer_check]") {
  const TestCa root;
  const TestCa inner = root.intermediate("Inner");
  CHECK_FALSE(connect(root.issue({.names = {"mx.example.com"}}), root.root_pem(), "mx.example.com"));
  CHECK_FALSE(connect(inner.issue({.names = {"mx.example.com"}}), root.root_pem(), "mx.example.com"));
  CHECK_FALSE(connect(inner.issue({.names = {"*.example.com"}}), root.root_pem(), "mx.example.com"));
  // Without a name only the chain counts.
  CHECK_FALSE(connect(inner.issue({.names = {"mx.example.com"}}), root.root_pem(), ""));
  // An operator may pin an intermediate or the server's own certificate.
  CHECK_FALSE(connect(inner.issue({.names = {"mx.example.com"}}), inner.certificate_pem(), "mx.example.com"));
  const auto own = test::self_signed({.names = {"mx.example.com"}});
  CHECK_FALSE(connect(own, own.certificate_pem, "mx.example.com"));
}

TEST_CASE("a server that is not", "[peer_check]") {
  const TestCa root("Root");
  const TestCa stranger("Stranger");
  const auto now = std::chrono::system_clock::now();
  const auto past = std::chrono::floor<std::chrono::seconds>(now) - std::chrono::hours(1);

  const auto wrong_name = connect(root.issue({.names = {"other.example"}}), root.root_pem(), "mx.example.com");
  REQUIRE(wrong_name);
  CHECK_THAT(wrong_name->reason, Catch::Matchers::StartsWith("the certificate of mx.example.com is not trusted: "));
  CHECK_THAT(wrong_name->reason, Catch::Matchers::Contains("ostname mismatch"));
  CHECK(wrong_name->alert_sent == SSL_AD_BAD_CERTIFICATE);
  CHECK(wrong_name->during_handshake);

  const auto unknown = connect(stranger.issue({.names = {"mx.example.com"}}), root.root_pem(), "mx.example.com");
  REQUIRE(unknown);
  CHECK(unknown->alert_sent == SSL_AD_UNKNOWN_CA);

  const auto expired =
      connect(root.issue({.names = {"mx.example.com"}, .not_after = past}), root.root_pem(), "mx.example.com");
  REQUIRE(expired);
  CHECK(expired->reason == "the certificate of mx.example.com is not trusted: certificate has expired");
  CHECK(expired->alert_sent == SSL_AD_CERTIFICATE_EXPIRED);

  const auto wildcard = connect(root.issue({.names = {"*.com"}}), root.root_pem(), "mx.example.com");
  CHECK(wildcard);
}

TEST_CASE("damaged trust anchors", "[peer_check]") {
  CHECK(make_trust_store("").error().text == "trust anchors: no certificate there");
  CHECK_THAT(make_trust_store("-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n").error().text,
             Catch::Matchers::StartsWith("trust anchors:1: the certificate cannot be read: "));
  const TestCa ca;
  CHECK(make_trust_store(ca.root_pem() + ca.root_pem()));
}

TEST_CASE("a peer without a certificate", "[peer_check]") {
  const TestCa ca;
  const auto store = make_trust_store(ca.root_pem()).value();
  const auto fault = check_peer(*store, nullptr, DnsName::parse("mx.example.com"));
  REQUIRE(fault);
  CHECK(fault->reason == "mx.example.com showed no certificate");
}
