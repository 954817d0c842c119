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
  std::vector<IpAddress> addresses;  ///< AAAA and A, in the order to try
  Duration ttl{};                    ///< the shortest of the answers
};

class Resolver {
 public:
  struct Options {
    std::vector<Endpoint> servers;  ///< empty: /etc/resolv.conf
    Duration timeout = std::chrono::seconds(5);
    unsigned tries = 2;
  };
  Resolver(Loop& loop, Options options);
  /// Open queries are dropped without their callbacks.
  ~Resolver();

  /// `localhost` and /etc/hosts are honoured. The callback never comes from within the call.
  void addresses(const DnsName& name, std::function<void(Result<Resolved>)> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::uv
