#include "tls/private_key.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tls/public_key.h"

using namespace postern;
using namespace postern::tls;

TEST_CASE("a key is found without being decoded, and decoded once", "[private_key]") {
  const test::TestKey ec;
  const test::TestKey rsa(KeyKind::Rsa);
  for (const auto& [pem, form] : {std::pair(ec.pem(), EncodedKey::Form::Pkcs8), {ec.sec1_pem(), EncodedKey::Form::Sec1},
                                  {rsa.pkcs1_pem(), EncodedKey::Form::Pkcs1}}) {
    auto encoded = find_key("\n" + pem, "k.pem");
    REQUIRE(encoded);
    CHECK(encoded->form == form);
    CHECK(encoded->line == 2);
    const PrivateKey key(std::move(*encoded));
    CHECK(key);
    EVP_PKEY* const decoded = key.get();
    REQUIRE(decoded != nullptr);
    CHECK(EVP_PKEY_cmp(decoded, (form == EncodedKey::Form::Pkcs1 ? rsa : ec).get()) == 1);
    CHECK(key.get() == decoded);
  }
}

TEST_CASE("a key that cannot be decoded is none to those who use it, and says why to those who check it", "[private_key]") {
  auto encoded = find_key("-----BEGIN PRIVATE KEY-----\nMAUCAQAwAA==\n-----END PRIVATE KEY-----\n", "k.pem");
  REQUIRE(encoded);
  const auto decoded = decode_key(*encoded, "k.pem");
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error().text.starts_with("k.pem:1: the private key cannot be used"));
  const PrivateKey key(std::move(*encoded));
  CHECK(key);
  CHECK(key.get() == nullptr);
}

TEST_CASE("no key, and keys that move", "[private_key]") {
  PrivateKey none;
  CHECK_FALSE(none);
  CHECK(none.get() == nullptr);
  const test::TestKey ec;
  none = PrivateKey(std::move(*find_key(ec.pem(), "k.pem")));
  EVP_PKEY* const decoded = none.get();
  CHECK(decoded != nullptr);
  PrivateKey moved(std::move(none));
  CHECK(moved.get() == decoded);
  moved = PrivateKey();
  CHECK_FALSE(moved);
}

TEST_CASE("what is no private key of ours", "[private_key]") {
  const test::TestKey ec;
  CHECK(find_key("", "k.pem").error().text == "k.pem: holds no private key");
  CHECK(find_key(ec.encrypted_pem(), "k.pem").error().text.find("is encrypted") != std::string::npos);
  CHECK(find_key("-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----\n", "k.pem")
            .error().text.starts_with("k.pem:1: a DSA PRIVATE KEY is of no use here"));
}

namespace {

/// Whether this private key says that it is that of a certificate for the other one.
bool claims(const std::string& pem, const test::TestKey& of_certificate, KeyKind kind) {
  const auto issued = test::TestCa().issue({.names = {"mx.example"}, .kind = kind, .key = of_certificate});
  const auto info = public_key_info_of_pem(issued.certificate_pem, "c.pem");
  return claims_public_key(*find_key(pem, "k.pem"), kind, *info);
}

}  // namespace

TEST_CASE("whose key a private key says that it is", "[private_key]") {
  for (const auto kind : {KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521, KeyKind::Rsa}) {
    const test::TestKey key(kind);
    const test::TestKey other(kind);
    const bool rsa = kind == KeyKind::Rsa;
    for (const auto& pem : {key.pem(), rsa ? key.pkcs1_pem() : key.sec1_pem()}) {
      CAPTURE(pem);
      CHECK(claims(pem, key, kind));
      CHECK_FALSE(claims(pem, other, kind));
      CHECK_FALSE(claims(pem, test::TestKey(rsa ? KeyKind::EcdsaP256 : KeyKind::Rsa), rsa ? KeyKind::EcdsaP256 : KeyKind::Rsa));
    }
  }
  const test::TestKey ed(KeyKind::Ed25519);
  CHECK_FALSE(claims(ed.pem(), ed, KeyKind::Ed25519));  // it does not say
}

TEST_CASE("what a private key says need not be true", "[private_key]") {
  const test::TestKey mine, theirs;
  const auto pem = mine.pem_beside(theirs);
  CHECK(claims(pem, theirs, KeyKind::EcdsaP256));
  CHECK_FALSE(PrivateKey(std::move(*find_key(pem, "k.pem"))).can_be_decoded());
  const PrivateKey good(std::move(*find_key(mine.pem(), "k.pem")));
  CHECK(good.can_be_decoded());
  CHECK_FALSE(good.is_decoded());
  CHECK(good.get() != nullptr);
  CHECK(good.is_decoded());
  CHECK_FALSE(PrivateKey().can_be_decoded());
}

TEST_CASE("a private key that is cut off or has a wrong octet says nothing wrong", "[private_key]") {
  const test::TestKey key;
  const auto issued = test::TestCa().issue({.names = {"mx.example"}, .key = key});
  const auto info = *public_key_info_of_pem(issued.certificate_pem, "c.pem");
  auto encoded = *find_key(key.sec1_pem(), "k.pem");
  const std::string whole = encoded.der;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    encoded.der = whole.substr(0, size);
    CHECK_FALSE(claims_public_key(encoded, KeyKind::EcdsaP256, info));
  }
  for (std::size_t at = whole.size() - 65; at < whole.size(); ++at) {  // the point
    encoded.der = whole;
    encoded.der[at] = static_cast<char>(encoded.der[at] ^ 1);
    CHECK_FALSE(claims_public_key(encoded, KeyKind::EcdsaP256, info));
  }
  for (std::size_t size = 0; size < info.size(); ++size) {
    encoded.der = whole;
    CHECK_FALSE(claims_public_key(encoded, KeyKind::EcdsaP256, info.substr(0, size)));
  }
}
