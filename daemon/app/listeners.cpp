#include "daemon/app/listeners.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace postern::app {

namespace {
// A session needs one descriptor, its hand-off one more for a connection or a spilled message; the rest is for listeners,
// loops, watches and logs.
constexpr std::size_t descriptors_besides = 256;

std::vector<int> take_out(std::vector<InheritedSocket>& inherited, const Endpoint& address) {
  std::vector<int> descriptors;
  std::erase_if(inherited, [&](const InheritedSocket& socket) {
    const bool fits = socket.path.empty() && socket.endpoint == address;
    if (fits) descriptors.push_back(socket.descriptor);
    return fits;
  });
  return descriptors;
}

/// Each worker gets one at least, and each socket a worker: of several that share a port, one from which nobody accepts
/// would keep its connections for ever.
void distribute(const std::vector<int>& descriptors, const Endpoint& address, std::vector<std::vector<uv::Bound>>& bound) {
  for (std::size_t i = 0; i < std::max(descriptors.size(), bound.size()); ++i) {
    const int descriptor = i < descriptors.size() ? descriptors[i]
                                                  : ::fcntl(descriptors[i % descriptors.size()], F_DUPFD_CLOEXEC, 3);
    bound[i % bound.size()].push_back({descriptor, address});
  }
}
}  // namespace

tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> bind_listeners(
    const std::vector<Endpoint>& addresses, std::size_t workers, std::vector<InheritedSocket>& inherited) {
  std::vector<std::vector<uv::Bound>> bound(workers);
  std::vector<Error> errors;
  for (const Endpoint& address : addresses) {
    if (const auto there = take_out(inherited, address); !there.empty()) {
      distribute(there, address, bound);
      continue;
    }
    const auto shared = uv::bind_tcp_shared(address, workers);
    if (!shared) {
      errors.push_back(shared.error());
      continue;
    }
    for (std::size_t worker = 0; worker < workers; ++worker) bound[worker].push_back((*shared)[worker]);
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
