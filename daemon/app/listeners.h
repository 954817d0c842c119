// The listening sockets: bound before anything else starts, one for each address and worker.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "daemon/uv/socket.h"

namespace postern::app {

/// Binds every address `workers` times with SO_REUSEPORT; result[w] is for worker w. Each address is bound alone first:
/// with SO_REUSEPORT a second posternd would start and silently take a share of the mail. All failures are told.
tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> bind_listeners(
    const std::vector<Endpoint>& addresses, std::size_t workers);

/// Raises the limit on open descriptors as far as allowed, and returns a warning when `connections` do not fit.
std::optional<std::string> check_descriptor_limit(std::size_t connections);

}  // namespace postern::app
