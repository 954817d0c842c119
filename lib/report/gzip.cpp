#include "report/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace postern::report {

namespace {

constexpr int gzip_window_bits = 15 + 16;  // zlib: the largest window, and a gzip header

class Inflation {
 public:
  Inflation() { good_ = inflateInit2(&stream_, gzip_window_bits) == Z_OK; }
  ~Inflation() {
    if (good_) inflateEnd(&stream_);
  }
  Inflation(const Inflation&) = delete;
  Inflation& operator=(const Inflation&) = delete;
  z_stream* operator->() { return &stream_; }
  z_stream* get() { return &stream_; }
  bool good() const { return good_; }

 private:
  z_stream stream_{};
  bool good_ = false;
};

}  // namespace

bool is_gzip(std::string_view octets) { return octets.starts_with("\x1f\x8b"); }

Result<std::string> gunzip(std::string_view octets, std::size_t octets_max) {
  Inflation inflation;
  if (!inflation.good()) return fail("no memory to decompress it");
  // zlib takes its input through a pointer to non-const, and does not write there.
  inflation->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
  inflation->avail_in = static_cast<uInt>(std::min<std::size_t>(octets.size(), UINT32_MAX));
  std::string made;
  std::array<char, 64 * 1024> piece{};
  for (;;) {
    inflation->next_out = reinterpret_cast<Bytef*>(piece.data());
    inflation->avail_out = static_cast<uInt>(piece.size());
    const int status = inflate(inflation.get(), Z_NO_FLUSH);
    made.append(piece.data(), piece.size() - inflation->avail_out);
    if (made.size() > octets_max) return fail("it decompresses to more than {} octets", octets_max);
    if (status == Z_STREAM_END) return made;
    if (status != Z_OK) return fail("its gzip is {}", status == Z_BUF_ERROR ? "cut off" : "damaged");
  }
}

}  // namespace postern::report
