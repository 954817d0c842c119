#include "tls/pem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "tls/compat.h"

namespace postern::tls {

namespace {

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view dashes = "-----";

/// Takes RFC 1421 headers ("Proc-Type: 4,ENCRYPTED", then an empty line) off the front of a body.
std::string_view without_headers(std::string_view body, bool& encrypted) {
  const auto last_colon = body.rfind(':');
  if (last_colon == std::string_view::npos) return body;
  encrypted = body.find("ENCRYPTED") < last_colon || body.find("DEK-Info") != std::string_view::npos;
  return body.substr(std::min(body.find('\n', last_colon), body.size()));
}

}  // namespace

Result<std::vector<PemBlock>> read_pem(std::string_view text, std::string_view source) {
  std::vector<PemBlock> blocks;
  std::size_t line = 1;
  std::size_t counted_to = 0;
  std::size_t position = 0;
  while ((position = text.find(begin_mark, position)) != std::string_view::npos) {
    line += static_cast<std::size_t>(std::count(text.begin() + static_cast<std::ptrdiff_t>(counted_to),
                                                text.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
    counted_to = position;
    const auto label_begin = position + begin_mark.size();
    const auto label_end = text.find(dashes, label_begin);
    const auto line_end = std::min(text.find('\n', label_begin), text.size());
    if (label_end >= line_end) return fail("{}:{}: a BEGIN line without its closing dashes", source, line);
    PemBlock block;
    block.line = line;
    block.label = text.substr(label_begin, label_end - label_begin);

    const auto body_begin = label_end + dashes.size();
    const auto body_end = text.find(dashes, body_begin);
    const std::string end_mark = fmt::format("-----END {}-----", block.label);
    if (body_end == std::string_view::npos || text.compare(body_end, end_mark.size(), end_mark) != 0) {
      return fail("{}:{}: the {} block has no END line: the file is cut off or damaged", source, line,
                  escaped(block.label, 40));
    }
    block.base64 = without_headers(text.substr(body_begin, body_end - body_begin), block.encrypted);
    blocks.push_back(block);
    position = body_end + end_mark.size();
  }
  return blocks;
}

Result<std::string> decode_pem(const PemBlock& block, std::string_view source) {
  std::string compact;
  compact.reserve(block.base64.size());
  for (const char c : block.base64) {
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') compact += c;
  }
  std::size_t length = compact.size() / 4 * 3;
  std::string octets(length, '\0');
  const bool decoded = !compact.empty() &&
                       EVP_DecodeBase64(reinterpret_cast<std::uint8_t*>(octets.data()), &length, octets.size(),
                                        reinterpret_cast<const std::uint8_t*>(compact.data()), compact.size()) == 1;
  OPENSSL_cleanse(compact.data(), compact.size());
  if (!decoded) {
    return fail("{}:{}: the {} block is damaged: it is not base64", source, block.line, escaped(block.label, 40));
  }
  octets.resize(length);
  return octets;
}

std::string to_pem(std::string_view label, std::string_view octets) {
  constexpr std::size_t line_octets = 48;  // 64 characters (RFC 7468 section 2)
  std::string text = fmt::format("-----BEGIN {}-----\n", label);
  for (std::size_t at = 0; at < octets.size(); at += line_octets) {
    const auto piece = octets.substr(at, line_octets);
    std::array<std::uint8_t, line_octets / 3 * 4 + 1> base64{};
    const auto length =
        EVP_EncodeBlock(base64.data(), reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size());
    text.append(reinterpret_cast<const char*>(base64.data()), length) += '\n';
  }
  return text += fmt::format("-----END {}-----\n", label);
}

}  // namespace postern::tls
