#include "tls/digest.h"

#include "tests/support/catch.h"

using namespace postern::tls;

namespace {

std::string digits(const Sha256Digest& digest) {
  return hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace

TEST_CASE("SHA-256 and hexadecimal digits", "[digest]") {
  // FIPS 180-2, appendix B.1
  CHECK(digits(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex("") == "");
}

TEST_CASE("SHA-256 of a text is the same however it is cut", "[digest]") {
  const std::string text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";  // FIPS 180-2, appendix B.2
  const std::string expected = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(text.substr(0, cut));
    hash.update(text.substr(cut));
    CHECK(digits(hash.finish()) == expected);
  }
  CHECK(Sha256().finish() == sha256(""));
}

TEST_CASE("HMAC with SHA-256", "[digest]") {
  // RFC 4231, test case 2
  CHECK(digits(hmac_sha256("Jefe", "what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
