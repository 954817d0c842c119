#include "daemon/uv/sockaddr.h"

#include <netinet/tcp.h>

#include <array>
#include <cstring>

namespace postern::uv {

KernelAddress to_kernel(const Endpoint& endpoint) {
  KernelAddress made;
  const auto octets = endpoint.address.octets();
  if (endpoint.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, octets.data(), octets.size());
    std::memcpy(&made.storage, &v4, sizeof v4);
    made.length = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, octets.data(), octets.size());
    std::memcpy(&made.storage, &v6, sizeof v6);
    made.length = sizeof v6;
  }
  return made;
}

Endpoint from_kernel(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    std::array<std::uint8_t, 4> octets{};
    std::memcpy(octets.data(), &v4.sin_addr, octets.size());
    return {IpAddress::from_v4(octets), ntohs(v4.sin_port)};
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
    return {IpAddress::from_v6(octets), ntohs(v6.sin6_port)};
  }
  return {};
}

KernelAddress local_address(int descriptor) {
  KernelAddress found;
  found.length = sizeof found.storage;
  if (getsockname(descriptor, found.get(), &found.length) != 0) return {};
  return found;
}

KernelAddress peer_address(int descriptor) {
  KernelAddress found;
  found.length = sizeof found.storage;
  if (getpeername(descriptor, found.get(), &found.length) != 0) return {};
  return found;
}

void set_connection_options(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_idle_seconds, sizeof keepalive_idle_seconds);
}

}  // namespace postern::uv
