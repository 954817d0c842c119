// For the files of this folder: Endpoint ↔ struct sockaddr, and the options that all TCP connections have.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/address.h"

namespace postern::uv {

/// An address as the kernel takes it.
struct KernelAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

KernelAddress to_kernel(const Endpoint& endpoint);

/// The unspecified endpoint for a family that is neither IPv4 nor IPv6.
Endpoint from_kernel(const sockaddr* address);

/// getsockname(), getpeername(); family AF_UNSPEC when they fail.
KernelAddress local_address(int descriptor);
KernelAddress peer_address(int descriptor);

inline constexpr unsigned keepalive_idle_seconds = 60;

/// TCP_NODELAY (replies must not wait for the peer's delayed acknowledgement) and keep-alive probes.
void set_connection_options(int descriptor);

}  // namespace postern::uv
