// `postern dns`: the records that a domain should have, as lines of a zone file; and whether it has them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/tool/output.h"

namespace postern::tool {

struct DnsArguments {
  std::string configuration;
  std::vector<std::string> domains;
  std::vector<std::string> next_keys;  ///< PEM files: keys that will be served one day
  std::uint32_t ttl_seconds = 3600;
  bool check = false;                  ///< compare instead of printing
  std::vector<std::string> resolvers;
  Format format = Format::Text;        ///< of the comparison
};

/// Returns the exit code: 1 also when DNS lacks something that senders need.
int dns(const DnsArguments& arguments);

}  // namespace postern::tool
