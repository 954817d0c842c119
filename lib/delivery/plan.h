// Recipient → backend. Policy of who is a recipient here (never an open relay, DESIGN promise 6); no I/O.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "delivery/settings.h"
#include "smtp/address.h"
#include "smtp/reply.h"

namespace postern::delivery {

/// The routing table of one configuration generation; immutable.
class RouteTable {
 public:
  /// A domain whose backend does not exist is not ours (config/ reports it before).
  RouteTable(std::vector<BackendSettings> backends, std::vector<DomainSettings> domains,
             std::optional<smtp::Mailbox> postmaster);

  struct Route {
    const BackendSettings* backend;
    smtp::ForwardPath to;  ///< what the backend is asked for (<postmaster> is mapped)
    /// For postmaster@ and abuse@ of a hosted domain: where it goes when the backend says 5.1.x.
    std::optional<smtp::ForwardPath> fallback;
    const BackendSettings* fallback_backend = nullptr;  ///< of `fallback`; may be another than `backend`
  };

  /// The route of a recipient, or the refusal: `550 5.7.1` for a domain that is not ours or an address literal, `550
  /// 5.1.2` for what cannot be a domain, `550 5.1.3` for a local part that is dangerous to its backend. The pointers in a Route live as long as the table.
  ///
  /// `<postmaster>` is always taken (RFC 5321 section 4.5.1): it goes to the configured postmaster address; without
  /// one, as it stands to the backend of the catch-all domain, else to the first backend.
  tl::expected<Route, smtp::Reply> route(const smtp::ForwardPath& to) const;

  const std::vector<BackendSettings>& backends() const { return backends_; }

 private:
  std::optional<std::size_t> backend_of(const smtp::Mailbox& mailbox) const;
  tl::expected<Route, smtp::Reply> route_bare_postmaster(const smtp::ForwardPath& to) const;

  std::vector<BackendSettings> backends_;
  std::unordered_map<DnsName, std::size_t> by_domain_;  // → backends_
  std::optional<std::size_t> catch_all_;
  std::optional<smtp::Mailbox> postmaster_;
};

}  // namespace postern::delivery
