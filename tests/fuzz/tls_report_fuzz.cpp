// Invariant: whatever the bytes are, reading them ends in a report or in a sentence, within bounds; and a report says the
// same when its text comes compressed, and when that comes attached to a mail.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "report/tlsrpt.h"
#include "report/tlsrpt_table.h"
#include "tls/compat.h"

#include <zlib.h>

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string gzipped(std::string_view text) {
  z_stream stream{};
  require(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string made(deflateBound(&stream, static_cast<uLong>(text.size())) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(made.data());
  stream.avail_out = static_cast<uInt>(made.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  made.resize(stream.total_out);
  deflateEnd(&stream);
  return made;
}

std::string base64(std::string_view octets) {
  std::string made(4 * ((octets.size() + 2) / 3) + 1, '\0');
  made.resize(EVP_EncodeBlock(reinterpret_cast<std::uint8_t*>(made.data()),
                              reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()));
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  const auto read = report::read_tls_report(octets);
  require(read.has_value() || !read.error().text.empty());
  const auto report = report::read_tls_report_json(octets);
  if (!report) return 0;
  const auto compressed = gzipped(octets);
  const auto from_gzip = report::read_tls_report(compressed);
  require(from_gzip && *from_gzip == *report);
  const auto from_mail = report::read_tls_report(
      "Subject: Report\r\nContent-Type: multipart/report; boundary=\"=_b\"\r\n\r\n--=_b\r\n\r\nhello\r\n--=_b\r\n"
      "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
      base64(compressed) + "\r\n--=_b--\r\n");
  require(from_mail && *from_mail == *report);
  report::TlsReportTable table;
  table.add(*report);
  for (const auto& row : table.rows()) {
    for (const char c : row.domain + row.sender + row.result + row.mx) require(c >= ' ' && c <= '~');
  }
  return 0;
}
