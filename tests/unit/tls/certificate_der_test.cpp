#include "tls/certificate_der.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::tls;

TEST_CASE("the parts of a certificate") {
  const auto credential = test::TestCa().intermediate("Sub").issue({.names = {"a.example"}}).credential();
  const auto leaf = parts_of(credential->chain[0].get());
  const auto issuer = parts_of(credential->chain[1].get());
  REQUIRE(leaf);
  REQUIRE(issuer);
  CHECK(leaf->issuer == issuer->subject);
  CHECK(leaf->subject.find("a.example") != std::string_view::npos);
  CHECK_FALSE(leaf->serial.empty());
  CHECK(leaf->public_key.size() == 65);  // an uncompressed point of P-256
}

TEST_CASE("what is cut off has no parts") {
  const auto credential = test::TestCa().issue({.names = {"a.example"}}).credential();
  const CRYPTO_BUFFER* whole = credential->chain[0].get();
  for (std::size_t length = 0; length < CRYPTO_BUFFER_len(whole); ++length) {
    const bssl::UniquePtr<CRYPTO_BUFFER> part(CRYPTO_BUFFER_new(CRYPTO_BUFFER_data(whole), length, nullptr));
    CHECK_FALSE(parts_of(part.get()));
  }
}
