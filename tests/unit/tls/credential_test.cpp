#include "tls/credential.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::tls;
using test::LeafRequest;
using test::TestCa;
using test::TestKey;

namespace {

DnsName name(std::string_view text) { return DnsName::parse(text).value(); }

std::string error_of(std::string_view chain, std::string_view key) {
  const auto made = make_credential(chain, "chain.pem", key, "key.pem");
  REQUIRE_FALSE(made);
  return made.error().text;
}

}  // namespace

TEST_CASE("the facts of a leaf", "[credential]") {
  const TestCa ca("Some CA (1)");
  const auto issued = ca.issue({.names = {"MX.Example.com", "*.example.net", "mx.example.com", "f*.example.com", "a b"},
                                .common_name = "mx\n",
                                .not_before = test::test_now() - std::chrono::hours(1),
                                .not_after = test::test_now() + std::chrono::seconds(90061)});
  const auto credential = issued.credential();
  const LeafFacts& leaf = credential->leaf;
  CHECK(leaf.names == std::vector{name("mx.example.com")});
  CHECK(leaf.wildcards == std::vector{name("example.net")});
  CHECK(leaf.subject == "mx\\x0a");
  CHECK(leaf.issuer == "Some CA \\x281\\x29");
  CHECK(leaf.not_before == test::test_now() - std::chrono::hours(1));
  CHECK(leaf.not_after == test::test_now() + std::chrono::seconds(90061));
  CHECK(leaf.key_kind == KeyKind::EcdsaP256);
  CHECK(leaf.key_bits == 256);
  CHECK_FALSE(leaf.self_signed);
  CHECK(credential->source == "test chain");
  CHECK(credential->notes.empty());
  CHECK(credential->chain.size() == 1);

  Digest expected{};
  SHA256(CRYPTO_BUFFER_data(credential->chain.front().get()), CRYPTO_BUFFER_len(credential->chain.front().get()),
         expected.data());
  CHECK(leaf.fingerprint == expected);
  CHECK(make_deferred_credential(issued.chain_pem(), "chain.pem", nullptr).value()->leaf == leaf);
}

TEST_CASE("the common name counts only without a subjectAltName", "[credential]") {
  const TestCa ca;
  CHECK(ca.issue({.names = {}, .common_name = "mx.example.com"}).credential()->leaf.names ==
        std::vector{name("mx.example.com")});
  CHECK(ca.issue({.names = {}, .common_name = "Example Inc."}).credential()->leaf.names.empty());
  CHECK(ca.issue({.names = {"a.example"}, .common_name = "mx.example.com"}).credential()->leaf.names ==
        std::vector{name("a.example")});
}

TEST_CASE("which names a leaf covers", "[credential]") {
  const TestCa ca;
  const auto credential = ca.issue({.names = {"example.com", "*.example.net"}}).credential();
  CHECK(credential->leaf.covers(name("example.com")));
  CHECK(credential->leaf.covers(name("a.example.net")));
  CHECK_FALSE(credential->leaf.covers(name("a.example.com")));
  CHECK_FALSE(credential->leaf.covers(name("example.net")));
  CHECK_FALSE(credential->leaf.covers(name("a.b.example.net")));
}

TEST_CASE("all kinds of keys that are served", "[credential]") {
  const TestCa ca;
  const auto kind = GENERATE(KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521, KeyKind::Rsa, KeyKind::Ed25519);
  const auto credential = ca.issue({.names = {"a.example"}, .kind = kind}).credential();
  CHECK(credential->leaf.key_kind == kind);
  const std::map<KeyKind, unsigned> bits{{KeyKind::EcdsaP256, 256},
                                         {KeyKind::EcdsaP384, 384},
                                         {KeyKind::EcdsaP521, 521},
                                         {KeyKind::Rsa, 2048},
                                         {KeyKind::Ed25519, 253}};
  CHECK(credential->leaf.key_bits == bits.at(kind));
}

TEST_CASE("names of keys and matches for people", "[credential]") {
  std::set<std::string_view> kinds, matches;
  for (const auto kind :
       {KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521, KeyKind::Rsa, KeyKind::Ed25519}) {
    kinds.insert(to_string(kind));
  }
  CHECK(kinds == std::set<std::string_view>{"ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519", "RSA"});
  for (const auto match : {Match::Exact, Match::Wildcard, Match::Parent, Match::Default}) {
    matches.insert(to_string(match));
  }
  CHECK(matches == std::set<std::string_view>{"default", "exact", "parent", "wildcard"});
}

TEST_CASE("private keys in PKCS#8, SEC1 and PKCS#1 form", "[credential]") {
  const TestCa ca;
  const TestKey ec;
  const auto ec_leaf = ca.issue({.names = {"a.example"}, .key = ec});
  CHECK(make_credential(ec_leaf.chain_pem(), "c", ec.pem(), "k"));
  CHECK(make_credential(ec_leaf.chain_pem(), "c", ec.sec1_pem(), "k"));
  // `openssl ecparam -genkey` puts the curve in front.
  CHECK(make_credential(ec_leaf.chain_pem(), "c",
                        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" +
                            ec.sec1_pem(),
                        "k"));
  const TestKey rsa(KeyKind::Rsa);
  const auto rsa_leaf = ca.issue({.names = {"a.example"}, .key = rsa});
  CHECK(make_credential(rsa_leaf.chain_pem(), "c", rsa.pem(), "k"));
  CHECK(make_credential(rsa_leaf.chain_pem(), "c", rsa.pkcs1_pem(), "k"));
  const std::string combined = ec_leaf.combined_pem();
  CHECK(make_credential(combined, "f", combined, "f"));
}

TEST_CASE("a chain is sent leaf first, then issuer by issuer", "[credential]") {
  const TestCa root("Root");
  const TestCa outer = root.intermediate("Outer");
  const TestCa inner = outer.intermediate("Inner");
  const auto issued = inner.issue({.names = {"mx.example.com"}});
  const auto expected = issued.credential();
  REQUIRE(expected->chain.size() == 3);
  CHECK(expected->notes.empty());

  std::vector<std::string> parts{issued.certificate_pem, inner.certificate_pem(), outer.certificate_pem()};
  std::sort(parts.begin(), parts.end());
  do {
    const std::string text = parts[0] + parts[1] + parts[2];
    const auto made = make_credential(text, "chain.pem", issued.key_pem, "key.pem");
    REQUIRE(made);
    REQUIRE((*made)->chain.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      // The pool makes equal certificates one object.
      CHECK((*made)->chain[i].get() == expected->chain[i].get());
    }
    if (text == issued.chain_pem()) {
      CHECK((*made)->notes.empty());
    } else {
      CHECK((*made)->notes == std::vector<std::string>{"chain.pem: the chain is out of order; it is sent leaf first, "
                                                       "then issuer by issuer"});
    }
    CHECK(make_deferred_credential(text, "chain.pem", nullptr).value()->leaf == expected->leaf);
  } while (std::next_permutation(parts.begin(), parts.end()));
}

TEST_CASE("certificates that belong to no link stay behind, duplicates go", "[credential]") {
  const TestCa ca = TestCa("Root").intermediate("Inner");
  const TestCa stranger("Stranger");
  const auto issued = ca.issue({.names = {"mx.example.com"}});
  const auto made =
      make_credential(issued.certificate_pem + stranger.certificate_pem() + issued.chain_pem(), "c", issued.key_pem, "k");
  REQUIRE(made);
  REQUIRE((*made)->chain.size() == 3);
  CHECK((*made)->chain[1].get() == issued.credential()->chain[1].get());
  CHECK((*made)->notes.size() == 2);
}

TEST_CASE("a self-signed certificate is known as one", "[credential]") {
  const auto issued = test::self_signed({.names = {"mx.example.com"}});
  CHECK(issued.credential()->leaf.self_signed);
  // The same name for subject and issuer alone does not make a certificate self-signed.
  CHECK_FALSE(TestCa("mx.example.com").issue({.names = {"mx.example.com"}}).credential()->leaf.self_signed);
}

TEST_CASE("errors name the file and what to do", "[credential]") {
  const TestCa ca;
  const TestKey key;
  const auto issued = ca.issue({.names = {"mx.example.com"}, .key = key});
  const std::string& chain = issued.certificate_pem;

  CHECK(error_of("", key.pem()) == "chain.pem: holds no certificate");
  CHECK(error_of(key.pem(), key.pem()) == "chain.pem: holds no certificate");
  CHECK(error_of("\x30\x82", key.pem()) ==
        "chain.pem: holds no certificate in PEM form; it looks like DER: convert it with `openssl x509 -inform DER`");
  CHECK(error_of("-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n", key.pem()) ==
        "chain.pem:1: the certificate is damaged: it is not an X.509 structure");
  CHECK(error_of(chain, chain) == "key.pem: holds no private key");
  CHECK(error_of(chain, key.encrypted_pem()) ==
        "key.pem: the private key is encrypted: decrypt it with `openssl pkey -in key.pem -out FILE`");
  CHECK(error_of(chain, "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n"
                        "-----END EC PRIVATE KEY-----\n") ==
        "key.pem: the private key is encrypted: decrypt it with `openssl pkey -in key.pem -out FILE`");
  CHECK(error_of(chain, "-----BEGIN DSA PRIVATE KEY-----\nAAEC\n-----END DSA PRIVATE KEY-----\n") ==
        "key.pem:1: a DSA PRIVATE KEY is of no use here: postern serves EC keys on P-256, P-384 and P-521, RSA and "
        "Ed25519");
  CHECK_THAT(error_of(chain, "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"),
             Catch::Matchers::StartsWith("key.pem:1: the private key cannot be used: decode error: postern serves"));
  CHECK(error_of(chain, TestKey().pem()) ==
        "key.pem: the key does not match the certificate of mx.example.com in chain.pem");
  CHECK(error_of(chain, TestKey(KeyKind::Ed25519).pem()) ==
        "key.pem: the key does not match the certificate of mx.example.com in chain.pem");
  CHECK(error_of(ca.issue({.names = {"*.example.net"}}).certificate_pem, key.pem()) ==
        "key.pem: the key does not match the certificate of *.example.net in chain.pem");
  CHECK(ERR_peek_error() == 0);
}
