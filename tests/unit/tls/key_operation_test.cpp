#include "tls/key_operation.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tests/support/tls_peers.h"

using namespace postern;
using namespace postern::tls;
using test::Heard;
using test::MapSource;
using test::PlainClient;
using test::pump;
using test::TestCa;

namespace {

const std::shared_ptr<const Credential>& rsa() {
  static const auto credential = TestCa().issue({.names = {"rsa.example"}, .kind = KeyKind::Rsa}).credential();
  return credential;
}

const std::shared_ptr<const Credential>& ecdsa() {
  static const auto credential = TestCa().issue({.names = {"ec.example"}}).credential();
  return credential;
}

std::unique_ptr<Stream> server_for(const std::shared_ptr<const Credential>& credential) {
  const TlsSettings settings{.min_version = Version::Tls10, .rsa_keys = RsaKeys::Outside};
  return Stream::server(ServerContext::make(settings, Application::Smtp).value(),
                        std::make_shared<MapSource>(credential));
}

}  // namespace

TEST_CASE("a handshake waits for an RSA key that is used outside", "[key_operation]") {
  struct Case {
    std::uint16_t version;
    const char* ciphers;
    KeyOperation::Kind kind;
  };
  for (const auto& [version, ciphers, kind] : {
           Case{TLS1_3_VERSION, "ALL", KeyOperation::Kind::Sign},
           Case{TLS1_2_VERSION, "ALL", KeyOperation::Kind::Sign},
           Case{TLS1_VERSION, "ECDHE-RSA-AES128-SHA", KeyOperation::Kind::Sign},
           Case{TLS1_2_VERSION, "AES128-GCM-SHA256", KeyOperation::Kind::Decrypt},
       }) {
    CAPTURE(version, ciphers);
    const auto server = server_for(rsa());
    PlainClient client;
    SSL_CTX_set_min_proto_version(client.context(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client.context(), version);
    REQUIRE(SSL_CTX_set_strict_cipher_list(client.context(), ciphers) == 1);
    Heard heard;
    CHECK_FALSE(server->take_key_operation());
    pump(client, *server, heard);
    CHECK_FALSE(heard.established);
    CHECK_FALSE(heard.failed);

    const auto operation = server->take_key_operation();
    REQUIRE(operation);
    CHECK(operation->kind == kind);
    CHECK(operation->credential == rsa());
    CHECK_FALSE(server->take_key_operation());
    heard.take_events(*server);  // asking again does no harm
    CHECK_FALSE(server->take_key_operation());
    CHECK_FALSE(heard.failed);

    server->complete_key_operation(perform(*operation));
    heard.take_events(*server);
    pump(client, *server, heard);
    CHECK(heard.established);
    server->forget_handshake();
    client.send("EHLO\r\n");
    server->receive(client.take_output());
    heard.take_events(*server);
    CHECK(heard.plaintext == "EHLO\r\n");
  }
}

TEST_CASE("quick keys are used in place", "[key_operation]") {
  const auto server = server_for(ecdsa());
  PlainClient client;
  Heard heard;
  pump(client, *server, heard);
  CHECK(heard.established);
  CHECK_FALSE(server->take_key_operation());
}

TEST_CASE("an operation that fails ends the handshake with its reason", "[key_operation]") {
  const auto server = server_for(rsa());
  PlainClient client;
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(server->take_key_operation());
  server->complete_key_operation(fail("the key pool is full"));
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "the key pool is full");
  CHECK(heard.failed->during_handshake);
  server->complete_key_operation(std::string("late"));
  CHECK_FALSE(server->next());
}

TEST_CASE("a client that gives up meanwhile", "[key_operation]") {
  const auto server = server_for(rsa());
  PlainClient client;
  Heard heard;
  pump(client, *server, heard);
  const auto operation = server->take_key_operation();
  REQUIRE(operation);
  SSL_send_fatal_alert(client.ssl(), SSL_AD_USER_CANCELLED);
  server->receive(client.take_output());
  heard.take_events(*server);
  CHECK_FALSE(heard.failed);  // it is read only after the key has been used
  server->complete_key_operation(perform(*operation));
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->during_handshake);
}

TEST_CASE("a key that does not fit the operation", "[key_operation]") {
  const auto wrong_sign = perform({KeyOperation::Kind::Sign, SSL_SIGN_RSA_PSS_RSAE_SHA256, "x", ecdsa()});
  REQUIRE_FALSE(wrong_sign);
  CHECK(wrong_sign.error().text == "test chain: the private key cannot be used for this handshake: wrong kind of key");
  CHECK_FALSE(perform({KeyOperation::Kind::Decrypt, 0, "x", ecdsa()}));
  CHECK_FALSE(perform({KeyOperation::Kind::Decrypt, 0, "too short", rsa()}));
  CHECK_FALSE(perform({KeyOperation::Kind::Sign, 0x1234, "x", rsa()}));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("a key that cannot be decoded fails the operation", "[key_operation]") {
  const auto credential = std::make_shared<Credential>();
  credential->source = "a.pem";
  auto encoded = find_key("-----BEGIN PRIVATE KEY-----\nMAUCAQAwAA==\n-----END PRIVATE KEY-----\n", "a.pem");
  REQUIRE(encoded);
  credential->key = PrivateKey(std::move(*encoded));
  constexpr std::uint16_t rsa_pss_sha256 = 0x0804;
  for (const auto kind : {KeyOperation::Kind::Sign, KeyOperation::Kind::Decrypt}) {
    CHECK(perform({kind, rsa_pss_sha256, "input", credential}).error().text == "a.pem: the private key cannot be decoded");
  }
}
