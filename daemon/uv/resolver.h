// DNS through c-ares on a loop: never getaddrinfo on a running server.
#pragma once

#include <cstdint>
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
    enum class Sources {
      HostsThenDns,  ///< /etc/hosts, then DNS with the search list of /etc/resolv.conf
      Dns,           ///< only DNS, and names as they are: nothing is read from the disk
    };
    Sources sources = Sources::HostsThenDns;
    enum class Failures {
      Hidden,  ///< a server that says that it failed is not heard: the next one is asked
      Told,    ///< its answer is the answer
    };
    Failures failures = Failures::Hidden;
  };
  Resolver(Loop& loop, Options options);
  /// Open queries are dropped without their callbacks. May be called in a callback.
  ~Resolver();

  /// `localhost` (RFC 6761 section 6.3), /etc/hosts and the search list of /etc/resolv.conf are honoured. The callback
  /// never comes from within the call. No address is a failure that says why.
  void addresses(const DnsName& name, std::function<void(Result<Resolved>)> done);

  /// Why an address has no name, or a name not this address.
  enum class NoName {
    None,    ///< DNS says so
    NotNow,  ///< nobody could say
  };
  /// The names that reverse DNS gives an address (PTR), in the order of the answer, which anybody can set to anything:
  /// what is no host name is left out, and so is what stands behind the first `reverse_names_max`; never empty.
  void names(const IpAddress& address, std::function<void(tl::expected<std::vector<DnsName>, NoName>)> done);
  static constexpr std::size_t reverse_names_max = 5;

  /// Whether a name has this address: for how long that may be remembered (its TTL), or why not.
  void confirm(const DnsName& name, const IpAddress& address, std::function<void(tl::expected<Duration, NoName>)> done);

  /// Any question (class IN) about an absolute name: the DNS message of the answer as it is, asked with EDNS and the AD bit,
  /// over TCP where it is too long for UDP. See dns::read_answer().
  void query(const std::string& name, std::uint16_t type, std::function<void(Result<std::string>)> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::uv
