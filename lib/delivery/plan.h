// Recipient → backend. Policy of who is a recipient here (never an open relay, DESIGN promise 6); no I/O.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "delivery/settings.h"
#include "smtp/address.h"
#include "smtp/reply.h"

namespace postern::delivery {

/// The routing table of one configuration generation; immutable.
class RouteTable {
 public:
  /// A domain or a route whose backend does not exist is not ours (config/ reports it before).
  RouteTable(std::vector<BackendSettings> backends, std::vector<DomainSettings> domains,
             std::optional<smtp::Mailbox> postmaster, std::vector<SniRoute> sni_routes = {});

  /// Where all mail of a session goes, whoever its recipients are: by the server name that the client asked for, else by
  /// `listener_backend` (empty: the listener names none). Null: each recipient's domain decides.
  const BackendSettings* session_backend(const std::optional<DnsName>& server_name,
                                         const std::string& listener_backend) const;

  /// Whether a server name can change session_backend().
  bool routes_by_sni() const { return !by_sni_.empty() || !by_parent_sni_.empty(); }

  /// Whether the backends of the domains are passed through to. (They are all of one kind: config/ sees to it.)
  bool domains_pass_through() const { return domains_pass_through_; }

  /// Null when there is none of this name.
  const BackendSettings* find(std::string_view backend) const;

  struct Route {
    const BackendSettings* backend;
    smtp::ForwardPath to;  ///< what the backend is asked for (<postmaster> is mapped)
    /// For postmaster@ and abuse@ of a hosted domain: where it goes when the backend says 5.1.x.
    std::optional<smtp::ForwardPath> fallback;
    const BackendSettings* fallback_backend = nullptr;  ///< of `fallback`; may be another than `backend`
  };

  /// `session_backend` takes the place of the domain's backend.
  ///
  /// The route of a recipient, or the refusal: `550 5.7.1` for a domain that is not ours or an address literal, `550
  /// 5.1.2` for what cannot be a domain, `550 5.1.3` for a local part that is dangerous to its backend, `556 5.1.10` for
  /// a domain that takes no mail (RFC 7505). The pointers in a Route live as long as the table.
  ///
  /// `<postmaster>` is always taken (RFC 5321 section 4.5.1): it goes to the configured postmaster address; without
  /// one, as it stands to the backend of the catch-all domain, else to the first backend.
  tl::expected<Route, smtp::Reply> route(const smtp::ForwardPath& to,
                                          const BackendSettings* session_backend = nullptr) const;

  const std::vector<BackendSettings>& backends() const { return backends_; }

  /// Where mail of a session can go: what it has to offer its client follows from what these offer.
  std::vector<const BackendSettings*> reachable(const BackendSettings* session_backend) const;

 private:
  std::optional<std::size_t> backend_of(const smtp::Mailbox& mailbox) const;
  tl::expected<Route, smtp::Reply> route_by_domain(const smtp::ForwardPath& to) const;
  tl::expected<Route, smtp::Reply> route_bare_postmaster(const smtp::ForwardPath& to) const;

  std::vector<BackendSettings> backends_;
  std::unordered_map<DnsName, std::size_t> by_domain_;  // → backends_
  std::unordered_set<DnsName> without_mail_;
  std::optional<std::size_t> catch_all_;
  bool domains_pass_through_ = false;
  std::vector<std::size_t> of_domains_;  // all that some domain's mail goes to → backends_
  std::optional<smtp::Mailbox> postmaster_;
  std::unordered_map<DnsName, std::size_t> by_sni_;         // → backends_
  std::unordered_map<DnsName, std::size_t> by_parent_sni_;  // of `*.` names
};

}  // namespace postern::delivery
