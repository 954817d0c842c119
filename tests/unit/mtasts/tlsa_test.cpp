#include "mtasts/tlsa.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tls/compat.h"
#include "tls/digest.h"
#include "tls/pem.h"
#include "tls/public_key.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

std::vector<std::string> der_of(const std::string& pem) {
  std::vector<std::string> made;
  const auto blocks = tls::read_pem(pem, "test");
  for (const auto& block : *blocks) made.push_back(*tls::decode_pem(block, "test"));
  return made;
}

std::string digest(std::string_view octets) {
  const auto made = tls::sha256(octets);
  return {reinterpret_cast<const char*>(made.data()), made.size()};
}

}  // namespace

TEST_CASE("a 3 1 1 record covers the key, however the certificate is renewed", "[tlsa]") {
  const test::TestCa ca = test::TestCa().intermediate("Intermediate");
  const test::TestKey key;
  const auto first = ca.issue({.names = {"mx.test"}, .key = key});
  const auto second = ca.issue({.names = {"mx.test"}, .key = key});
  const auto other = ca.issue({.names = {"mx.test"}});
  const auto record = tlsa_of_key(*tls::public_key_info_of_pem(first.key_pem, "key"));
  CHECK(record.usage == 3);
  CHECK(record == tlsa_of_key(*tls::public_key_info_of_pem(first.certificate_pem, "certificate")));
  CHECK(matched_certificate(record, der_of(first.chain_pem())) == 0);
  CHECK(matched_certificate(record, der_of(second.chain_pem())) == 0);
  CHECK_FALSE(matched_certificate(record, der_of(other.chain_pem())));
  CHECK(tlsa_owner(*DnsName::parse("mx.test")) == "_25._tcp.mx.test");
}

TEST_CASE("whole certificates, issuers and SHA-512", "[tlsa]") {
  const test::TestCa ca = test::TestCa().intermediate("Intermediate");
  const auto leaf = ca.issue({.names = {"mx.test"}});
  const auto chain = der_of(leaf.chain_pem());
  REQUIRE(chain.size() == 2);
  CHECK(matched_certificate({3, 0, 1, digest(chain[0])}, chain) == 0);
  CHECK(matched_certificate({3, 0, 0, chain[0]}, chain) == 0);
  CHECK(matched_certificate({2, 0, 1, digest(chain[1])}, chain) == 1);
  CHECK_FALSE(matched_certificate({3, 0, 1, digest(chain[1])}, chain));  // usage 3 is the leaf alone
  std::string sha512(SHA512_DIGEST_LENGTH, '\0');
  SHA512(reinterpret_cast<const std::uint8_t*>(chain[0].data()), chain[0].size(),
         reinterpret_cast<std::uint8_t*>(sha512.data()));
  CHECK(matched_certificate({3, 0, 2, sha512}, chain) == 0);
  CHECK_FALSE(matched_certificate({3, 1, 1, ""}, chain));
  CHECK_FALSE(matched_certificate({3, 1, 1, "x"}, {}));
}

TEST_CASE("mail senders use usages 2 and 3 alone", "[tlsa]") {
  CHECK(is_usable({3, 1, 1, ""}));
  CHECK(is_usable({2, 0, 2, ""}));
  CHECK_FALSE(is_usable({1, 1, 1, ""}));
  CHECK_FALSE(is_usable({0, 1, 1, ""}));
  CHECK_FALSE(is_usable({3, 2, 1, ""}));
  CHECK_FALSE(is_usable({3, 1, 3, ""}));
}
