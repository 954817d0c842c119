#include "base/dns_name.h"

#include <idn2.h>

#include <algorithm>
#include <memory>

#include "base/text.h"

namespace postern {

namespace {

constexpr std::size_t label_octets_max = 63;  // RFC 1035 section 2.3.4
constexpr std::size_t name_octets_max = 253;  // 255 on the wire less the length octets at both ends

bool is_host_octet(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_'; }

bool is_host_label(std::string_view label) {
  return !label.empty() && label.size() <= label_octets_max && std::all_of(label.begin(), label.end(), is_host_octet);
}

}  // namespace

std::optional<DnsName> DnsName::parse(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > name_octets_max) return std::nullopt;
  std::string_view last;
  for (std::string_view rest = text;;) {
    const auto dot = rest.find('.');
    last = rest.substr(0, dot);
    if (!is_host_label(last)) return std::nullopt;
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (std::all_of(last.begin(), last.end(), is_digit)) return std::nullopt;
  return DnsName(to_lower_ascii(text));
}

std::optional<DnsName> DnsName::from_utf8(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) return parse(text);
  if (text.size() > 4 * name_octets_max || text.find('\0') != std::string_view::npos) return std::nullopt;
  char* converted = nullptr;
  const std::string terminated(text);
  if (idn2_to_ascii_8z(terminated.c_str(), &converted, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK) {
    return std::nullopt;
  }
  const std::unique_ptr<char, void (*)(void*)> owner(converted, idn2_free);
  return parse(converted);
}

std::string_view DnsName::parent() const {
  const auto dot = text_.find('.');
  return dot == std::string::npos ? std::string_view() : std::string_view(text_).substr(dot + 1);
}

}  // namespace postern
