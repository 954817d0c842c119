#include "dns/zone.h"

#include <fmt/format.h>

#include <algorithm>

namespace postern::dns {

namespace {
constexpr std::size_t string_octets_max = 255;  // RFC 1035 section 3.3
}

std::string absolute(const DnsName& name) { return name.text() + '.'; }

std::string text_data(std::string_view value) {
  std::string text;
  std::size_t octets = 0;
  for (const char c : value) {
    if (octets == 0) text += text.empty() ? "\"" : " \"";
    const auto octet = static_cast<std::uint8_t>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (octet < 0x20 || octet > 0x7e) {
      text += fmt::format("\\{:03}", octet);
    } else {
      text += c;
    }
    if (++octets == string_octets_max) {
      text += '"';
      octets = 0;
    }
  }
  if (octets != 0) text += '"';
  return text.empty() ? "\"\"" : text;
}

std::string zone_text(const std::vector<Record>& records, std::uint32_t ttl_seconds) {
  std::size_t width = 0;
  for (const Record& record : records) width = std::max(width, record.owner.size());
  std::string text;
  for (const Record& record : records) {
    text += fmt::format("{:<{}} {} IN {:<5} {}\n", record.owner, width, ttl_seconds, record.type, record.data);
  }
  return text;
}

}  // namespace postern::dns
