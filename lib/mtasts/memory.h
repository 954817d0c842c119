// Which policies senders may still hold although they have been changed or removed (RFC 8461 section 8.3): their MX hosts
// and their policy host must stay what they were until the old max_age has passed.
//
// It is kept as text, sorted by domain, and brought up to date in one pass over it beside the domains of now, so that
// 10^6 domains cost no more memory than their text:
//
//   example.com live 604800 mx.example.com mx2.example.com     what is served now
//   example.com kept 2026-12-03T10:00:00Z mx.old.example.com   what was, and how long it counts
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "mtasts/domain.h"

namespace postern::mtasts {

/// A host that somebody's old policy needs.
struct KeptHost {
  DnsName domain;
  DnsName name;  ///< an MX host, or mta-sts.DOMAIN
  WallTime until{};

  friend bool operator==(const KeptHost&, const KeptHost&) = default;
};

struct Remembered {
  std::string text;            ///< what to store; empty: nothing is to be remembered
  std::vector<KeptHost> kept;  ///< sorted by domain
};

/// `stored` is what the last call gave, or empty. `domains` are sorted by name, each once. What has passed at `now` is
/// forgotten. Fails when `stored` is damaged, and says in which line.
Result<Remembered> remember(std::string_view stored, std::span<const Domain> domains, WallTime now);

/// The kept hosts in a stored text, also those whose time has passed.
Result<std::vector<KeptHost>> kept_hosts(std::string_view stored);

}  // namespace postern::mtasts
