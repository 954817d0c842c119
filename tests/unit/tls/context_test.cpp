#include "tls/context.h"

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

/// One listener with two names and a default.
struct Listener {
  explicit Listener(const TlsSettings& settings = {}, Application application = Application::Smtp)
      : context(ServerContext::make(settings, application).value()),
        fallback(ca().issue({.names = {"default.example"}}).credential()),
        a(ca().issue({.names = {"a.example"}}).credential()),
        b(ca().issue({.names = {"b.example"}}).credential()) {
    auto map = std::make_shared<MapSource>(fallback);
    map->add("a.example", a);
    map->add("b.example", b);
    source = map;
  }
  static const TestCa& ca() {
    static const TestCa instance;
    return instance;
  }
  std::unique_ptr<Stream> accept() const { return Stream::server(context, source); }

  std::shared_ptr<const ServerContext> context;
  std::shared_ptr<const Credential> fallback, a, b;
  std::shared_ptr<const CredentialSource> source;
};

/// A whole connection with a little traffic, so that TLS 1.3 tickets have come.
std::unique_ptr<Stream> converse(PlainClient& client, const Listener& listener) {
  auto server = listener.accept();
  Heard heard;
  pump(client, *server, heard);
  REQUIRE(heard.established);
  server->send("250 ok\r\n");
  client.receive(server->take_output());
  REQUIRE(client.read() == "250 ok\r\n");
  return server;
}

/// Whether the server's extensions (EncryptedExtensions, ServerHello) had server_name in them.
bool acknowledged(PlainClient& client, const Listener& listener) {
  // BoringSSL's client does not tell; in TLS 1.2 the ServerHello can be read.
  SSL_set_max_proto_version(client.ssl(), TLS1_2_VERSION);
  const auto server = listener.accept();
  client.handshake();
  server->receive(client.take_output());
  while (server->next()) {
  }
  const std::string flight = server->take_output();
  REQUIRE(flight.size() > 44);
  const auto length = static_cast<std::size_t>(static_cast<unsigned char>(flight[3]) << 8 |
                                               static_cast<unsigned char>(flight[4]));
  CBS hello, session, extensions;
  CBS_init(&hello, reinterpret_cast<const std::uint8_t*>(flight.data()) + 5 + 4, length - 4);
  REQUIRE((CBS_skip(&hello, 2 + 32) && CBS_get_u8_length_prefixed(&hello, &session) && CBS_skip(&hello, 3) &&
           CBS_get_u16_length_prefixed(&hello, &extensions)));
  while (CBS_len(&extensions) > 0) {
    std::uint16_t type = 0;
    CBS body;
    REQUIRE((CBS_get_u16(&extensions, &type) && CBS_get_u16_length_prefixed(&extensions, &body)));
    if (type == TLSEXT_TYPE_server_name) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("each name gets its own certificate", "[context]") {
  const Listener listener;
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  for (const auto& [asked, expected] : {std::pair("a.example", listener.a), std::pair("B.Example.", listener.b)}) {
    PlainClient client;
    SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
    client.set_server_name(asked);
    const auto server = converse(client, listener);
    CHECK(client.server_leaf() == expected->leaf.fingerprint);
    CHECK(server->choice().match == Match::Exact);
    CHECK(server->choice().credential == expected);
  }
}

TEST_CASE("unknown names, no names and what is no name get the default, and the handshake goes on", "[context]") {
  const Listener listener;
  for (const std::string asked :
       {"", "c.example", "sub.a.example", "192.0.2.1", "2001:db8::1", "dummy", "../../etc/passwd", "a b", "a..example",
        "\xff\xfe", "*.example"}) {
    PlainClient client;
    if (!asked.empty()) client.set_server_name(asked);
    const auto server = converse(client, listener);
    CHECK(client.server_leaf() == listener.fallback->leaf.fingerprint);
    CHECK(server->choice().match == Match::Default);
    CHECK(server->hello()->raw_server_name == asked);
  }
}

TEST_CASE("SNI is acknowledged only on a match", "[context]") {
  const Listener listener;
  PlainClient known, unknown, silent;
  known.set_server_name("a.example");
  unknown.set_server_name("c.example");
  CHECK(acknowledged(known, listener));
  CHECK_FALSE(acknowledged(unknown, listener));
  CHECK_FALSE(acknowledged(silent, listener));
}

TEST_CASE("a ticket is good for the identity that it was issued under and no other", "[context]") {
  const Listener listener;
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  PlainClient first;
  SSL_CTX_set_max_proto_version(first.context(), static_cast<std::uint16_t>(version));
  first.set_server_name("a.example");
  CHECK_FALSE(converse(first, listener)->facts().resumed);
  REQUIRE(first.sessions().size() == 1);
  SSL_SESSION* const ticket = first.sessions().front().get();

  PlainClient again;
  SSL_CTX_set_max_proto_version(again.context(), static_cast<std::uint16_t>(version));
  again.set_server_name("a.example");
  SSL_set_session(again.ssl(), ticket);
  const auto resumed = converse(again, listener);
  CHECK(resumed->facts().resumed);
  CHECK(resumed->hello()->has_session_ticket);

  PlainClient other;
  SSL_CTX_set_max_proto_version(other.context(), static_cast<std::uint16_t>(version));
  other.set_server_name("b.example");
  SSL_set_session(other.ssl(), ticket);
  const auto full = converse(other, listener);
  CHECK_FALSE(full->facts().resumed);
  CHECK(other.server_leaf() == listener.b->leaf.fingerprint);

  PlainClient silent;
  SSL_CTX_set_max_proto_version(silent.context(), static_cast<std::uint16_t>(version));
  SSL_set_session(silent.ssl(), ticket);
  CHECK_FALSE(converse(silent, listener)->facts().resumed);
  CHECK(silent.server_leaf() == listener.fallback->leaf.fingerprint);
}

TEST_CASE("a renewed certificate ends old tickets", "[context]") {
  Listener listener;
  PlainClient first;
  first.set_server_name("a.example");
  converse(first, listener);
  REQUIRE(first.sessions().size() == 1);

  const auto renewed = Listener::ca().issue({.names = {"a.example"}}).credential();
  auto map = std::make_shared<MapSource>(listener.fallback);
  map->add("a.example", renewed);
  listener.source = map;
  PlainClient again;
  again.set_server_name("a.example");
  SSL_set_session(again.ssl(), first.sessions().front().get());
  CHECK_FALSE(converse(again, listener)->facts().resumed);
  CHECK(again.server_leaf() == renewed->leaf.fingerprint);
}

TEST_CASE("the number of tickets", "[context]") {
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto tickets = GENERATE(0u, 1u, 2u);
  const Listener listener({.tickets = tickets});
  PlainClient client;
  SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
  converse(client, listener);
  std::size_t usable = 0;
  for (const auto& session : client.sessions()) usable += SSL_SESSION_is_resumable(session.get()) != 0 &&
                                                          SSL_SESSION_has_ticket(session.get()) != 0;
  CHECK(usable == (version == TLS1_3_VERSION ? tickets : std::min(tickets, 1u)));
}

TEST_CASE("the hybrid group comes first where the library has it, and is used", "[context]") {
  const std::string groups = preferred_groups;
  const std::string first = groups.substr(0, groups.find(':'));
  PlainClient client;
  const bool hybrid_known = SSL_CTX_set1_curves_list(client.context(), "X25519MLKEM768") == 1;
  ERR_clear_error();
  CHECK(first == (hybrid_known ? "X25519MLKEM768" : "X25519"));

  REQUIRE(SSL_CTX_set1_curves_list(client.context(), preferred_groups) == 1);
  converse(client, Listener());
  CHECK(SSL_get_curve_name(SSL_get_curve_id(client.ssl())) == first);

  // Who does not know it shakes hands all the same.
  PlainClient older;
  REQUIRE(SSL_CTX_set1_curves_list(older.context(), "X25519:P-256") == 1);
  converse(older, Listener());
  CHECK(SSL_get_curve_name(SSL_get_curve_id(older.ssl())) == std::string("X25519"));
}

TEST_CASE("ALPN at an SMTP listener", "[context]") {
  const Listener listener;
  struct Case {
    std::vector<std::string> offered;
    std::string selected;
    bool refused;
  };
  for (const auto& [offered, selected, refused] : std::vector<Case>{
           {{"smtp"}, "smtp", false},
           {{"esmtp"}, "esmtp", false},
           {{"h2", "smtp"}, "smtp", false},
           {{"made-up"}, "", false},
           {{"h2", "made-up"}, "", false},
           {{"h2", "http/1.1"}, "", true},
           {{"imap"}, "", true},
       }) {
    const auto server = listener.accept();
    PlainClient client;
    client.offer_protocols(offered);
    Heard heard;
    pump(client, *server, heard);
    CAPTURE(offered);
    CHECK(heard.established == !refused);
    CHECK(server->facts().alpn == selected);
    REQUIRE(server->hello() != nullptr);
    CHECK(server->hello()->alpn == offered);
    if (refused) {
      REQUIRE(heard.failed);
      CHECK(heard.failed->reason == "the client speaks only other protocols (ALPN)");
      CHECK(heard.failed->alert_sent == 120);
    }
  }
}

TEST_CASE("ALPN at the policy host", "[context]") {
  const Listener listener({}, Application::Https);
  PlainClient browser, mailer;
  browser.offer_protocols({"h2", "http/1.1"});
  mailer.offer_protocols({"smtp"});
  CHECK(converse(browser, listener)->facts().alpn == "http/1.1");
  const auto server = listener.accept();
  Heard heard;
  pump(mailer, *server, heard);
  REQUIRE(heard.failed);
  CHECK(heard.failed->alert_sent == 120);
}

TEST_CASE("every kind of key can be served", "[context]") {
  const auto kind = GENERATE(KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa, KeyKind::Ed25519);
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const Listener listener;
  const auto credential = Listener::ca().issue({.names = {"k.example"}, .kind = kind}).credential();
  const auto server = Stream::server(listener.context, std::make_shared<MapSource>(credential));
  PlainClient client;
  SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
  const std::uint16_t schemes[] = {SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384,
                                   SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_ED25519};
  SSL_CTX_set_verify_algorithm_prefs(client.context(), schemes, 4);
  Heard heard;
  pump(client, *server, heard);
  CHECK(heard.established);
  CHECK(client.server_leaf() == credential->leaf.fingerprint);
  REQUIRE(server->hello() != nullptr);
  CHECK(server->hello()->accepts_ecdsa(group_p256));
  CHECK(server->hello()->accepts_ecdsa(group_p384));
  CHECK(server->hello()->accepts_rsa());
  CHECK(server->hello()->accepts_ed25519());
}

TEST_CASE("a client certificate is never asked for", "[context]") {
  const Listener listener;
  PlainClient client;
  bool asked = false;
  SSL_CTX_set_cert_cb(
      client.context(),
      [](SSL*, void* flag) {
        *static_cast<bool*>(flag) = true;
        return 1;
      },
      &asked);
  converse(client, listener);
  CHECK_FALSE(asked);
}

TEST_CASE("no certificate among the roots", "[context]") {
  const auto made = ClientContext::make({PeerCheck::Mode::Roots, "nothing"});
  REQUIRE_FALSE(made);
  CHECK(made.error().text == "trust anchors: no certificate there");
}
