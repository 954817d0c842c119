#include "tls/client_hello.h"

#include <random>

#include "tests/support/catch.h"
#include "tests/support/tls_peers.h"

using namespace postern;
using namespace postern::tls;
using State = ClientHelloReader::State;

namespace {

std::string u8(std::size_t value) { return std::string(1, static_cast<char>(value)); }
std::string u16(std::size_t value) { return u8(value >> 8) + u8(value & 0xff); }
std::string prefixed8(const std::string& body) { return u8(body.size()) + body; }
std::string prefixed16(const std::string& body) { return u16(body.size()) + body; }

std::string u16s(const std::vector<std::uint16_t>& values) {
  std::string list;
  for (const auto value : values) list += u16(value);
  return list;
}

std::string extension(std::uint16_t type, const std::string& body) { return u16(type) + prefixed16(body); }
std::string server_name(const std::string& name) {
  return extension(0, prefixed16(u8(0) + prefixed16(name)));
}
std::string groups(const std::vector<std::uint16_t>& values) { return extension(10, prefixed16(u16s(values))); }
std::string schemes(const std::vector<std::uint16_t>& values) { return extension(13, prefixed16(u16s(values))); }
std::string versions(const std::vector<std::uint16_t>& values) { return extension(43, prefixed8(u16s(values))); }

/// The body of a ClientHello with these extensions.
std::string body(const std::string& extensions, const std::vector<std::uint16_t>& suites = {0xc02b, 0xc02f}) {
  return u16(0x0303) + std::string(32, 'r') + prefixed8("") + prefixed16(u16s(suites)) + prefixed8(u8(0)) +
         prefixed16(extensions);
}

std::string handshake(const std::string& body) { return u8(1) + u8(body.size() >> 16) + u16(body.size() & 0xffff) + body; }
std::string record(const std::string& fragment, int type = 22) { return u8(static_cast<std::size_t>(type)) + u16(0x0301) + prefixed16(fragment); }

ClientHello parse(const std::string& extensions, const std::vector<std::uint16_t>& suites = {0xc02b, 0xc02f}) {
  const auto hello = parse_client_hello(body(extensions, suites));
  REQUIRE(hello);
  return *hello;
}

}  // namespace

TEST_CASE("everything in a ClientHello", "[client_hello]") {
  const ClientHello hello =
      parse(server_name("MX.Example.com") + groups({29, 23}) + schemes({0x0403, 0x0804}) + versions({0x0304, 0x0303}) +
                extension(16, prefixed16(prefixed8("smtp") + prefixed8("h2"))) + extension(35, "ticket") +
                extension(0x1234, "unknown"),
            {0x1301, 0xc02b});
  CHECK(hello.sni == SniKind::HostName);
  CHECK(hello.raw_server_name == "MX.Example.com");
  CHECK(hello.server_name == DnsName::parse("mx.example.com"));
  CHECK(hello.versions == std::vector<std::uint16_t>{0x0304, 0x0303});
  CHECK(hello.cipher_suites == std::vector<std::uint16_t>{0x1301, 0xc02b});
  CHECK(hello.groups == std::vector<std::uint16_t>{29, 23});
  CHECK(hello.signature_schemes == std::vector<std::uint16_t>{0x0403, 0x0804});
  CHECK(hello.alpn == std::vector<std::string>{"smtp", "h2"});
  CHECK(hello.has_session_ticket);
  CHECK(hello.offers_tls13());
}

TEST_CASE("a ClientHello without extensions", "[client_hello]") {
  std::string bare = body("");
  bare.resize(bare.size() - 2);
  for (const std::string& text : {bare, body("")}) {
    const auto hello = parse_client_hello(text);
    REQUIRE(hello);
    CHECK(hello->sni == SniKind::Absent);
    CHECK(hello->versions == std::vector<std::uint16_t>{0x0303});
    CHECK_FALSE(hello->has_session_ticket);
    CHECK_FALSE(hello->offers_tls13());
  }
}

TEST_CASE("what a server name is", "[client_hello]") {
  const auto kind = [](const std::string& name) { return parse(server_name(name)).sni; };
  CHECK(kind("mx.example.com") == SniKind::HostName);
  CHECK(kind("mx.example.com.") == SniKind::HostName);
  CHECK(kind("dummy") == SniKind::HostName);
  CHECK(kind("_x.example") == SniKind::HostName);
  CHECK(kind("192.0.2.1") == SniKind::Unusable);
  CHECK(kind("2001:db8::1") == SniKind::Unusable);
  CHECK(kind("[192.0.2.1]") == SniKind::Unusable);
  CHECK(kind("a b") == SniKind::Unusable);
  CHECK(kind(".") == SniKind::Unusable);
  CHECK(kind("..") == SniKind::Unusable);
  CHECK(kind("\xc3\xa4.example") == SniKind::Unusable);
  CHECK(kind(std::string(255, 'a')) == SniKind::Unusable);
  CHECK(kind("") == SniKind::Malformed);
  CHECK(kind(std::string("a\0b", 3)) == SniKind::Malformed);
  CHECK(kind(std::string(256, 'a')) == SniKind::Malformed);
  CHECK(parse(server_name(std::string(256, 'a'))).raw_server_name == std::string(255, 'a'));

  const auto raw_kind = [](const std::string& extension_body) { return parse(extension(0, extension_body)).sni; };
  CHECK(raw_kind("") == SniKind::Malformed);
  CHECK(raw_kind(prefixed16("")) == SniKind::Malformed);
  CHECK(raw_kind(prefixed16(u8(1) + prefixed16("a.example"))) == SniKind::Malformed);
  CHECK(raw_kind(prefixed16(u8(0) + prefixed16("a.example")) + "x") == SniKind::Malformed);
  CHECK(raw_kind(prefixed16(u8(0) + prefixed16("a.example") + u8(0) + prefixed16("b.example"))) == SniKind::Malformed);
  CHECK_FALSE(parse(server_name("192.0.2.1")).server_name);
}

TEST_CASE("broken framing is no ClientHello", "[client_hello]") {
  const std::string whole = body(server_name("mx.example.com") + groups({29}));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    // Up to TLS 1.2 it may end before the extensions.
    const bool ends_before_extensions = length == 2 + 32 + 1 + 2 + 4 + 2;
    CHECK(parse_client_hello(whole.substr(0, length)).has_value() == ends_before_extensions);
  }
  CHECK_FALSE(parse_client_hello(whole + "x"));
  CHECK_FALSE(parse_client_hello(body(groups({29}) + groups({29}))));
  CHECK_FALSE(parse_client_hello(u16(0x0303) + std::string(32, 'r') + prefixed8(std::string(33, 's')) +
                                 prefixed16(u16(0xc02b)) + prefixed8(u8(0))));
  CHECK_FALSE(parse_client_hello(u16(0x0303) + std::string(32, 'r') + prefixed8("") + prefixed16("abc") +
                                 prefixed8(u8(0))));
}

TEST_CASE("extensions that cannot be read count as absent", "[client_hello]") {
  const ClientHello hello = parse(extension(10, "x") + extension(13, prefixed16("abc")) + extension(16, "\xff") +
                                  extension(43, prefixed8("")) + extension(35, ""));
  CHECK(hello.groups.empty());
  CHECK(hello.signature_schemes.empty());
  CHECK(hello.alpn.empty());
  CHECK(hello.versions == std::vector<std::uint16_t>{0x0303});
  CHECK_FALSE(hello.has_session_ticket);
  CHECK(parse(extension(41, "psk")).has_session_ticket);
}

TEST_CASE("which keys a TLS 1.3 client can verify", "[client_hello]") {
  const auto hello = [](const std::vector<std::uint16_t>& offered) {
    return parse(versions({0x0a0a, 0x0304}) + groups({29, 23, 24}) + schemes(offered), {0x1301});
  };
  CHECK(hello({0x0403}).accepts_ecdsa(group_p256));
  CHECK_FALSE(hello({0x0403}).accepts_ecdsa(group_p384));
  CHECK(hello({0x0503}).accepts_ecdsa(group_p384));
  CHECK(hello({0x0603}).accepts_ecdsa(group_p521));
  CHECK_FALSE(hello({0x0403}).accepts_ecdsa(group_x25519));
  CHECK_FALSE(hello({0x0804}).accepts_ecdsa(group_p256));
  CHECK(hello({0x0804}).accepts_rsa());
  CHECK(hello({0x0806}).accepts_rsa());
  CHECK_FALSE(hello({0x0401}).accepts_rsa());  // PKCS#1 signatures are not for TLS 1.3 handshakes
  CHECK_FALSE(hello({0x0403}).accepts_rsa());
  CHECK(hello({0x0807}).accepts_ed25519());
  CHECK_FALSE(hello({0x0403}).accepts_ed25519());
}

TEST_CASE("which keys a TLS 1.2 client can verify", "[client_hello]") {
  const auto hello = [](const std::vector<std::uint16_t>& suites, const std::string& extensions) {
    return parse(extensions, suites);
  };
  const std::string usual = groups({29, 23}) + schemes({0x0403, 0x0401});
  CHECK(hello({0xc02b}, usual).accepts_ecdsa(group_p256));
  CHECK_FALSE(hello({0xc02b}, usual).accepts_ecdsa(group_p384));
  CHECK_FALSE(hello({0xc02f}, usual).accepts_ecdsa(group_p256));
  CHECK_FALSE(hello({0xc02b}, groups({29, 23}) + schemes({0x0401})).accepts_ecdsa(group_p256));
  CHECK_FALSE(hello({0xc02b}, schemes({0x0403})).accepts_ecdsa(group_p256));
  CHECK(hello({0xc02b}, groups({23})).accepts_ecdsa(group_p256));  // no schemes: SHA-1 is meant
  CHECK_FALSE(hello({0xc02b}, groups({25}) + schemes({0x0603})).accepts_ecdsa(group_p521));  // no common group

  CHECK(hello({0xc02f}, usual).accepts_rsa());
  CHECK_FALSE(hello({0xc02b}, usual).accepts_rsa());
  CHECK_FALSE(hello({0xc02f}, groups({29}) + schemes({0x0403})).accepts_rsa());
  CHECK(hello({0xc02f}, groups({29}) + schemes({0x0804})).accepts_rsa());
  CHECK_FALSE(hello({0xc02f}, groups({256})).accepts_rsa());
  CHECK(hello({0x002f}, "").accepts_rsa());  // static RSA signs nothing

  CHECK(hello({0xc02b}, groups({29}) + schemes({0x0807})).accepts_ed25519());
  CHECK_FALSE(hello({0xc02f}, groups({29}) + schemes({0x0807})).accepts_ed25519());
  CHECK_FALSE(hello({0xc02b}, groups({29})).accepts_ed25519());
}

TEST_CASE("the reader finds a ClientHello however it is cut", "[client_hello]") {
  const std::string message = handshake(body(server_name("mx.example.com") + extension(21, std::string(700, '\0'))));
  const auto expected = parse_client_hello(std::string_view(message).substr(4));
  for (const std::size_t fragment : {std::size_t{1}, std::size_t{3}, std::size_t{5}, std::size_t{500}, message.size()}) {
    std::string records;
    for (std::size_t at = 0; at < message.size(); at += fragment) records += record(message.substr(at, fragment));
    for (const std::size_t segment : {std::size_t{1}, std::size_t{7}, std::size_t{1460}}) {
      ClientHelloReader reader;
      for (std::size_t at = 0; at < records.size(); at += segment) {
        CHECK(reader.state() == State::NeedMore);
        reader.receive(std::string_view(records).substr(at, segment));
      }
      REQUIRE(reader.state() == State::Complete);
      CHECK(reader.hello() == *expected);
    }
  }
}

TEST_CASE("what follows the ClientHello does not matter", "[client_hello]") {
  ClientHelloReader reader;
  CHECK(reader.receive(record(handshake(body("")) + "more") + "garbage") == State::Complete);
  CHECK(reader.receive("still more") == State::Complete);
  CHECK(reader.take_hello() == *parse_client_hello(body("")));
}

TEST_CASE("what is no TLS, and what is broken TLS", "[client_hello]") {
  const auto state = [](std::string_view bytes) { return ClientHelloReader().receive(bytes); };
  CHECK(state("") == State::NeedMore);
  CHECK(state("EHLO x\r\n") == State::NotTls);
  CHECK(state("\x80\x2e\x01\x03\x01") == State::NotTls);  // an SSL 2.0 ClientHello
  CHECK(state("\x16\x02") == State::NotTls);
  CHECK(state("\x15") == State::Malformed);                // an alert
  CHECK(state(record("x", 23)) == State::NotTls);
  CHECK(state(record("\x02")) == State::Malformed);        // a ServerHello
  CHECK(state(record(std::string("\x01\x00", 2)) + record("x", 23)) == State::Malformed);
  CHECK(state("\x16\x03\x01\x40\x01") == State::Malformed);  // a record over 16,384 octets
  CHECK(state(record(handshake("too short"))) == State::Malformed);
}

TEST_CASE("the reader has limits", "[client_hello]") {
  const auto state = [](std::string_view bytes) { return ClientHelloReader().receive(bytes); };
  std::string empty_records;
  for (int i = 0; i < 32; ++i) empty_records += record("");
  CHECK(state(empty_records) == State::NeedMore);
  CHECK(state(empty_records + record("")) == State::Malformed);

  const auto cut = [](const std::string& message) {
    std::string records;
    for (std::size_t at = 0; at < message.size(); at += 16384) records += record(message.substr(at, 16384));
    return records;
  };
  const std::size_t overhead = 4 + body(extension(21, "")).size();
  const auto padded = [&](std::size_t octets) {
    return handshake(body(extension(21, std::string(octets - overhead, '\0'))));
  };
  CHECK(state(cut(padded(ClientHelloReader::octets_max))) == State::Complete);
  // One more is refused as soon as its length is known.
  CHECK(state(record(std::string("\x01\x00\xff\xfd", 4))) == State::Malformed);
}

TEST_CASE("reader and BoringSSL see the same server name in damaged ClientHellos", "[client_hello]") {
  struct Seen {
    bool called = false;
    std::string name;
  };
  const bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX_set_select_certificate_cb(context.get(), [](const SSL_CLIENT_HELLO* hello) {
    auto* seen = static_cast<Seen*>(SSL_get_app_data(hello->ssl));
    const char* name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    seen->called = true;
    seen->name = name == nullptr ? "" : name;
    return ssl_select_cert_error;
  });
  test::PlainClient client;
  client.set_server_name("mx.example.com");
  client.offer_protocols({"smtp"});
  client.handshake();
  const std::string flight = client.take_output();
  std::mt19937 generator(3);
  int called = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = flight;
    for (int i = 0; i < round % 4; ++i) damaged[generator() % damaged.size()] = static_cast<char>(generator() % 40);
    Seen seen;
    const bssl::UniquePtr<SSL> ssl(SSL_new(context.get()));
    SSL_set_app_data(ssl.get(), &seen);
    SSL_set_bio(ssl.get(), BIO_new_mem_buf(damaged.data(), static_cast<int>(damaged.size())), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl.get());
    SSL_do_handshake(ssl.get());
    ERR_clear_error();

    ClientHelloReader reader;
    reader.receive(damaged);
    if (seen.called) {
      ++called;
      REQUIRE(reader.state() == State::Complete);
      CHECK(reader.hello().raw_server_name == seen.name);
      CHECK(reader.hello().sni != SniKind::Malformed);
    }
  }
  CHECK(called > 1000);
}
