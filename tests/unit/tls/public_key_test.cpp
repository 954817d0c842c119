#include "tls/public_key.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tls/certificate_der.h"
#include "tls/pem.h"

using namespace postern;

TEST_CASE("certificate, private key and public key of one pair say the same", "[public_key]") {
  for (const auto kind : {tls::KeyKind::EcdsaP256, tls::KeyKind::Rsa, tls::KeyKind::Ed25519}) {
    const test::TestKey key(kind);
    const auto issued = test::TestCa().issue({.names = {"mx.test"}, .kind = kind, .key = key});
    const auto of_certificate = tls::public_key_info_of_pem(issued.certificate_pem, "certificate");
    REQUIRE(of_certificate);
    CHECK(tls::public_key_info_of_pem(issued.key_pem, "key") == of_certificate);
    CHECK(tls::public_key_info_of_pem(tls::to_pem("PUBLIC KEY", *of_certificate), "public") == of_certificate);
  }
}

TEST_CASE("what holds no key says so", "[public_key]") {
  CHECK(tls::public_key_info_of_pem("", "file").error().text == "file: holds no private key");
  CHECK_FALSE(tls::public_key_info_of_pem(tls::to_pem("CERTIFICATE", "no certificate"), "file"));
  CHECK(tls::public_key_info_of_pem(test::TestKey().encrypted_pem(), "file").error().text.find("is encrypted") !=
        std::string::npos);
  CHECK_FALSE(tls::public_key_info_of_der("no certificate"));
}
