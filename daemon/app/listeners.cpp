#include "daemon/app/listeners.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

namespace postern::app {

namespace {
// A session needs one descriptor, its hand-off one more for a connection or a spilled message; the rest is for listeners,
// loops, watches and logs.
constexpr std::size_t descriptors_besides = 256;
}  // namespace

tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> bind_listeners(
    const std::vector<Endpoint>& addresses, std::size_t workers) {
  std::vector<std::vector<uv::Bound>> bound(workers);
  std::vector<Error> errors;
  for (const Endpoint& address : addresses) {
    if (const auto alone = uv::bind_tcp(address, uv::PortSharing::Alone); alone) {
      ::close(alone->descriptor);
    } else {
      errors.push_back(alone.error());
      continue;
    }
    for (auto& of_worker : bound) {
      auto shared = uv::bind_tcp(address, uv::PortSharing::Reuseport);
      if (!shared) {
        errors.push_back(shared.error());
        break;
      }
      of_worker.push_back(std::move(*shared));
    }
  }
  if (errors.empty()) return bound;
  for (const auto& of_worker : bound) {
    for (const uv::Bound& socket : of_worker) ::close(socket.descriptor);
  }
  return tl::unexpected(std::move(errors));
}

std::optional<std::string> check_descriptor_limit(std::size_t connections) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  const std::size_t needed = connections * 2 + descriptors_besides;
  if (limit.rlim_cur >= needed) return std::nullopt;
  return fmt::format(
      "limits.connections = {} needs up to {} descriptors, but this process may open {}: raise the limit "
      "(LimitNOFILE= in the systemd unit, ulimit -n) or lower limits.connections",
      connections, needed, limit.rlim_cur);
}

}  // namespace postern::app
