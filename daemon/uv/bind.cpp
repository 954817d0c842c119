#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "daemon/uv/sockaddr.h"
#include "daemon/uv/socket.h"

namespace postern::uv {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

int new_socket(int family) { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

void set_option(int descriptor, int level, int option, int value) {
  ::setsockopt(descriptor, level, option, &value, sizeof value);
}

std::string why_tcp(const Endpoint& endpoint, int error) {
  switch (error) {
    case EADDRINUSE:
      return "address already in use: is another mail server or posternd running on it?";
    case EACCES:
    case EPERM:
      return endpoint.port < 1024 ? "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                  : reason(error);
    case EADDRNOTAVAIL:
      return "address not available: no network interface of this machine has it";
    case EAFNOSUPPORT:
      return "address family not supported: this machine has no IPv6, leave such addresses out";
    default:
      return reason(error);
  }
}

std::string why_unix(int error) {
  switch (error) {
    case ENOENT:
      return "its folder does not exist: make it, writable for the user that posternd runs as";
    case EACCES:
      return "permission denied: its folder must be writable for the user that posternd runs as";
    default:
      return reason(error);
  }
}

enum class Port { Free, Shared };

Result<Bound> listen_on(const Endpoint& endpoint, Port port) {
  const auto failed = [&endpoint](int error) { return fail("{}: {}", endpoint.text(), why_tcp(endpoint, error)); };
  const KernelAddress address = to_kernel(endpoint);
  Descriptor made(new_socket(address.storage.ss_family));
  if (made.get() < 0) return failed(errno);

  set_option(made.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (port == Port::Shared) set_option(made.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (!endpoint.address.is_v4()) set_option(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  set_connection_options(made.get());  // Linux: an accepted socket inherits them, so that accepting costs nothing more
  if (::bind(made.get(), address.get(), address.length) != 0) return failed(errno);
  if (::listen(made.get(), SOMAXCONN) != 0) return failed(errno);

  const Endpoint bound = from_kernel(local_address(made.get()).get());
  return Bound{made.release(), bound};
}

/// What stands at the place of a unix socket. Only a socket file to which nobody answers may be removed.
enum class Occupant { Nothing, StaleSocket, Listener, OtherFile, Unknown };

Occupant occupant(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? Occupant::Nothing : Occupant::Unknown;
  if (!S_ISSOCK(status.st_mode)) return Occupant::OtherFile;
  const Descriptor probe(new_socket(AF_UNIX));
  if (probe.get() < 0) return Occupant::Unknown;
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return Occupant::Listener;
  }
  if (errno == ECONNREFUSED) return Occupant::StaleSocket;
  return errno == EAGAIN ? Occupant::Listener : Occupant::Unknown;  // EAGAIN: its queue is full
}

}  // namespace

Result<Bound> bind_tcp(const Endpoint& endpoint) { return listen_on(endpoint, Port::Free); }

Result<std::vector<Bound>> bind_tcp_shared(const Endpoint& endpoint, std::size_t count) {
  auto first = listen_on(endpoint, Port::Free);
  if (!first) return tl::unexpected(first.error());
  // Only now, when the port is taken: who looks for a free one finds it taken at any moment.
  set_option(first->descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
  std::vector<Bound> all{*first};
  while (all.size() < count) {
    const auto another = listen_on(first->endpoint, Port::Shared);
    if (!another) {
      for (const Bound& bound : all) ::close(bound.descriptor);
      return tl::unexpected(another.error());
    }
    all.push_back(*another);
  }
  return all;
}

Result<Bound> bind_unix(const std::string& path, unsigned mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("{}: the path of a unix socket must have 1 to {} octets", path, sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());

  switch (occupant(path, address)) {
    case Occupant::Listener:
      return fail("{}: already in use: is another process listening on it?", path);
    case Occupant::OtherFile:
      return fail("{}: exists and is no socket: remove it or choose another path", path);
    case Occupant::StaleSocket:
      if (::unlink(path.c_str()) != 0) return fail("{}: a stale socket cannot be removed: {}", path, reason(errno));
      break;
    case Occupant::Nothing:
    case Occupant::Unknown:  // bind() says what is wrong
      break;
  }

  Descriptor made(new_socket(AF_UNIX));
  if (made.get() < 0) return fail("{}: {}", path, reason(errno));
  if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail("{}: {}", path, why_unix(errno));
  }
  // Until listen() a connection is refused, so nobody comes in under the umask's mode.
  if (::chmod(path.c_str(), mode) != 0 || ::listen(made.get(), SOMAXCONN) != 0) {
    const int error = errno;
    ::unlink(path.c_str());
    return fail("{}: {}", path, reason(error));
  }
  return Bound{made.release(), Endpoint{}};
}

}  // namespace postern::uv
