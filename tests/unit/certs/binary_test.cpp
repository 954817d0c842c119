#include "certs/binary.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::certs;

TEST_CASE("what is written is read again") {
  BinaryWriter out;
  tls::Digest digest{};
  digest[31] = 7;
  out.number(0);
  out.number(UINT64_MAX);
  out.text("");
  out.text(std::string("a\0b", 3));
  out.digest(std::nullopt);
  out.digest(digest);
  const std::string octets = out.take();
  BinaryReader in(octets);
  CHECK(in.number() == 0);
  CHECK(in.number() == UINT64_MAX);
  CHECK(in.text().empty());
  CHECK(in.text() == std::string("a\0b", 3));
  CHECK_FALSE(in.digest());
  CHECK_FALSE(in.at_end());
  CHECK(in.digest() == digest);
  CHECK(in.at_end());
}

TEST_CASE("a reader beyond the end gives zeros, and remembers") {
  BinaryReader in({"\5\0\0\0\0\0\0\0abc", 11});
  CHECK(in.text().empty());
  CHECK_FALSE(in.good());
  CHECK(in.number() == 0);
  CHECK(in.count() == 0);
  CHECK_FALSE(in.at_end());
}

TEST_CASE("content with its digest") {
  const auto octets = with_digest("content");
  CHECK(checked_content(octets).value() == "content");
  CHECK(checked_content(octets.substr(1)).error().text == "is damaged: its digest is another one");
  CHECK(checked_content("short").error().text == "is cut off");
}
