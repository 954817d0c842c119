#include "mtasts/audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace postern::mtasts {

namespace {

using Words = Findings::Words;

std::string date(WallTime time) { return rfc3339(time).substr(0, 10); }

long long days_until(WallTime then, WallTime now) { return std::chrono::floor<std::chrono::days>(then - now).count(); }

template <class Visit>
void each_credential(const certs::Entry& entry, Visit visit) {
  for (const auto* credential : {&entry.ecdsa, &entry.rsa}) {
    if (*credential) visit(**credential);
  }
}

bool covers(const certs::Entry& entry, const DnsName& name) {
  bool all = true;
  each_credential(entry, [&](const tls::Credential& credential) { all = all && credential.leaf.covers(name); });
  return all;
}

/// What a sender that validates makes of a fault of an MX host.
Severity severity_of(const Domain& domain) {
  return domain.policy != nullptr && domain.policy->mode == Mode::Enforce ? Severity::Error : Severity::Warning;
}

}  // namespace

Audit::Audit(const certs::Snapshot& map, AuditOptions options, Findings& findings)
    : map_(map), options_(std::move(options)), findings_(findings) {}

void Audit::take(const Domain& domain) {
  ++domains_;
  if (domain.policy != nullptr) check_policy(domain);
  if (domain.null_mx) return;
  if (domain.mx.empty()) {
    every_domain_lists_mx_ = false;
    findings_.add("domain-without-mx", domain.policy != nullptr ? Severity::Warning : Severity::Note, "mx", &domain.name,
                  [] { return Words{"a domain does not say what its MX names are, so that nothing can be checked",
                                    "list them: mx = [\"mx.example.com\"]"}; });
  }
  for (const DnsName& mx : domain.mx) {
    check_name({Role::Mx, mx, domain, severity_of(domain), domain.has_policy_in_force()});
  }
}

void Audit::check_policy(const Domain& domain) {
  const Policy& policy = *domain.policy;
  if (const auto host = policy_host_of(domain.name)) {
    const auto severity = policy.mode == Mode::None ? Severity::Warning : Severity::Error;
    check_name({Role::PolicyHost, *host, domain, severity, true});
  }
  if (policy.mode == Mode::None) return;
  if (domain.null_mx) {
    findings_.add("policy-null-mx", Severity::Warning, domain.name.text(), &domain.name,
                  [] { return Words{"it has a policy, and takes no mail", "drop mta_sts, or mx = \".\""}; });
    return;
  }
  if (policy.max_age < max_age_min) {
    findings_.add("policy-short", Severity::Warning, fmt::format("max_age = {} s", policy.max_age.count()), &domain.name,
                  [] { return Words{"senders forget the policy within a day, and then anybody between can keep them from it",
                                    "set mta_sts.max_age to \"7d\" or more"}; });
  }
  for (const DnsName& mx : domain.mx) {
    if (policy.allows(mx)) continue;
    findings_.add("mx-not-in-policy", severity_of(domain), mx.text(), &domain.name, [] {
      return Words{"no mx line of the policy matches this MX name: senders do not deliver to it",
                   "add it to mta_sts.mx, or remove mta_sts.mx so that mx counts"};
    });
  }
  for (const MxPattern& pattern : policy.mx) {
    const bool met = std::any_of(domain.mx.begin(), domain.mx.end(), [&](const DnsName& mx) { return pattern.matches(mx); });
    if (met || domain.mx.empty()) continue;
    findings_.add("policy-mx-unused", Severity::Warning, pattern.text(), &domain.name, [] {
      return Words{"the policy allows it, and no MX name matches it", "remove it from mta_sts.mx, or add the MX name"};
    });
  }
}

void Audit::check_name(const Use& use) {
  const certs::Found found = map_.find(use.name);
  if (found.entry == nullptr) return check_missing(use);
  mark(found.key);
  each_credential(*found.entry, [&](const tls::Credential& credential) { check_credential(use, credential); });
}

void Audit::check_missing(const Use& use) {
  const auto& defaults = use.role == Role::Mx ? options_.mail_defaults : options_.policy_defaults;
  if (use.role == Role::PolicyHost && defaults.empty()) return;  // another web server serves it: see the tool
  const bool covered = !defaults.empty() && std::all_of(defaults.begin(), defaults.end(), [&](const certs::Entry* entry) {
    return entry != nullptr && covers(*entry, use.name);
  });
  if (covered) {
    findings_.add("only-default-covers", Severity::Warning, use.name.text(), &use.domain.name, [] {
      return Words{"it is not in the map: only the default certificate happens to cover it",
                   "give it a certificate of its own, or names = [...] in the [[certificate]] that has it"};
    });
  } else if (use.role == Role::Mx) {
    findings_.add("mx-no-certificate", use.severity, use.name.text(), &use.domain.name, [] {
      return Words{"no certificate has this MX name: senders get the default, which is for another name",
                   "get a certificate for it, or correct the name in mx; `postern certs --name` says more"};
    });
  } else {
    findings_.add("policy-host-no-certificate", use.severity, use.name.text(), &use.domain.name, [] {
      return Words{"no certificate has this name: senders cannot fetch the policy", "get a certificate for it"};
    });
  }
}

void Audit::check_credential(const Use& use, const tls::Credential& credential) {
  if (!credential.leaf.covers(use.name)) {
    findings_.add("wrong-name", use.severity, use.name.text(), &use.domain.name, [&] {
      return Words{fmt::format("{} is served for it, and has not this name in it", credential.source),
                   "get a certificate with this name, or correct names = [...] or the map"};
    });
  }
  check_time(use, credential);
  if (!use.must_be_trusted) return;
  const Trust trust = trust_in(credential);
  if (trust == Trust::SelfSigned) {
    findings_.add("self-signed", use.severity, credential.source, &use.domain.name, [] {
      return Words{"it is self-signed: senders that follow MTA-STS do not accept it",
                   "get a certificate from a public authority"};
    });
  } else if (trust == Trust::Untrusted) {
    findings_.add("untrusted-chain", use.severity, credential.source, &use.domain.name, [&] {
      return Words{fmt::format("its chain does not lead to the anchors of {}", options_.roots),
                   "put the intermediate certificates below the leaf (fullchain.pem), or get it from a public authority"};
    });
  }
}

void Audit::check_time(const Use& use, const tls::Credential& credential) {
  const tls::LeafFacts& leaf = credential.leaf;
  if (leaf.not_after <= options_.now) {
    findings_.add("expired", use.severity, credential.source, &use.domain.name, [&] {
      return Words{fmt::format("it has expired on {}", date(leaf.not_after)), "renew it now"};
    });
  } else if (leaf.not_before > options_.now) {
    findings_.add("not-yet-valid", use.severity, credential.source, &use.domain.name, [&] {
      return Words{fmt::format("it is valid only from {} on", rfc3339(leaf.not_before)), "check the clock of this machine"};
    });
  } else if (leaf.not_after < options_.now + options_.expires_within) {
    findings_.add("expires-soon", Severity::Warning, credential.source, &use.domain.name, [&] {
      return Words{fmt::format("it ends on {}, in {} days", date(leaf.not_after), days_until(leaf.not_after, options_.now)),
                   "renew it; if a client does that by itself, see why it has not"};
    });
  }
}

Audit::Trust Audit::trust_in(const tls::Credential& credential) {
  if (credential.leaf.self_signed) return Trust::SelfSigned;
  if (!options_.trusted) return Trust::Unknown;
  const auto [place, is_new] = trust_.try_emplace(&credential, Trust::Unknown);
  if (is_new) place->second = options_.trusted(credential) ? Trust::Trusted : Trust::Untrusted;
  return place->second;
}

void Audit::mark(std::string_view key) {
  const auto hit = map_.index().names->find(key);
  if (!hit) return;
  if (used_.size() <= hit->id) used_.resize(hit->id + std::size_t{1});
  used_[hit->id] = true;
}

void Audit::mark_used(std::string_view name) {
  mark(name);
  if (const auto parsed = DnsName::parse(name)) {
    if (const auto found = map_.find(*parsed); found.entry != nullptr) mark(found.key);
  }
}

void Audit::take_remembered(std::span<const KeptHost> kept, const std::function<bool(const DnsName&)>& has_policy) {
  for (const KeptHost& host : kept) {
    const bool is_policy_host = policy_host_of(host.domain) == host.name;
    const auto found = map_.find(host.name);
    const auto until = rfc3339(host.until);
    if (host.until <= options_.now) {
      findings_.add("may-be-dropped", Severity::Note, host.name.text(), &host.domain, [&] {
        return Words{fmt::format("no sender can still hold an old policy that needs it, since {}", until),
                     "if nothing else uses it, its certificate can go"};
      });
      continue;
    }
    if (found.entry != nullptr) {
      mark(found.key);
      findings_.add("kept-for-old-policy", Severity::Note, host.name.text(), &host.domain, [&] {
        return Words{is_policy_host && !has_policy(host.domain)
                         ? fmt::format("it says `mode: none` for a policy that has been removed, until {}", until)
                         : fmt::format("senders may hold an earlier policy that needs it, until {}", until),
                     "keep its certificate and its DNS records until then"};
      });
      continue;
    }
    const bool served_elsewhere = is_policy_host && options_.policy_defaults.empty();
    if (served_elsewhere) continue;
    findings_.add("old-policy-no-certificate", Severity::Error, host.name.text(), &host.domain, [&] {
      return Words{fmt::format("senders may hold an earlier policy that needs it, until {}, and it has no certificate any more", until),
                   "put its certificate back"};
    });
  }
}

void Audit::report_unused_names() {
  if (!every_domain_lists_mx_) return;  // then nobody knows
  map_.each([&](std::string_view key, const certs::Entry&) {
    const auto hit = map_.index().names->find(key);
    if (hit && hit->id < used_.size() && used_[hit->id]) return;
    findings_.add("name-unused", Severity::Note, key, nullptr, [] {
      return Words{"it is in the map, and no domain has it as an MX name",
                   "add it to the mx of its domain, or let its certificate go"};
    });
  });
}

}  // namespace postern::mtasts
