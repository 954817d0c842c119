// The service manager that started posternd, as far as there is one: systemd, or a posternd that is to be replaced. What
// it hands over, and what it wants to be told (sd_notify(3), sd_listen_fds(3)).
//
// Not libsystemd: it would bring OpenSSL's libcrypto into the process, and all that is needed of it is one datagram.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/instant.h"
#include "base/result.h"

namespace postern::app {

class ServiceManager {
 public:
  /// Reads the environment.
  ServiceManager();

  /// Tells it lines such as "READY=1"; nothing happens when nobody listens. Never blocks.
  void tell(std::string_view state) const;

  /// It looks after another process now, and would wonder at what this one tells.
  void fall_silent() { socket_.clear(); }

  /// How often it wants to hear "WATCHDOG=1" at least.
  std::optional<Duration> watchdog() const { return watchdog_; }

 private:
  std::string socket_;  // a path, or '@' and an abstract name
  std::optional<Duration> watchdog_;
};

/// A listening socket that was there before us.
struct InheritedSocket {
  int descriptor = -1;
  Endpoint endpoint;   ///< of TCP
  std::string path;    ///< of a unix socket
  std::string name;    ///< FileDescriptorName=
};

/// What a descriptor is that was passed; it will not be passed on to other programs. An empty path and the unspecified
/// endpoint: it is no listening stream socket.
InheritedSocket inherited_socket(int descriptor);

/// All those that were passed (LISTEN_FDS) to this process, which own their descriptors from here on. Fails when one of
/// them is no listening stream socket. To be called once.
Result<std::vector<InheritedSocket>> take_inherited_sockets();

}  // namespace postern::app
