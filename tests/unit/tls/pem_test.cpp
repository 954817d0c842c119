#include "tls/pem.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::tls;

TEST_CASE("blocks are found in order, with text around them", "[pem]") {
  const auto blocks = read_pem(
      "Bag Attributes\n-----BEGIN A-----\nAAEC\n-----END A-----\nsubject=x\r\n-----BEGIN B C-----\r\n/w==\r\n"
      "-----END B C-----",
      "f.pem");
  REQUIRE(blocks);
  REQUIRE(blocks->size() == 2);
  CHECK((*blocks)[0].label == "A");
  CHECK((*blocks)[0].line == 2);
  CHECK(decode_pem((*blocks)[0], "f.pem") == std::string("\x00\x01\x02", 3));
  CHECK((*blocks)[1].label == "B C");
  CHECK((*blocks)[1].line == 6);
  CHECK(decode_pem((*blocks)[1], "f.pem") == "\xff");
}

TEST_CASE("two files joined without a line break", "[pem]") {
  const auto blocks =
      read_pem("-----BEGIN A-----\nAAEC\n-----END A----------BEGIN A-----\nAAED\n-----END A-----\n", "f.pem");
  REQUIRE(blocks);
  REQUIRE(blocks->size() == 2);
  CHECK(decode_pem((*blocks)[1], "f.pem") == std::string("\x00\x01\x03", 3));
}

TEST_CASE("RFC 1421 headers say that a key is encrypted and are no part of the body", "[pem]") {
  const auto blocks = read_pem(
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n"
      "-----END RSA PRIVATE KEY-----\n",
      "f.pem");
  REQUIRE(blocks);
  REQUIRE(blocks->size() == 1);
  CHECK(blocks->front().encrypted);
  CHECK(decode_pem(blocks->front(), "f.pem") == std::string("\x00\x01\x02", 3));
}

TEST_CASE("nothing that looks like PEM is no block and no error", "[pem]") {
  CHECK(read_pem("", "f.pem")->empty());
  CHECK(read_pem("hello\n-----END A-----\n", "f.pem")->empty());
}

TEST_CASE("damaged blocks are errors with file and line", "[pem]") {
  CHECK(read_pem("\n\n-----BEGIN A-----\nAAEC\n", "f.pem").error().text ==
        "f.pem:3: the A block has no END line: the file is cut off or damaged");
  CHECK(read_pem("-----BEGIN A-----\nAAEC\n-----END B-----\n", "f.pem").error().text ==
        "f.pem:1: the A block has no END line: the file is cut off or damaged");
  CHECK(read_pem("-----BEGIN A\nAAEC\n-----END A-----\n", "f.pem").error().text ==
        "f.pem:1: a BEGIN line without its closing dashes");
  for (const std::string body : {"", "\n", "A===", "AAE", "A%EC"}) {
    const std::string text = "-----BEGIN A-----\n" + body + "\n-----END A-----\n";
    const auto blocks = read_pem(text, "f.pem");
    REQUIRE(blocks);
    CHECK(decode_pem(blocks->front(), "f.pem").error().text == "f.pem:1: the A block is damaged: it is not base64");
  }
}
