// Who a client is by DNS: the name that reverse DNS gives its address, if that name has this address (forward-confirmed
// reverse DNS; the policy of RFC 8601 section 3). Anybody can give an address of theirs any name, so a name that is not
// confirmed proves nothing. One for each worker, on its loop; answers are remembered, within bounds.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/instant.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"
#include "proxy/client_identity.h"

namespace postern::session {

struct ClientDnsName {
  enum class Standing {
    Confirmed,  ///< `name` has the address
    None,       ///< no name is confirmed
    NotNow,     ///< DNS could not say, or not in time
  };
  Standing standing = Standing::None;
  std::optional<DnsName> name;     ///< when it is confirmed
  std::optional<DnsName> claimed;  ///< the first name of reverse DNS, confirmed or not
};

/// NAME and REVERSE_NAME of XCLIENT and XFORWARD.
void tell_name(const ClientDnsName& name, proxy::ClientIdentity& identity);

class ReverseDns {
 public:
  struct Limits {
    std::size_t entries_max = 20'000;  ///< answers remembered
    std::size_t open_max = 1'000;      ///< addresses asked about at a time: of more nothing is known for now
    Duration kept_min = std::chrono::minutes(1);
    Duration kept_max = std::chrono::hours(1);
    Duration failure_kept = std::chrono::minutes(1);
  };
  ReverseDns(uv::Loop& loop, uv::Resolver& resolver, Limits limits);
  ReverseDns(uv::Loop& loop, uv::Resolver& resolver) : ReverseDns(loop, resolver, Limits()) {}
  /// When the loop runs no more, and before the resolver.
  ~ReverseDns();

  /// What is remembered; nothing: it has to be looked up. The loopback addresses are `localhost` (RFC 6761 section 6.3).
  std::optional<ClientDnsName> known(const IpAddress& address);

  /// `done` comes once, never from within the call, at the latest after `within`; what DNS says later is remembered for
  /// the next client from there. False: too many are asked about, nothing is known for now, and `done` is dropped.
  [[nodiscard]] bool look_up(const IpAddress& address, Duration within, std::function<void(const ClientDnsName&)> done);

 private:
  struct LookUp;
  struct Entry {
    IpAddress address;
    ClientDnsName name;
    Instant good_until;
  };
  using Entries = std::list<Entry>;

  void named(const std::shared_ptr<LookUp>& look_up, tl::expected<std::vector<DnsName>, uv::Resolver::NoName> names);
  void confirm_next(const std::shared_ptr<LookUp>& look_up);
  void finish(const std::shared_ptr<LookUp>& look_up, ClientDnsName found, Duration kept);
  void remember(const IpAddress& address, ClientDnsName name, Duration kept);

  uv::Loop& loop_;
  uv::Resolver& resolver_;
  const Limits limits_;
  Entries entries_;  // most recently made first
  std::unordered_map<IpAddress, Entries::iterator> index_;
  std::unordered_map<IpAddress, std::shared_ptr<LookUp>> open_;
};

}  // namespace postern::session
