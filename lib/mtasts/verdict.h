// What senders of each kind do with a domain, from what a probe has seen of it: the judgement alone.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "mtasts/policy.h"

namespace postern::mtasts {

/// One try at an MX host.
struct HandshakeSeen {
  std::string failure;              ///< why there is no TLS: not reached, no STARTTLS, a broken handshake; empty: there is
  bool reached = false;             ///< it greeted us: mail could be handed over in clear
  std::optional<std::string> fault; ///< why a sender that validates against its anchors and the MX name would not go on
};

enum class TlsaStanding {
  None,           ///< no records, or none that mail senders use
  NotVouchedFor,  ///< no DNSSEC: senders pass over them
  Matches,
  Differs,
};

struct MxSeen {
  DnsName host;
  HandshakeSeen with_sni, without_sni;
  TlsaStanding tlsa = TlsaStanding::None;
};

struct PolicySeen {
  std::optional<Policy> policy;
  std::string why_not;              ///< no policy because of this
};

struct Verdict {
  enum class Outcome { Delivers, DeliversInClear, Refuses };
  std::string_view sender;          ///< "follows MTA-STS"
  Outcome outcome = Outcome::Refuses;
  std::string text;                 ///< where to, or why not
};

/// In the order of preference of the hosts: the senders that follow MTA-STS, those that follow it without sending SNI,
/// those that follow DANE, and all others.
std::vector<Verdict> verdicts(const PolicySeen& policy, std::span<const MxSeen> hosts);

}  // namespace postern::mtasts
