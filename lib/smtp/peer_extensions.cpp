#include "smtp/peer_extensions.h"

#include <algorithm>

#include "base/text.h"
#include "smtp/replies.h"

namespace postern::smtp {

namespace {

std::string upper_ascii(std::string_view text) {
  std::string made(text);
  std::transform(made.begin(), made.end(), made.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return made;
}

std::vector<std::string> attributes(const std::vector<std::string_view>& words) {
  std::vector<std::string> made;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!words[i].empty()) made.push_back(upper_ascii(words[i]));
  }
  return made;
}

}  // namespace

PeerExtensions parse_extensions(const Reply& hello) {
  PeerExtensions made;
  const auto lines = split(hello.text, '\n');
  for (std::size_t i = 1; i < lines.size(); ++i) {  // the first line is the peer's name
    const auto words = split(trimmed(lines[i]), ' ');
    std::string keyword = upper_ascii(words.front());
    if (keyword.empty()) continue;
    if (keyword == "PIPELINING") made.pipelining = true;
    if (keyword == "8BITMIME") made.eight_bit_mime = true;
    if (keyword == "SMTPUTF8") made.smtputf8 = true;
    if (keyword == "CHUNKING") made.chunking = true;
    if (keyword == "BINARYMIME") made.binary_mime = true;
    if (keyword == "DSN") made.dsn = true;
    if (keyword == "STARTTLS") made.starttls = true;
    if (keyword == "REQUIRETLS") made.require_tls = true;
    if (keyword == "XCLIENT") made.xclient = attributes(words);
    if (keyword == "XFORWARD") made.xforward = attributes(words);
    if (keyword == "SIZE") made.size_max = words.size() > 1 ? parse_decimal(words[1]).value_or(0) : 0;
    made.keywords.push_back(std::move(keyword));
  }
  return made;
}

// RFC 3030 section 3: BINARYMIME is nothing without BDAT.
Capabilities capabilities_of(const PeerExtensions& offered, PeerRole role, Privacy privacy) {
  const bool require_tls = role == PeerRole::Store ? privacy != Privacy::Open
                                                   : privacy == Privacy::Tls && offered.require_tls;
  return {offered.smtputf8, offered.binary_mime && offered.chunking, offered.dsn, require_tls};
}

Capabilities common(const Capabilities& one, const Capabilities& other) {
  return {one.smtputf8 && other.smtputf8, one.binary_mime && other.binary_mime, one.dsn && other.dsn,
          one.require_tls && other.require_tls};
}

std::optional<Reply> cannot_carry(const MailParameters& parameters, const Capabilities& offered) {
  if (parameters.smtputf8 && !offered.smtputf8) return replies::smtputf8_unsupported_behind;
  const bool binary = parameters.body == MailParameters::Body::BinaryMime;
  if (binary && !offered.binary_mime) return replies::binarymime_unsupported_behind;
  if (parameters.require_tls && !offered.require_tls) return replies::requiretls_unsupported_behind;
  return std::nullopt;
}

}  // namespace postern::smtp
