// `postern store`: the embedded mail store, in the foreground until SIGTERM or SIGINT.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace postern::tool {

struct StoreArguments {
  std::vector<std::string> listen;  ///< `unix:PATH` or `HOST:PORT`
  std::string maildir;
  std::vector<std::string> allow;  ///< networks
};

/// Returns the exit code.
int store(const StoreArguments& arguments);

/// The addresses that `HOST:PORT` means; a name is looked up now (blocking). `[2001:db8::1]:24`, `localhost:24`.
Result<std::vector<Endpoint>> listening_endpoints(const std::string& text);

}  // namespace postern::tool
