#include "mtasts/dns_audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "mtasts/records.h"
#include "mtasts/tlsa.h"

namespace postern::mtasts {

namespace {

using Words = Findings::Words;

Severity severity_of(const Domain& domain) {
  return domain.policy != nullptr && domain.policy->mode == Mode::Enforce ? Severity::Error : Severity::Warning;
}

/// The answer, if there is one; else that is a finding.
const dns::Answer* answer_of(const Result<dns::Answer>& looked_up, const std::string& owner, std::string_view type,
                             const Domain& domain, Findings& findings) {
  if (looked_up) return &*looked_up;
  findings.add("dns-failed", Severity::Error, owner, &domain.name, [&] {
    return Words{fmt::format("its {} cannot be looked up: {}", type, looked_up.error().text),
                 "see whether its name servers answer, and which resolver is asked (--resolver)"};
  });
  return nullptr;
}

void compare_mx_set(const Domain& domain, const dns::Answer& answer, Findings& findings) {
  const auto add = [&](std::string_view code, Severity severity, std::string_view subject, std::string text, std::string fix) {
    findings.add(code, severity, subject, &domain.name, [&] { return Words{std::move(text), std::move(fix)}; });
  };
  if (answer.mx.empty()) {
    if (domain.mx.empty() && !domain.null_mx) return;
    return add("mx-missing-in-dns", Severity::Error, domain.name.text(), "it has no MX record",
               "publish what `postern dns` prints");
  }
  const auto published = [&](const DnsName& mx) {
    return std::any_of(answer.mx.begin(), answer.mx.end(), [&](const dns::MxRecord& record) { return record.host == mx; });
  };
  for (const DnsName& mx : domain.mx) {
    if (published(mx)) continue;
    add("mx-missing-in-dns", Severity::Warning, mx.text(), "no MX record of the domain names it: no sender comes there",
        "publish what `postern dns` prints, or remove it from mx");
  }
  for (const dns::MxRecord& record : answer.mx) {
    const std::string host = record.host ? record.host->text() : ".";
    const bool ours = record.host ? std::find(domain.mx.begin(), domain.mx.end(), *record.host) != domain.mx.end()
                                  : domain.null_mx;
    if (ours || (domain.mx.empty() && !domain.null_mx)) continue;
    const bool refused = domain.has_policy_in_force() && record.host && !domain.policy->allows(*record.host);
    add("mx-not-ours", refused ? severity_of(domain) : Severity::Warning, host,
        refused ? "it is an MX host in DNS, and the policy does not allow it: senders do not deliver to it"
                : "it is an MX host in DNS, and not in the mx of the domain",
        "add it to the mx of the domain, or remove it from DNS");
  }
}

void compare_sts(const Domain& domain, const dns::Answer& answer, Findings& findings) {
  const std::string owner = "_mta-sts." + domain.name.text();
  const auto add = [&](std::string_view code, Severity severity, std::string text, std::string fix) {
    findings.add(code, severity, owner, &domain.name, [&] { return Words{std::move(text), std::move(fix)}; });
  };
  std::vector<std::string> records;
  std::copy_if(answer.txt.begin(), answer.txt.end(), std::back_inserter(records),
               [](const std::string& text) { return text.starts_with("v=STSv1"); });
  if (domain.policy == nullptr) {
    if (!records.empty()) {
      add("sts-record-without-policy", Severity::Warning, "it says that there is a policy, and the domain has none here",
          "remove it, or set mta_sts; after a policy has been removed it has to stay for the old max_age");
    }
    return;
  }
  if (records.empty()) {
    return add("sts-record-missing", severity_of(domain), "there is no such TXT record: no sender looks for the policy",
               "publish what `postern dns` prints");
  }
  if (records.size() > 1) {
    return add("sts-record-several", severity_of(domain), "there are several such TXT records: senders then see no policy",
               "leave the one that `postern dns` prints");
  }
  const auto id = id_in_txt_record(records.front());
  const auto wanted = policy_id(*domain.policy);
  if (!id) {
    add("sts-record-malformed", severity_of(domain),
        fmt::format("it cannot be read: \"{}\"", escaped(records.front(), 80)), "publish what `postern dns` prints");
  } else if (*id != wanted) {
    add("sts-record-outdated", Severity::Warning,
        fmt::format("its id is {} and not {}: senders that have an earlier policy do not fetch this one", escaped(*id, 32),
                    wanted),
        "publish what `postern dns` prints");
  }
}

void compare_policy_host(const Domain& domain, const dns::Answer& answer, std::span<const IpAddress> addresses,
                         Findings& findings) {
  const std::string owner = "mta-sts." + domain.name.text();
  if (answer.addresses.empty()) {
    findings.add("policy-host-no-address", severity_of(domain), owner, &domain.name, [] {
      return Words{"it has no address: senders cannot fetch the policy", "publish what `postern dns` prints"};
    });
    return;
  }
  if (addresses.empty()) return;
  for (const IpAddress& address : answer.addresses) {
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) continue;
    findings.add("policy-host-elsewhere", Severity::Warning, owner, &domain.name, [&] {
      return Words{fmt::format("it has the address {}, which is not one of dns.addresses", address.text()),
                   "publish what `postern dns` prints, or correct dns.addresses"};
    });
  }
}

void compare_tlsrpt(const Domain& domain, const dns::Answer& answer, Findings& findings) {
  if (domain.tlsrpt.empty()) return;
  const auto wanted = tlsrpt_record(domain.tlsrpt);
  std::vector<std::string> records;
  std::copy_if(answer.txt.begin(), answer.txt.end(), std::back_inserter(records),
               [](const std::string& text) { return text.starts_with("v=TLSRPTv1"); });
  const bool good = records.size() == 1 && std::string_view(records.front()).substr(0, wanted.size()) == wanted;
  if (good) return;
  findings.add("tlsrpt-record", Severity::Warning, "_smtp._tls." + domain.name.text(), &domain.name, [&] {
    return Words{records.empty()       ? "there is no such TXT record: nobody sends reports"
                 : records.size() > 1 ? "there are several such TXT records: senders then send no reports"
                                      : fmt::format("it is \"{}\"", escaped(records.front(), 120)),
                 "publish what `postern dns` prints"};
  });
}

void compare_tlsa(const DnsName& mx, const Domain& domain, const dns::Answer& answer, ResolverTrust trust,
                  std::span<const ServedChain> chains, Findings& findings) {
  const auto add = [&](std::string_view code, Severity severity, std::string text, std::string fix) {
    findings.add(code, severity, mx.text(), &domain.name, [&] { return Words{std::move(text), std::move(fix)}; });
  };
  if (answer.tlsa.empty()) {
    return add("tlsa-missing", Severity::Note, "it has no TLSA records: senders cannot use DANE",
               "if its zone is signed, publish what `postern dns` prints");
  }
  if (trust == ResolverTrust::Trusted && !answer.authentic) {
    add("tlsa-not-signed", Severity::Warning,
        "it has TLSA records, and the resolver does not vouch for them: senders that follow DANE pass over them",
        "sign its zone (DNSSEC), or ask a resolver that validates (--resolver)");
  }
  std::vector<dns::TlsaRecord> usable;
  std::copy_if(answer.tlsa.begin(), answer.tlsa.end(), std::back_inserter(usable), is_usable);
  if (usable.empty()) {
    return add("tlsa-unusable", Severity::Warning, "none of its TLSA records is one that mail senders use (2 or 3)",
               "publish what `postern dns` prints");
  }
  const bool vouched_for = answer.authentic || trust == ResolverTrust::Untrusted;
  for (const ServedChain& chain : chains) {
    const bool met = std::any_of(usable.begin(), usable.end(), [&](const dns::TlsaRecord& record) {
      return matched_certificate(record, chain.certificates).has_value();
    });
    if (met) continue;
    add("tlsa-mismatch", vouched_for ? Severity::Error : Severity::Warning,
        fmt::format("no TLSA record covers the key of {}: senders that follow DANE do not deliver", chain.source),
        "publish what `postern dns` prints, and wait for twice the TTL before a new key is served");
  }
}

}  // namespace

void compare_domain(const Domain& domain, const DomainFacts& facts, std::span<const IpAddress> addresses,
                    Findings& findings) {
  const std::string& name = domain.name.text();
  if (const auto* mx = answer_of(facts.mx, name, "MX", domain, findings)) compare_mx_set(domain, *mx, findings);
  if (const auto* sts = answer_of(facts.sts, "_mta-sts." + name, "TXT", domain, findings)) {
    compare_sts(domain, *sts, findings);
  }
  if (domain.policy != nullptr) {
    const auto* host = answer_of(facts.policy_host, "mta-sts." + name, "address", domain, findings);
    if (host != nullptr) compare_policy_host(domain, *host, addresses, findings);
  }
  if (const auto* tlsrpt = answer_of(facts.tlsrpt, "_smtp._tls." + name, "TXT", domain, findings)) {
    compare_tlsrpt(domain, *tlsrpt, findings);
  }
}

void compare_mx(const DnsName& mx, const Domain& domain, const MxFacts& facts, ResolverTrust trust,
                std::span<const ServedChain> chains, Findings& findings) {
  const auto* addresses = answer_of(facts.addresses, mx.text(), "address", domain, findings);
  if (addresses != nullptr && addresses->addresses.empty()) {
    findings.add("mx-no-address", Severity::Error, mx.text(), &domain.name, [] {
      return Words{"it has no address: no sender comes there", "publish A and AAAA records for it"};
    });
  }
  if (const auto* tlsa = answer_of(facts.tlsa, tlsa_owner(mx), "TLSA", domain, findings)) {
    compare_tlsa(mx, domain, *tlsa, trust, chains, findings);
  }
}

}  // namespace postern::mtasts
