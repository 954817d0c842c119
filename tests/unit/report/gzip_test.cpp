#include "report/gzip.h"

#include <zlib.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

std::string gzipped(const std::string& text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string made(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(made.data());
  stream.avail_out = static_cast<uInt>(made.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  made.resize(stream.total_out);
  deflateEnd(&stream);
  return made;
}

}  // namespace

TEST_CASE("gzip is undone, and damage is told", "[gzip]") {
  const std::string text(200'000, 'a');
  const auto packed = gzipped(text);
  CHECK(is_gzip(packed));
  CHECK_FALSE(is_gzip("{"));
  CHECK(gunzip(packed, text.size()) == text);
  CHECK(gunzip(packed.substr(0, packed.size() / 2), text.size()).error().text == "its gzip is cut off");
  auto damaged = packed;
  damaged[packed.size() / 2] = static_cast<char>(~damaged[packed.size() / 2]);
  CHECK_FALSE(gunzip(damaged, text.size()));
  CHECK_FALSE(gunzip("\x1f\x8b", 100));
}

TEST_CASE("a bomb is refused once it has grown over the limit", "[gzip]") {
  const auto bomb = gzipped(std::string(50'000'000, '\0'));
  REQUIRE(bomb.size() < 100'000);
  CHECK(gunzip(bomb, 1'000'000).error().text == "it decompresses to more than 1000000 octets");
}
