#include "daemon/tool/policy_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "certs/anchors.h"
#include "daemon/session/policy_memory.h"
#include "daemon/uv/loop.h"
#include "mtasts/audit.h"
#include "mtasts/tlsa.h"

namespace postern::tool {

namespace {

constexpr std::size_t shown_of_a_code_max = 20;
constexpr std::size_t domains_at_a_time = 256;
constexpr std::size_t mx_names_remembered_max = 1'000'000;

Result<std::shared_ptr<const certs::Anchors>> read_anchors(const std::string& path) {
  const auto files = certs::make_local_file_source();
  certs::AnchorFile file;
  file.look(*files, path);
  if (file.fault()) return fail("{}: {}", file.fault()->source, file.fault()->text);
  if (!file.current()) return fail("this system has no file of trust anchors: name one with --roots");
  return file.current();
}

void add_file_faults(const Configured& configured, mtasts::Findings& findings) {
  for (const certs::Fault& fault : configured.faults) {
    const auto severity =
        fault.severity == certs::Fault::Severity::Error ? mtasts::Severity::Error : mtasts::Severity::Warning;
    findings.add("certificate-file", severity, fault.source, nullptr,
                 [&] { return mtasts::Findings::Words{fault.text, "`postern certs --state failed` says more"}; });
  }
}

void mark_what_listeners_use(const config::RunConfig& run, mtasts::Audit& audit) {
  audit.mark_used(run.hostname);
  for (const config::Listener& listener : run.listeners) {
    audit.mark_used(listener.hostname);
    audit.mark_used(listener.default_certificate);
    for (const auto& [address, local] : listener.local) {
      if (local.default_certificate) audit.mark_used(*local.default_certificate);
      if (local.hostname) audit.mark_used(*local.hostname);
    }
  }
  for (const delivery::SniRoute& route : run.routes) {
    audit.mark_used((route.covers == delivery::SniRoute::Covers::Subdomains ? "*." : "") + route.name.text());
  }
}

void check_that_policies_are_served(const Configured& configured, mtasts::Findings& findings) {
  const auto& run = configured.config.run;
  const bool host = std::any_of(run.listeners.begin(), run.listeners.end(), [](const config::Listener& listener) {
    return listener.protocol == config::ListenerProtocol::MtaSts;
  });
  if (host || run.policies->size() == 0) return;
  findings.add("policy-host-not-here", mtasts::Severity::Warning, "listen", nullptr, [] {
    return mtasts::Findings::Words{"domains have policies, and no listener serves them",
                                   "add a [[listen]] with protocol = \"mta-sts\", unless another web server has their text"};
  });
}

/// The questions about one batch of domains, and how the answers are taken off again in the same order.
class Batch {
 public:
  Batch(const Configured& configured, DnsLookup& lookup, mtasts::Findings& findings)
      : configured_(configured), lookup_(lookup), findings_(findings), addresses_(policy_host_addresses(configured)) {}

  void add(const delivery::DomainSettings& settings) {
    const auto domain = session::domain_view(settings, *configured_.config.run.policies);
    domains_.push_back(domain);
    const std::string& name = domain.name.text();
    ask(name, dns::Type::Mx);
    ask("_mta-sts." + name, dns::Type::Txt);
    ask("_smtp._tls." + name, dns::Type::Txt);
    if (domain.policy != nullptr) ask_addresses("mta-sts." + name);
    for (const DnsName& mx : domain.mx) {
      // A name that is shared by many domains is asked about once; beyond the limit, again and again.
      const bool is_new = seen_.size() >= mx_names_remembered_max || seen_.insert(mx.text()).second;
      if (!is_new) continue;
      mx_names_.push_back({mx, domains_.size() - 1});
    }
  }

  void run() {
    for (const auto& [mx, domain] : mx_names_) {
      ask_addresses(mx.text());
      ask(mtasts::tlsa_owner(mx), dns::Type::Tlsa);
    }
    answers_ = lookup_.ask(questions_);
    next_ = 0;
    for (const mtasts::Domain& domain : domains_) {
      mtasts::DomainFacts facts;
      facts.mx = take();
      facts.sts = take();
      facts.tlsrpt = take();
      if (domain.policy != nullptr) facts.policy_host = take_addresses();
      mtasts::compare_domain(domain, facts, addresses_, findings_);
    }
    for (const auto& [mx, domain] : mx_names_) compare_mx(mx, domains_[domain]);
    domains_.clear();
    mx_names_.clear();
    questions_.clear();
  }

  std::size_t size() const { return domains_.size(); }

 private:
  void ask(std::string name, dns::Type type) { questions_.push_back({std::move(name), type}); }
  void ask_addresses(const std::string& name) {
    ask(name, dns::Type::A);
    ask(name, dns::Type::Aaaa);
  }
  Result<dns::Answer> take() { return std::move(answers_[next_++]); }
  Result<dns::Answer> take_addresses() {
    auto a = take();
    auto aaaa = take();
    return joined(std::move(a), std::move(aaaa));
  }

  void compare_mx(const DnsName& mx, const mtasts::Domain& domain) {
    mtasts::MxFacts facts;
    facts.addresses = take_addresses();
    facts.tlsa = take();
    std::vector<mtasts::ServedChain> chains;
    if (facts.tlsa && !facts.tlsa->tlsa.empty()) {
      for (const auto& credential : served_credentials(configured_, mx)) chains.push_back(served_chain(*credential));
    }
    mtasts::compare_mx(mx, domain, facts, lookup_.trust(), chains, findings_);
  }

  static mtasts::ServedChain served_chain(const tls::Credential& credential) {
    mtasts::ServedChain chain{credential.source, {}};
    for (const auto& certificate : credential.chain) {
      chain.certificates.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(certificate.get())),
                                      CRYPTO_BUFFER_len(certificate.get()));
    }
    return chain;
  }

  const Configured& configured_;
  DnsLookup& lookup_;
  mtasts::Findings& findings_;
  std::vector<IpAddress> addresses_;
  std::unordered_set<std::string> seen_;
  std::vector<mtasts::Domain> domains_;
  std::vector<std::pair<DnsName, std::size_t>> mx_names_;  // with the first domain that has it
  std::vector<Question> questions_;
  std::vector<Result<dns::Answer>> answers_;
  std::size_t next_ = 0;
};

std::string concerned(const mtasts::Finding& finding) {
  std::string text = counted(finding.domains, "domain") + ": ";
  for (std::size_t i = 0; i < finding.examples.size(); ++i) text += (i == 0 ? "" : ", ") + finding.examples[i];
  return text + (finding.domains > finding.examples.size() ? ", ..." : "");
}

}  // namespace

std::vector<IpAddress> policy_host_addresses(const Configured& configured) {
  const auto& run = configured.config.run;
  if (!run.published.addresses.empty()) return run.published.addresses;
  std::vector<IpAddress> addresses;
  for (const config::Listener& listener : run.listeners) {
    if (listener.protocol != config::ListenerProtocol::MtaSts) continue;
    for (const Endpoint& endpoint : listener.addresses) {
      const bool known = std::find(addresses.begin(), addresses.end(), endpoint.address) != addresses.end();
      if (!endpoint.address.is_unspecified() && !known) addresses.push_back(endpoint.address);
    }
  }
  return addresses;
}

Result<void> audit_configuration(const Configured& configured, const std::vector<const delivery::DomainSettings*>& domains,
                                 const AuditRequest& request, mtasts::Findings& findings) {
  const auto& run = configured.config.run;
  const auto anchors = read_anchors(request.roots.empty() ? run.certificates.roots : request.roots);
  if (!anchors) return fail_with(anchors.error());
  mtasts::AuditOptions options;
  options.now = uv::wall_time();
  options.expires_within = std::chrono::days(std::min<std::uint64_t>(request.expires_within_days, 100'000));
  options.trusted = [anchors = *anchors, now = options.now](const tls::Credential& credential) {
    return anchors->vouch_for(credential, now);
  };
  options.roots = (*anchors)->source();
  options.mail_defaults = default_entries(configured, config::ListenerProtocol::Smtp);
  options.policy_defaults = default_entries(configured, config::ListenerProtocol::MtaSts);
  mtasts::Audit audit(*configured.map, std::move(options), findings);

  check_that_policies_are_served(configured, findings);
  mark_what_listeners_use(run, audit);
  for (const auto* domain : domains) audit.take(session::domain_view(*domain, *run.policies));
  // A policy that was removed is in the table again, as one that says `none`: what the domain has is what counts here.
  audit.take_remembered(configured.kept, [&](const DnsName& name) {
    const auto* policy = run.policies->find(name);
    return policy != nullptr && policy->mode != mtasts::Mode::None;
  });
  const auto named = std::count_if(run.domains.begin(), run.domains.end(), [](const auto& domain) { return domain.name.has_value(); });
  const bool all_domains = domains.size() == static_cast<std::size_t>(named);
  if (all_domains) {
    add_file_faults(configured, findings);
    audit.report_unused_names();
  }
  if (!configured.memory_fault.empty()) {
    findings.add("policy-memory", mtasts::Severity::Warning, "state_dir", nullptr, [&] {
      return mtasts::Findings::Words{"it is not known which old policies senders may hold: " + configured.memory_fault,
                                     "run this as a user that may read it, or remove it if it is damaged"};
    });
  }
  return {};
}

void audit_dns(const Configured& configured, const std::vector<const delivery::DomainSettings*>& domains, DnsLookup& lookup,
               mtasts::Findings& findings) {
  Batch batch(configured, lookup, findings);
  for (const auto* domain : domains) {
    batch.add(*domain);
    if (batch.size() == domains_at_a_time) batch.run();
  }
  batch.run();
}

std::string findings_text(const mtasts::Findings& findings, std::uint64_t domains) {
  std::string text;
  std::string_view code;
  std::size_t of_code = 0;
  std::uint64_t hidden = 0;
  const auto end_code = [&] {
    const auto others = findings.not_kept().find(code);
    const auto more = hidden + (others == findings.not_kept().end() ? 0 : others->second);
    if (more != 0) text += fmt::format("         and {} more of this kind; --json has more of them\n", more);
    hidden = 0;
  };
  for (const mtasts::Finding* finding : findings.sorted()) {
    if (finding->code != code) {
      end_code();
      code = finding->code;
      of_code = 0;
    }
    if (++of_code > shown_of_a_code_max) {
      ++hidden;
      continue;
    }
    text += fmt::format("{:<8} {}: {}\n", to_string(finding->severity), finding->subject, finding->text);
    if (finding->domains != 0) text += fmt::format("         for {}\n", concerned(*finding));
    text += fmt::format("         fix: {}\n", finding->fix);
  }
  end_code();
  const auto count = [&](mtasts::Severity severity, std::string_view word) {
    return counted(findings.count_of(severity), word);
  };
  return text + fmt::format("{}: {}, {}, {}\n", counted(domains, "domain"), count(mtasts::Severity::Error, "error"),
                            count(mtasts::Severity::Warning, "warning"), count(mtasts::Severity::Note, "note"));
}

std::string findings_json(const mtasts::Findings& findings, std::uint64_t domains) {
  nlohmann::ordered_json made;
  made["domains"] = domains;
  made["errors"] = findings.count_of(mtasts::Severity::Error);
  made["warnings"] = findings.count_of(mtasts::Severity::Warning);
  made["findings"] = nlohmann::ordered_json::array();
  for (const mtasts::Finding* finding : findings.sorted()) {
    made["findings"].push_back({{"severity", to_string(finding->severity)},
                                {"code", finding->code},
                                {"subject", finding->subject},
                                {"text", finding->text},
                                {"fix", finding->fix},
                                {"domains", finding->domains},
                                {"examples", finding->examples}});
  }
  made["not_listed"] = nlohmann::ordered_json::object();
  for (const auto& [code, count] : findings.not_kept()) made["not_listed"][std::string(code)] = count;
  return made.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int report(const mtasts::Findings& findings, std::uint64_t domains, Format format) {
  print(format == Format::Json ? findings_json(findings, domains) : findings_text(findings, domains));
  return findings.has_errors() ? exit_failure : exit_ok;
}

}  // namespace postern::tool
