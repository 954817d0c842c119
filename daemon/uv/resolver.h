// DNS through c-ares on a loop: never getaddrinfo on a running server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/result.h"
#include "daemon/uv/loop.h"

namespace postern::uv {

struct Resolved {
  std::vector<IpAddress> addresses;  ///< AAAA and A, in the order to try (RFC 6724); never empty
  Duration ttl{};                    ///< the shortest of the answers; 0 for what came from /etc/hosts
};

class Resolver {
 public:
  struct Options {
    std::vector<Endpoint> servers;  ///< empty: those of /etc/resolv.conf, as it is now
    Duration timeout = std::chrono::seconds(5);  ///< of the first try; later ones wait longer
    unsigned tries = 2;
  };
  Resolver(Loop& loop, Options options);
  /// Open queries are dropped without their callbacks. May be called in a callback.
  ~Resolver();

  /// `localhost` (RFC 6761 section 6.3), /etc/hosts and the search list of /etc/resolv.conf are honoured. The callback
  /// never comes from within the call. No address is a failure that says why.
  void addresses(const DnsName& name, std::function<void(Result<Resolved>)> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::uv
