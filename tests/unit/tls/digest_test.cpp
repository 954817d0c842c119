#include "tls/digest.h"

#include "tests/support/catch.h"

using namespace postern::tls;

TEST_CASE("SHA-256 and hexadecimal digits", "[digest]") {
  const auto digest = sha256("abc");  // FIPS 180-2, appendix B.1
  CHECK(hex({reinterpret_cast<const char*>(digest.data()), digest.size()}) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex("") == "");
}
