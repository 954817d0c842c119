#include "mtasts/verdict.h"

#include <fmt/format.h>

#include <functional>

namespace postern::mtasts {

namespace {

using Outcome = Verdict::Outcome;

/// Why a sender passes over a host; nothing: it delivers there.
using Objection = std::function<std::optional<std::string>(const MxSeen&)>;

/// Tries the hosts in their order, as senders do.
Verdict judged(std::string_view sender, std::span<const MxSeen> hosts, const Objection& objection) {
  Verdict verdict{sender, Outcome::Refuses, {}};
  for (const MxSeen& host : hosts) {
    const auto why = objection(host);
    if (!why) return {sender, Outcome::Delivers, fmt::format("to {}", host.host.text())};
    verdict.text += fmt::format("{}{}: {}", verdict.text.empty() ? "" : "; ", host.host.text(), *why);
  }
  if (hosts.empty()) verdict.text = "there is no host to deliver to";
  return verdict;
}

Verdict opportunistic(std::string_view sender, std::span<const MxSeen> hosts) {
  for (const MxSeen& host : hosts) {
    if (host.with_sni.failure.empty()) return {sender, Outcome::Delivers, fmt::format("to {}, over TLS", host.host.text())};
    if (host.with_sni.reached) {
      return {sender, Outcome::DeliversInClear, fmt::format("to {}, in clear: {}", host.host.text(), host.with_sni.failure)};
    }
  }
  return judged(sender, hosts, [](const MxSeen& host) { return std::optional(host.with_sni.failure); });
}

std::optional<std::string> objection_of(const HandshakeSeen& seen) {
  if (!seen.failure.empty()) return seen.failure;
  return seen.fault;
}

Verdict by_policy(std::string_view sender, const PolicySeen& seen, std::span<const MxSeen> hosts,
                  const HandshakeSeen MxSeen::* handshake) {
  if (!seen.policy || seen.policy->mode == Mode::None) {
    Verdict verdict = opportunistic(sender, hosts);
    verdict.text += seen.policy ? " (the policy says `none`)" : fmt::format(" (no policy: {})", seen.why_not);
    return verdict;
  }
  const auto strict = judged(sender, hosts, [&](const MxSeen& host) -> std::optional<std::string> {
    if (!seen.policy->allows(host.host)) return "the policy does not allow it";
    return objection_of(host.*handshake);
  });
  if (strict.outcome != Outcome::Refuses || seen.policy->mode == Mode::Enforce) return strict;
  Verdict verdict = opportunistic(sender, hosts);
  verdict.text += fmt::format(", and reports (the policy says `testing`; `enforce` would fail: {})", strict.text);
  return verdict;
}

Verdict by_dane(std::string_view sender, std::span<const MxSeen> hosts) {
  return judged(sender, hosts, [](const MxSeen& host) -> std::optional<std::string> {
    if (host.tlsa == TlsaStanding::Differs) {
      return host.with_sni.failure.empty() ? "no TLSA record fits its certificate" : host.with_sni.failure;
    }
    // A host without usable records is used as by everybody else (RFC 7672 section 2.2).
    const bool must_have_tls = host.tlsa == TlsaStanding::Matches;
    if (must_have_tls || !host.with_sni.reached) return host.with_sni.failure.empty() ? std::nullopt : std::optional(host.with_sni.failure);
    return std::nullopt;
  });
}

}  // namespace

std::vector<Verdict> verdicts(const PolicySeen& policy, std::span<const MxSeen> hosts) {
  return {by_policy("follows MTA-STS", policy, hosts, &MxSeen::with_sni),
          by_policy("follows MTA-STS, sends no SNI", policy, hosts, &MxSeen::without_sni), by_dane("follows DANE", hosts),
          opportunistic("any other", hosts)};
}

}  // namespace postern::mtasts
