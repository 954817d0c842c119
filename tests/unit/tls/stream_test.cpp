#include "tls/stream.h"

#include <random>

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

DnsName name(std::string_view text) { return DnsName::parse(text).value(); }

const TestCa& ca() {
  static const TestCa instance;
  return instance;
}

const std::shared_ptr<const Credential>& default_credential() {
  static const auto credential = ca().issue({.names = {"default.example"}}).credential();
  return credential;
}

std::shared_ptr<const ServerContext> server_context(const TlsSettings& settings = {}) {
  return ServerContext::make(settings, Application::Smtp).value();
}

std::unique_ptr<Stream> default_server() {
  return Stream::server(server_context(), std::make_shared<MapSource>(default_credential()));
}

std::unique_ptr<Stream> trusting_client(std::optional<DnsName> server_name = std::nullopt) {
  return Stream::client(ClientContext::make({}).value(), std::move(server_name));
}

std::string noise(std::size_t octets) {
  std::mt19937 generator(7);
  std::string bytes(octets, '\0');
  for (char& c : bytes) c = static_cast<char>(generator());
  return bytes;
}

}  // namespace

TEST_CASE("a handshake, data both ways, and close_notify both ways", "[stream]") {
  const auto piece = GENERATE(std::size_t{1}, std::size_t{100}, std::string::npos);
  const auto server = default_server();
  const auto client = trusting_client(name("default.example"));
  Heard at_client, at_server;
  CHECK(server->hello() == nullptr);
  CHECK_FALSE(server->choice().credential);
  pump(*client, at_client, *server, at_server, piece);
  CHECK(at_client.established);
  CHECK(at_server.established);
  CHECK(client->established());
  CHECK(server->established());

  client->send("EHLO client\r\n");
  server->send("250 hello\r\n");
  pump(*client, at_client, *server, at_server, piece);
  CHECK(at_server.plaintext == "EHLO client\r\n");
  CHECK(at_client.plaintext == "250 hello\r\n");

  client->close();
  pump(*client, at_client, *server, at_server, piece);
  CHECK(at_server.closed);
  CHECK_FALSE(at_client.closed);
  server->send("last words");
  server->close();
  pump(*client, at_client, *server, at_server, piece);
  CHECK(at_client.closed);
  CHECK_FALSE(at_client.failed);
  CHECK_FALSE(at_server.failed);
}

TEST_CASE("what a handshake came to", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client(name("mx.example.com"));
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  for (const Stream* end : {server.get(), client.get()}) {
    CHECK(end->facts().version == "TLSv1.3");
    CHECK((end->facts().cipher == "TLS_AES_128_GCM_SHA256" || end->facts().cipher == "TLS_CHACHA20_POLY1305_SHA256"));
    CHECK((end->facts().cipher_bits == 128 || end->facts().cipher_bits == 256));
    CHECK_THAT(end->facts().group, Catch::Matchers::StartsWith("X25519"));
    CHECK(end->facts().alpn.empty());
    CHECK_FALSE(end->facts().resumed);
  }
  REQUIRE(server->hello() != nullptr);
  CHECK(server->hello()->sni == SniKind::HostName);
  CHECK(server->hello()->server_name == name("mx.example.com"));
  CHECK(server->hello()->offers_tls13());
  CHECK(server->choice().credential == default_credential());
  CHECK(server->choice().match == Match::Default);
  const auto chain = client->peer_chain();
  REQUIRE(chain.size() == 1);
  const CRYPTO_BUFFER* leaf = default_credential()->chain.front().get();
  CHECK(chain.front() ==
        std::string(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(leaf)), CRYPTO_BUFFER_len(leaf)));

  server->forget_handshake();
  client->forget_handshake();
  CHECK(server->hello() == nullptr);
  CHECK_FALSE(server->choice().credential);
  CHECK(server->facts().version == "TLSv1.3");
  client->send("still open");
  pump(*client, at_client, *server, at_server);
  CHECK(at_server.plaintext == "still open");
}

TEST_CASE("forgetting a handshake frees what it held", "[stream]") {
  const auto source = std::make_shared<MapSource>(default_credential());
  const auto held_before = default_credential().use_count();
  const auto server = Stream::server(server_context(), source);
  const auto client = trusting_client();
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  REQUIRE(server->established());
  CHECK(source.use_count() == 2);
  CHECK(default_credential().use_count() == held_before + 1);
  server->forget_handshake();
  CHECK(source.use_count() == 1);
  CHECK(default_credential().use_count() == held_before);
}

TEST_CASE("a handshake cannot be forgotten before it is over", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client();
  Heard at_client, at_server;
  server->forget_handshake();
  pump(*client, at_client, *server, at_server);
  CHECK(server->established());
}

TEST_CASE("large data both ways", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client();
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  const std::string data = noise(1'000'003);
  client->send(data);
  server->send(data);
  pump(*client, at_client, *server, at_server, 1460);
  CHECK(at_server.plaintext == data);
  CHECK(at_client.plaintext == data);
}

TEST_CASE("plaintext stays good until the next call", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client();
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  client->send("first");
  client->send("second");
  server->receive(client->take_output());
  const auto first = server->next();
  REQUIRE(first);
  CHECK(std::get<Plaintext>(*first).bytes == "first");
  const auto second = server->next();
  REQUIRE(second);
  CHECK(std::get<Plaintext>(*second).bytes == "second");
  CHECK_FALSE(server->next());
}

TEST_CASE("a transport that ends inside a record gives neither data nor a close", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client();
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  client->send("cut off");
  std::string record = client->take_output();
  record.pop_back();
  server->receive(record);
  at_server.take_events(*server);
  CHECK(at_server.plaintext.empty());
  CHECK_FALSE(at_server.closed);
  CHECK_FALSE(at_server.failed);
}

TEST_CASE("a record that was tampered with ends the connection", "[stream]") {
  const auto server = default_server();
  const auto client = trusting_client();
  Heard at_client, at_server;
  pump(*client, at_client, *server, at_server);
  client->send("tampered");
  std::string record = client->take_output();
  record.back() = static_cast<char>(record.back() ^ 1);
  server->receive(record);
  at_server.take_events(*server);
  REQUIRE(at_server.failed);
  CHECK(at_server.failed->reason == "decryption failed or bad record mac");
  CHECK(at_server.failed->alert_sent == 20);
  CHECK_FALSE(at_server.failed->alert_received);
  CHECK_FALSE(at_server.failed->during_handshake);

  // The alert goes out, and nothing after it.
  CHECK_FALSE(server->take_output().empty());
  server->send("in vain");
  server->receive("more");
  CHECK_FALSE(server->next());
  CHECK(server->take_output().empty());
}

TEST_CASE("an alert that the peer sends is named", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  SSL_CTX_set_custom_verify(client.context(), SSL_VERIFY_PEER, [](SSL*, std::uint8_t* alert) {
    *alert = SSL_AD_CERTIFICATE_EXPIRED;
    return ssl_verify_invalid;
  });
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "peer sent alert certificate_expired");
  CHECK(heard.failed->alert_received == 45);
  CHECK(heard.failed->during_handshake);
  CHECK_FALSE(server->established());
}

TEST_CASE("an alert in clear in the place of the client's Finished, as OpenSSL sends it", "[stream]") {
  const auto piece = GENERATE(std::size_t{1}, std::size_t{4}, std::size_t{7});
  const auto server = default_server();
  const auto client = trusting_client(name("default.example"));
  server->receive(client->take_output());
  CHECK_FALSE(server->next());  // its flight is out, and the client has something against the certificate
  REQUIRE_FALSE(server->take_output().empty());
  const std::string change_cipher_spec("\x14\x03\x03\x00\x01\x01", 6), alert("\x15\x03\x03\x00\x02\x02\x30", 7);
  Heard heard;
  for (const std::string& record : {change_cipher_spec, alert}) {
    for (std::size_t at = 0; at < record.size(); at += piece) {
      server->receive(std::string_view(record).substr(at, piece));
      heard.take_events(*server);
    }
  }
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "peer sent alert unknown_ca");
  CHECK(heard.failed->alert_received == 48);
  CHECK(heard.failed->during_handshake);
}

TEST_CASE("an alert after the handshake, as Exim sends it when it refuses a certificate", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.established);
  SSL_send_fatal_alert(client.ssl(), SSL_AD_BAD_CERTIFICATE);
  server->receive(client.take_output());
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "peer sent alert bad_certificate");
  CHECK(heard.failed->alert_received == 42);
  CHECK_FALSE(heard.failed->during_handshake);
}

TEST_CASE("a close_notify instead of a handshake is a failure", "[stream]") {
  const auto server = default_server();
  Heard heard;
  server->receive(std::string_view("\x15\x03\x01\x00\x02\x01\x00", 7));
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "peer sent alert close_notify");
  CHECK(heard.failed->alert_received == 0);
  CHECK(heard.failed->during_handshake);
}

TEST_CASE("TLS 1.1 is refused", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  SSL_CTX_set_min_proto_version(client.context(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(client.context(), TLS1_1_VERSION);
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "unsupported protocol");
  CHECK(heard.failed->alert_sent == 70);
  REQUIRE(server->hello() != nullptr);
  CHECK(server->hello()->versions == std::vector<std::uint16_t>{0x0302});
}

TEST_CASE("TLS 1.0 can be allowed, TLS 1.2 works", "[stream]") {
  const auto version = GENERATE(TLS1_VERSION, TLS1_2_VERSION);
  const auto server = Stream::server(server_context({.min_version = Version::Tls10}),
                                     std::make_shared<MapSource>(default_credential()));
  PlainClient client;
  SSL_CTX_set_min_proto_version(client.context(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
  Heard heard;
  pump(client, *server, heard);
  CHECK(heard.established);
  CHECK(server->facts().version == (version == TLS1_VERSION ? "TLSv1" : "TLSv1.2"));
  CHECK_THAT(server->facts().cipher, Catch::Matchers::StartsWith("TLS_ECDHE_ECDSA_WITH_"));
}

TEST_CASE("clear text instead of TLS", "[stream]") {
  const auto server = default_server();
  Heard heard;
  server->receive("EHLO client.example.com\r\nMAIL FROM:<>\r\n");
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "the peer does not speak TLS");
  CHECK(heard.failed->during_handshake);
  CHECK_FALSE(heard.failed->alert_received);
}

TEST_CASE("what BoringSSL refuses before any callback is still known", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  client.set_server_name("mx.example.com");
  client.handshake();
  std::string flight = client.take_output();
  flight[flight.find("mx.example.com") + 2] = '\0';
  Heard heard;
  server->receive(flight);
  heard.take_events(*server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "malformed server name in the ClientHello");
  CHECK(heard.failed->alert_sent == 112);
  REQUIRE(server->hello() != nullptr);
  CHECK(server->hello()->sni == SniKind::Malformed);
  CHECK(server->hello()->raw_server_name == std::string_view("mx\0example.com", 14));
}

TEST_CASE("no credential at all: the handshake fails and says so", "[stream]") {
  const auto server = Stream::server(server_context(), std::make_shared<MapSource>(nullptr));
  PlainClient client;
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "there is no certificate to serve, neither for the name asked for nor a default");
  CHECK(heard.failed->alert_sent == 40);
}

TEST_CASE("a client that cannot use the only certificate", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  SSL_CTX_set_max_proto_version(client.context(), TLS1_2_VERSION);
  SSL_CTX_set_strict_cipher_list(client.context(), "ECDHE-RSA-AES128-GCM-SHA256");
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "no shared cipher");
  CHECK(heard.failed->alert_sent == 40);
}

TEST_CASE("random garbage never succeeds and leaves no error behind", "[stream]") {
  std::mt19937 generator(11);
  for (int round = 0; round < 200; ++round) {
    const auto server = default_server();
    PlainClient client;
    client.handshake();
    std::string flight = client.take_output();
    for (int i = 0; i < 1 + round % 20; ++i) flight[generator() % flight.size()] = static_cast<char>(generator());
    if (round % 4 == 0) flight = noise(generator() % 2000);
    Heard heard;
    server->receive(flight);
    server->receive(noise(70'000));
    heard.take_events(*server);
    CHECK_FALSE(heard.established);
    REQUIRE(heard.failed);
    CHECK(heard.failed->during_handshake);
    CHECK_FALSE(heard.failed->reason.empty());
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("a client that ends with a half-open handshake gets no event", "[stream]") {
  const auto server = default_server();
  PlainClient client;
  client.handshake();
  const std::string flight = client.take_output();
  Heard heard;
  server->receive(std::string_view(flight).substr(0, flight.size() / 2));
  heard.take_events(*server);
  server->close();
  CHECK(server->take_output().empty());
  CHECK_FALSE(heard.failed);
  CHECK_FALSE(heard.established);
}

namespace {

/// Lists credentials without their keys: "a.example" and a default.
class DeferredSource : public CredentialSource {
 public:
  Choice choose(const ClientHello& hello) const noexcept override {
    if (!hello.server_name) return choose_default(hello);
    return {named, Match::Exact, {}};
  }
  Choice choose_default(const ClientHello&) const noexcept override { return {fallback, Match::Default, {}}; }

  static std::shared_ptr<const Credential> listed() {
    class Nothing : public Deferred {
      Result<std::shared_ptr<const Credential>> read(const Credential&) const override { return fail("nothing"); }
    };
    auto made = std::make_shared<Credential>();
    made->deferred = std::make_shared<Nothing>();
    return made;
  }
  std::shared_ptr<const Credential> named = listed(), fallback = default_credential();
};

struct Suspended {
  explicit Suspended(std::shared_ptr<DeferredSource> source, const std::string& asked = "a.example")
      : server(Stream::server(server_context(), std::move(source))) {
    if (!asked.empty()) client.set_server_name(asked);
    client.handshake();
    server->receive(client.take_output());
  }
  std::shared_ptr<const Credential> wanted() {
    const auto event = server->next();
    const auto* needs = event ? std::get_if<NeedsCredential>(&*event) : nullptr;
    return needs == nullptr ? nullptr : needs->listed;
  }
  PlainClient client;
  std::unique_ptr<Stream> server;
};

}  // namespace

TEST_CASE("a handshake waits for a deferred credential", "[stream][lazy]") {
  const auto source = std::make_shared<DeferredSource>();
  Suspended handshake(source);
  CHECK(handshake.wanted() == source->named);
  CHECK_FALSE(handshake.server->next());
  handshake.server->receive("");
  CHECK_FALSE(handshake.server->next());
  const auto whole = ca().issue({.names = {"a.example"}}).credential();
  handshake.server->provide_credential(whole);
  Heard heard;
  heard.take_events(*handshake.server);
  pump(handshake.client, *handshake.server, heard);
  CHECK(heard.established);
  CHECK(handshake.client.server_leaf() == whole->leaf.fingerprint);
  CHECK(handshake.server->choice().match == Match::Exact);
}

TEST_CASE("the default is served for a credential that cannot be read", "[stream][lazy]") {
  const auto source = std::make_shared<DeferredSource>();
  Suspended handshake(source);
  REQUIRE(handshake.wanted());
  handshake.server->provide_credential(fail("/a.key: does not exist"));
  Heard heard;
  heard.take_events(*handshake.server);
  pump(handshake.client, *handshake.server, heard);
  CHECK(heard.established);
  CHECK(handshake.client.server_leaf() == default_credential()->leaf.fingerprint);
  CHECK(handshake.server->choice().match == Match::Default);
}

TEST_CASE("a default that is deferred itself, and cannot be read either", "[stream][lazy]") {
  const auto source = std::make_shared<DeferredSource>();
  source->fallback = DeferredSource::listed();
  const auto asked = GENERATE(std::string("a.example"), std::string());
  Suspended handshake(source, asked);
  if (!asked.empty()) {
    CHECK(handshake.wanted() == source->named);
    handshake.server->provide_credential(fail("/a.key: does not exist"));
  }
  CHECK(handshake.wanted() == source->fallback);
  handshake.server->provide_credential(fail("/default.key: does not exist"));
  Heard heard;
  heard.take_events(*handshake.server);
  REQUIRE(heard.failed);
  CHECK(heard.failed->reason == "/default.key: does not exist");
  handshake.server->provide_credential(fail("late"));
}
