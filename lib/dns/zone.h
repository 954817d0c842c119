// Resource records as lines of a zone file (RFC 1035 section 5.1), for people to paste and for name servers to load.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"

namespace postern::dns {

struct Record {
  std::string owner;  ///< absolute, with its dot at the end
  std::string type;
  std::string data;   ///< as it stands in the file

  friend bool operator==(const Record&, const Record&) = default;
};

/// `example.com.`: so that no $ORIGIN is added to it.
std::string absolute(const DnsName& name);

/// TXT data: quoted, in strings of at most 255 octets each.
std::string text_data(std::string_view value);

/// One line each, in columns.
std::string zone_text(const std::vector<Record>& records, std::uint32_t ttl_seconds);

}  // namespace postern::dns
