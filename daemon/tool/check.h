// `postern check`: what is wrong with domains, policies, MX names and certificates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/tool/output.h"

namespace postern::tool {

struct CheckArguments {
  std::string configuration;
  std::vector<std::string> domains;    ///< empty: all
  std::string roots;                   ///< path of a PEM file of anchors; empty: the system's
  std::uint64_t expires_within_days = 14;
  bool dns = false;
  std::vector<std::string> resolvers;  ///< empty: those of the configuration, or of the system
  Format format = Format::Text;
};

/// Returns the exit code: 1 when there are errors.
int check(const CheckArguments& arguments);

}  // namespace postern::tool
