#include "daemon/tool/probe.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/text.h"
#include "certs/anchors.h"
#include "daemon/tool/dns_lookup.h"
#include "daemon/tool/peers.h"
#include "mtasts/tlsa.h"
#include "mtasts/verdict.h"
#include "tls/peer_check.h"
#include "tls/pem.h"

namespace postern::tool {

namespace {

constexpr std::string_view policy_path = "/.well-known/mta-sts.txt";
constexpr std::size_t roots_octets_max = 4 * 1024 * 1024;
constexpr std::size_t http_head_octets_max = 16 * 1024;
constexpr std::size_t hosts_max = 20;
constexpr std::size_t addresses_max = 4;  // of one host

std::string machine_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "localhost";
}

Result<std::string> read_roots(const std::string& configured) {
  const auto files = certs::make_local_file_source();
  const auto path = configured.empty() ? certs::system_anchor_file(*files) : std::optional(configured);
  if (!path) return fail("this system has no file of trust anchors: name one with --roots");
  auto contents = files->read(*path, roots_octets_max);
  if (!contents) return fail_with(contents.error());
  return std::move(contents->bytes);
}

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> stack_of(const std::vector<std::string>& chain) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> stack(sk_CRYPTO_BUFFER_new_null());
  for (const std::string& der : chain) {
    bssl::PushToStack(stack.get(), bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(
                                       reinterpret_cast<const std::uint8_t*>(der.data()), der.size(), nullptr)));
  }
  return stack;
}

/// One line of what was seen.
struct Step {
  std::string what, where, text;
};

class Probe {
 public:
  Probe(const ProbeArguments& arguments, std::vector<Endpoint> servers, bssl::UniquePtr<X509_STORE> roots,
        std::shared_ptr<const tls::ClientContext> https)
      : arguments_(arguments),
        lookup_(std::move(servers)),
        roots_(std::move(roots)),
        https_(std::move(https)),
        within_(std::chrono::seconds(arguments.seconds)),
        our_name_(arguments.hostname.empty() ? machine_name() : arguments.hostname) {}

  void domain(const DnsName& name) {
    find_policy(name);
    const auto answer = lookup_.ask({{name.text(), dns::Type::Mx}}).front();
    if (!answer) return step("MX", name.text(), answer.error().text);
    auto mx = answer->mx;
    std::stable_sort(mx.begin(), mx.end(), [](const auto& a, const auto& b) { return a.preference < b.preference; });
    if (mx.size() == 1 && !mx.front().host) return step("MX", name.text(), "`.`: it takes no mail (RFC 7505)");
    if (mx.empty()) {
      step("MX", name.text(), "none: senders try the domain itself");
      mx.push_back({0, name});
    }
    for (const auto& record : mx) {
      if (!record.host || hosts_.size() == hosts_max) continue;
      step("MX", name.text(), fmt::format("{} {}{}", record.preference, record.host->text(), signed_text(*answer)));
      host(*record.host, arguments_.port, *answer);
    }
  }

  void host(const DnsName& name, std::uint16_t port, const dns::Answer& mx_answer) {
    mtasts::MxSeen seen{name, {}, {}};
    const auto addresses = addresses_of(name);
    if (!addresses) {
      step("HOST", name.text(), addresses.error().text);
      seen.with_sni.failure = seen.without_sni.failure = addresses.error().text;
      hosts_.push_back(std::move(seen));
      return;
    }
    const SmtpSeen with = connect(*addresses, port, name, name, seen.with_sni);
    connect(*addresses, port, name, std::nullopt, seen.without_sni);
    seen.tlsa = look_at_tlsa(name, mx_answer, with);
    hosts_.push_back(std::move(seen));
  }

  int report() const {
    const auto judged = mtasts::verdicts(policy_, hosts_);
    print(arguments_.format == Format::Json ? json(judged) : text(judged));
    const bool well = !policy_is_wanting_ && std::all_of(judged.begin(), judged.end(), [](const auto& verdict) {
      return verdict.outcome == mtasts::Verdict::Outcome::Delivers;
    });
    return well ? exit_ok : exit_failure;
  }

  void no_policy(std::string why) { policy_.why_not = std::move(why); }

 private:
  void step(std::string what, std::string where, std::string said) {
    steps_.push_back({std::move(what), std::move(where), std::move(said)});
  }

  bool vouched_for(const dns::Answer& answer) const {
    return answer.authentic && lookup_.trust() == mtasts::ResolverTrust::Trusted;
  }
  std::string signed_text(const dns::Answer& answer) const { return vouched_for(answer) ? " (signed)" : ""; }

  Result<std::vector<IpAddress>> addresses_of(const DnsName& name) {
    if (!arguments_.connect.empty()) return std::vector<IpAddress>{*IpAddress::parse(arguments_.connect)};
    auto answers = lookup_.ask({{name.text(), dns::Type::A}, {name.text(), dns::Type::Aaaa}});
    const auto answer = joined(std::move(answers[0]), std::move(answers[1]));
    if (!answer) return fail_with(answer.error());
    if (answer->addresses.empty()) return fail("it has no address");
    auto addresses = answer->addresses;
    if (addresses.size() > addresses_max) addresses.resize(addresses_max);
    return addresses;
  }

  /// RFC 8461 section 3: the record, then the policy.
  void find_policy(const DnsName& domain) {
    const std::string owner = "_mta-sts." + domain.text();
    const auto answer = lookup_.ask({{owner, dns::Type::Txt}}).front();
    const auto give_up = [&](std::string what, std::string where, std::string why) {
      step(std::move(what), std::move(where), why);
      policy_.why_not = std::move(why);
    };
    if (!answer) return give_up("STS", owner, answer.error().text);
    std::vector<std::string> records;
    std::copy_if(answer->txt.begin(), answer->txt.end(), std::back_inserter(records),
                 [](const std::string& text) { return text.starts_with("v=STSv1"); });
    if (records.empty()) return give_up("STS", owner, "there is no such record");
    policy_is_wanting_ = true;
    const auto id = mtasts::id_in_txt_record(records.front());
    if (records.size() > 1) return give_up("STS", owner, "there are several such records, which counts as none");
    if (!id) return give_up("STS", owner, fmt::format("the record cannot be read: {}", escaped(records.front(), 100)));
    step("STS", owner, "id " + *id);
    const auto host = DnsName::parse("mta-sts." + domain.text());
    if (!host) return give_up("POLICY", owner, "the name of the policy host is too long");
    auto policy = fetch_policy(*host);
    if (!policy) return give_up("POLICY", host->text(), policy.error().text);
    std::string patterns;
    for (const auto& pattern : policy->mx) patterns += (patterns.empty() ? "" : ", ") + pattern.text();
    step("POLICY", host->text(), fmt::format("{}, max_age {}, mx {}", mtasts::to_string(policy->mode),
                                             readable(policy->max_age), patterns.empty() ? "none" : patterns));
    policy_.policy = std::move(*policy);
    policy_is_wanting_ = false;
  }

  Result<mtasts::Policy> fetch_policy(const DnsName& host) {
    const auto addresses = addresses_of(host);
    if (!addresses) return fail_with(addresses.error());
    Result<mtasts::Policy> policy = fail("it was not fetched");
    for (const IpAddress& address : *addresses) {
      const auto response = get_over_https({address, arguments_.https_port}, host, std::string(policy_path), https_,
                                           mtasts::policy_octets_max + http_head_octets_max, within_);
      if (!response) {
        policy = fail("{}: {}", address.text(), response.error().text);
        continue;
      }
      const auto type = to_lower_ascii(trimmed(std::string_view(response->content_type).substr(0, response->content_type.find(';'))));
      if (response->status != 200) return fail("it answers with the status {}", response->status);
      if (type != "text/plain") return fail("the answer is \"{}\" and not text/plain", escaped(type, 60));
      return mtasts::parse_policy(response->body);
    }
    return policy;
  }

  /// The addresses are tried in their order.
  SmtpSeen connect(const std::vector<IpAddress>& addresses, std::uint16_t port, const DnsName& name,
                   const std::optional<DnsName>& server_name, mtasts::HandshakeSeen& seen) {
    SmtpSeen smtp;
    const std::string_view what = server_name ? "SNI" : "NO SNI";
    for (const IpAddress& address : addresses) {
      const Endpoint endpoint{address, port};
      smtp = look_at_mx(endpoint, server_name, our_name_, within_);
      seen.failure = smtp.failure;
      seen.reached = smtp.greeted;
      if (!smtp.failure.empty()) {
        step(std::string(what), name.text(), fmt::format("{}: {}", endpoint.text(), smtp.failure));
        continue;
      }
      const auto fault = tls::check_peer(*roots_, stack_of(smtp.chain).get(), name);
      if (fault) seen.fault = fault->reason;
      step(std::string(what), name.text(),
           fmt::format("{}: {} {}; {}", endpoint.text(), smtp.tls_version, smtp.cipher,
                       fault ? fault->reason : "the certificate is trusted and for this name"));
      return smtp;
    }
    return smtp;
  }

  mtasts::TlsaStanding look_at_tlsa(const DnsName& name, const dns::Answer& mx_answer, const SmtpSeen& smtp) {
    using Standing = mtasts::TlsaStanding;
    const auto answer = lookup_.ask({{mtasts::tlsa_owner(name), dns::Type::Tlsa}}).front();
    if (!answer) {
      step("TLSA", name.text(), answer.error().text);
      return Standing::None;
    }
    std::vector<dns::TlsaRecord> usable;
    std::copy_if(answer->tlsa.begin(), answer->tlsa.end(), std::back_inserter(usable), mtasts::is_usable);
    if (usable.empty()) {
      step("TLSA", name.text(), answer->tlsa.empty() ? "no records" : "no record that mail senders use");
      return Standing::None;
    }
    const bool matches = std::any_of(usable.begin(), usable.end(), [&](const auto& record) { return fits(record, name, smtp); });
    const bool signed_all = vouched_for(*answer) && vouched_for(mx_answer);
    step("TLSA", name.text(), fmt::format("{} of {}: {}", usable.front().text().substr(0, 22) + "...", usable.size(),
                                          !matches ? "none fits the certificate" : "fits the certificate") +
                                  (signed_all ? "" : "; not signed, so that senders pass over them"));
    if (!signed_all) return Standing::NotVouchedFor;
    return matches ? Standing::Matches : Standing::Differs;
  }

  /// RFC 7672 section 3.1: usage 3 is the key and nothing else; usage 2 is an anchor, and the rest is checked as ever.
  static bool fits(const dns::TlsaRecord& record, const DnsName& name, const SmtpSeen& smtp) {
    const auto place = mtasts::matched_certificate(record, smtp.chain);
    if (!place) return false;
    if (record.usage == 3) return true;
    const auto anchor = tls::make_trust_store(tls::to_pem("CERTIFICATE", smtp.chain[*place]));
    return anchor && !tls::check_peer(**anchor, stack_of(smtp.chain).get(), name);
  }

  static std::string_view outcome_text(mtasts::Verdict::Outcome outcome) {
    switch (outcome) {
      case mtasts::Verdict::Outcome::Delivers: return "delivers";
      case mtasts::Verdict::Outcome::DeliversInClear: return "delivers in clear";
      case mtasts::Verdict::Outcome::Refuses: return "does not deliver";
    }
    return "";
  }

  std::string text(const std::vector<mtasts::Verdict>& judged) const {
    std::size_t width = 0, sender_width = 0;
    for (const auto& verdict : judged) sender_width = std::max(sender_width, verdict.sender.size());
    for (const Step& step : steps_) width = std::max(width, step.where.size());
    std::string made;
    for (const Step& step : steps_) made += fmt::format("{:<7} {:<{}}  {}\n", step.what, step.where, width, step.text);
    made += "\nA sender that\n";
    for (const auto& verdict : judged) {
      made += fmt::format("  {:<{}}  {}: {}\n", verdict.sender, sender_width, outcome_text(verdict.outcome), verdict.text);
    }
    return made;
  }

  std::string json(const std::vector<mtasts::Verdict>& judged) const {
    nlohmann::ordered_json made;
    made["target"] = arguments_.target;
    made["steps"] = nlohmann::ordered_json::array();
    for (const Step& step : steps_) made["steps"].push_back({{"step", step.what}, {"name", step.where}, {"text", step.text}});
    made["verdicts"] = nlohmann::ordered_json::array();
    for (const auto& verdict : judged) {
      made["verdicts"].push_back(
          {{"sender", verdict.sender}, {"outcome", outcome_text(verdict.outcome)}, {"text", verdict.text}});
    }
    return made.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  const ProbeArguments& arguments_;
  DnsLookup lookup_;
  bssl::UniquePtr<X509_STORE> roots_;
  std::shared_ptr<const tls::ClientContext> https_;
  Duration within_;
  std::string our_name_;
  mtasts::PolicySeen policy_;
  bool policy_is_wanting_ = false;  // it is announced, and nobody gets it
  std::vector<mtasts::MxSeen> hosts_;
  std::vector<Step> steps_;
};

int wrong(std::string_view text) {
  complain(text);
  return exit_usage;
}

}  // namespace

int probe(const ProbeArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  auto servers = resolver_endpoints(arguments.resolvers);
  if (!servers) return wrong(servers.error().text);
  if (!arguments.connect.empty() && !IpAddress::parse(arguments.connect)) {
    return wrong(fmt::format("--connect: expected an IP address, found \"{}\"", escaped(arguments.connect, 80)));
  }
  const auto roots_pem = read_roots(arguments.roots);
  auto roots = roots_pem ? tls::make_trust_store(*roots_pem, arguments.roots.empty() ? "trust anchors" : arguments.roots)
                         : Result<bssl::UniquePtr<X509_STORE>>(fail_with(roots_pem.error()));
  if (!roots) {
    complain(roots.error().text);
    return exit_failure;
  }
  const auto https = tls::ClientContext::make({tls::PeerCheck::Mode::Roots, *roots_pem, nullptr});
  if (!https) {
    complain(https.error().text);
    return exit_failure;
  }
  const auto colon = arguments.target.find(':');
  const auto name = DnsName::from_utf8(std::string_view(arguments.target).substr(0, colon));
  if (!name) {
    return wrong(fmt::format("\"{}\" is neither a domain nor HOST:PORT; a certificate is for a name, so for an address say "
                             "NAME:PORT --connect ADDRESS",
                             escaped(arguments.target, 80)));
  }
  Probe run(arguments, std::move(*servers), std::move(*roots), *https);
  if (colon == std::string::npos) {
    run.domain(*name);
  } else {
    const auto port = parse_decimal(std::string_view(arguments.target).substr(colon + 1));
    if (!port || *port == 0 || *port > UINT16_MAX) return wrong("a port is a number from 1 to 65535");
    run.no_policy("a host was named, not a domain");
    dns::Answer no_mx;
    no_mx.authentic = true;  // nothing led here that would have to be signed
    run.host(*name, static_cast<std::uint16_t>(*port), no_mx);
  }
  return run.report();
}

}  // namespace postern::tool
