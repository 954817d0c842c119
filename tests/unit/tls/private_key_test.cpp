#include "tls/private_key.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

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
