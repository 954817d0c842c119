// The listening sockets: bound before anything else starts, one for each address and worker.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "daemon/app/service_manager.h"
#include "daemon/uv/socket.h"

namespace postern::app {

/// Sockets of an address that are there already (`inherited`; those that were used are taken out of it) are shared by
/// the workers; any other address is bound for each of them (uv::bind_tcp_shared). result[w] is for worker w. All failures
/// are told.
tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> bind_listeners(
    const std::vector<Endpoint>& addresses, std::size_t workers, std::vector<InheritedSocket>& inherited);

/// Raises the limit on open descriptors as far as allowed, and returns a warning when `connections` do not fit.
std::optional<std::string> check_descriptor_limit(std::size_t connections);

}  // namespace postern::app
