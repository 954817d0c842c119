// Domains, their MX names and policies, held against the certificate map: what a validating sender would stumble over,
// found without asking anybody. One domain at a time, in memory that does not grow with their number.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "certs/snapshot.h"
#include "mtasts/domain.h"
#include "mtasts/findings.h"
#include "mtasts/memory.h"

namespace postern::mtasts {

struct AuditOptions {
  WallTime now{};
  std::chrono::days expires_within{14};   ///< a certificate that ends sooner is reported
  /// Whether a chain leads to the anchors of senders; empty: nobody knows, and nothing is said of it.
  std::function<bool(const tls::Credential&)> trusted;
  std::string roots;                      ///< whose anchors these are, for people
  /// What the listeners for mail, and those that are policy hosts, serve when no name matches; null where that is nothing.
  std::vector<const certs::Entry*> mail_defaults, policy_defaults;
};

/// A policy that ends sooner protects hardly anybody: RFC 8461 section 3.2 wants weeks.
constexpr std::chrono::seconds max_age_min = std::chrono::hours(24);

class Audit {
 public:
  /// All must outlive it.
  Audit(const certs::Snapshot& map, AuditOptions options, Findings& findings);

  void take(const Domain& domain);
  /// A host name that the configuration needs for something else.
  void mark_used(std::string_view name);
  /// What must stay although no domain has it any more, and until when.
  void take_remembered(std::span<const KeptHost> kept, const std::function<bool(const DnsName&)>& has_policy);
  /// After all domains: names in the map that nobody uses.
  void report_unused_names();

  std::uint64_t domains() const { return domains_; }

 private:
  enum class Role { Mx, PolicyHost };
  struct Use {
    Role role;
    const DnsName& name;
    const Domain& domain;
    Severity severity;      ///< of what makes a validating sender turn away
    bool must_be_trusted;
  };
  enum class Trust : std::uint8_t { Unknown, Trusted, SelfSigned, Untrusted };

  void check_policy(const Domain& domain);
  void check_name(const Use& use);
  void check_missing(const Use& use);
  void check_credential(const Use& use, const tls::Credential& credential);
  void check_time(const Use& use, const tls::Credential& credential);
  Trust trust_in(const tls::Credential& credential);
  void mark(std::string_view key);

  const certs::Snapshot& map_;
  AuditOptions options_;
  Findings& findings_;
  std::vector<bool> used_;  // by the number of the name in the map
  std::unordered_map<const tls::Credential*, Trust> trust_;
  std::uint64_t domains_ = 0;
  bool every_domain_lists_mx_ = true;
};

}  // namespace postern::mtasts
