#include "tls/parameter_names.h"

#include "tests/support/catch.h"

using namespace postern::tls;

TEST_CASE("what BoringSSL can use has a name, the rest is a number", "[parameter_names]") {
  CHECK(cipher_suite_name(0x1301) == "TLS_AES_128_GCM_SHA256");
  CHECK(cipher_suite_name(0xc02f) == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
  CHECK(cipher_suite_name(0x0033) == "0x0033");  // finite-field Diffie-Hellman
  CHECK(group_name(29) == "X25519");
  CHECK(group_name(0x0100) == "0x0100");  // ffdhe2048
  CHECK(signature_scheme_name(0x0403) == "ecdsa_secp256r1_sha256");
  CHECK(signature_scheme_name(0x0202) == "0x0202");  // DSA
}
