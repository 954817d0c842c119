// `postern log hash`: what stands in the log for an address where `log.addresses = "hash"`.
#pragma once

#include <string>
#include <vector>

namespace postern::tool {

struct LogHashArguments {
  std::string configuration;            ///< says where state_dir is
  std::vector<std::string> addresses;
};

/// Returns the exit code.
int log_hash(const LogHashArguments& arguments);

}  // namespace postern::tool
