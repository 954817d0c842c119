// `postern probe`: a strict sender in slow motion, which says what it sees and what senders of each kind would do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/tool/output.h"

namespace postern::tool {

struct ProbeArguments {
  std::string target;                  ///< a domain, or HOST:PORT
  std::vector<std::string> resolvers;  ///< empty: those of /etc/resolv.conf
  std::string roots;                   ///< path of a PEM file of anchors; empty: the system's
  std::string connect;                 ///< an IP address: every host is there, whatever DNS says; empty: not so
  std::uint16_t port = 25;
  std::uint16_t https_port = 443;
  std::uint64_t seconds = 30;          ///< the limit of each connection
  std::string hostname;                ///< what EHLO says; empty: the name of this machine
  Format format = Format::Text;
};

/// Returns the exit code: 1 when senders of some kind would not deliver, or would in clear.
int probe(const ProbeArguments& arguments);

}  // namespace postern::tool
