#include "daemon/app/score_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "report/sender.h"
#include "tls/parameter_names.h"

namespace postern::app {

namespace {

using report::OfDomain;
using report::OfSender;
using report::Reception;
using report::Sni;
using report::Window;

constexpr std::size_t rows_max = 100;  // of the lists that have no limit of their own
constexpr std::size_t help_max = 5;
constexpr std::size_t others_max = 2000;  // domains without mail that a list of domains looks at

std::optional<Window> window_of(std::string_view text) {
  if (text == "1h") return Window::Hour;
  if (text == "24h") return Window::Day;
  if (text == "7d") return Window::Week;
  return std::nullopt;
}

template <class Counts>
std::vector<control::SniKind> refusal_kinds(const Counts& counts, std::size_t first) {
  std::vector<control::SniKind> kinds;
  for (std::size_t i = report::first_refusal; i < report::reception_count; ++i) {
    const auto count = counts.of[first + i];
    if (count > 0) kinds.push_back({std::string(to_string(static_cast<Reception>(i))), count});
  }
  return kinds;
}

std::vector<control::SniKind> risks(const report::DomainCounts& counts) {
  std::vector<control::SniKind> kinds;
  for (std::size_t i = 0; i < report::sts_count; ++i) {
    const auto verdict = static_cast<report::Sts>(i);
    const auto count = counts.of_sts(verdict);
    if (verdict != report::Sts::Pass && count > 0) kinds.push_back({std::string(to_string(verdict)), count});
  }
  return kinds;
}

control::SniCounts counts_of(const report::SenderCounts& counts) {
  control::SniCounts made;
  made.handshakes = counts[OfSender::Handshakes];
  made.exact = counts.of_sni(Sni::Exact);
  made.wildcard = counts.of_sni(Sni::Wildcard);
  made.unknown = counts.of_sni(Sni::Unknown);
  made.unusable = counts.of_sni(Sni::Unusable);
  made.without_sni = counts.of_sni(Sni::None);
  made.tls13 = counts[OfSender::Tls13];
  made.tls12 = counts[OfSender::Tls12];
  made.older = counts[OfSender::OlderVersions];
  made.resumed = counts[OfSender::Resumed];
  made.accepted = counts.of_reception(Reception::Accepted);
  made.left = counts.of_reception(Reception::Left);
  made.failed = counts.of_reception(Reception::Failed);
  made.refused = counts.refused();
  made.refusals = refusal_kinds(counts, static_cast<std::size_t>(OfSender::FirstReception));
  made.downgraded = counts[OfSender::Downgraded];
  made.clear_sessions = counts[OfSender::ClearSessions];
  made.messages = counts[OfSender::Messages];
  return made;
}

/// The answers to one request, at one moment.
class Answers {
 public:
  Answers(const ScoreSources& sources, WallTime now)
      : score_(sources.keeper.score()),
        dropped_(sources.keeper.dropped()),
        settings_(sources.settings.current()),
        tls_(sources.tls.current()),
        now_(now) {}

  control::Reply answer(const control::SniRequest& request) const {
    const auto window = window_of(request.window);
    if (!window) return no_such_window(request.window);
    control::SniReply reply;
    reply.enabled = settings_->score.enabled;
    reply.window = request.window;
    reply.dropped = dropped_;
    reply.totals = counts_of(score_.totals().sum(now_, *window));
    for (const auto& [sender, row] : score_.senders().rows()) {
      const auto counts = row.counts.sum(now_, *window);
      if (counts == report::SenderCounts{}) continue;
      reply.senders.push_back({sender, report::is_verified(sender), row.missing, counts_of(counts)});
    }
    reply.sender_count = reply.senders.size();
    keep_heaviest(reply.senders, rows_of_page(request.limit),
                  [](const control::SniSender& one) { return one.counts.handshakes + one.counts.clear_sessions; });
    for (auto& refusal : refusals(*window)) {
      (refusal.server_name.empty() ? reply.nameless_refusals : reply.refusals).push_back(std::move(refusal));
    }
    keep_heaviest_refusals(reply);
    return reply;
  }

  control::Reply answer(const control::SniDomainRequest& request) const {
    const auto window = window_of(request.window);
    if (!window) return no_such_window(request.window);
    const auto domain = DnsName::from_utf8(request.domain);
    if (!domain) return control::ErrorReply{fmt::format("\"{}\" is no domain", escaped(request.domain, 80))};
    control::SniDomainReply reply;
    reply.enabled = settings_->score.enabled;
    reply.domain = domain->text();
    reply.window = request.window;
    if (const auto* policy = settings_->policies->find(*domain)) reply.policy = to_string(policy->mode);
    const auto mx = settings_->mx->find(*domain);
    for (const DnsName& name : mx) reply.mx.push_back(name.text());
    if (const auto* row = score_.domains().find(domain->text())) add_messages(row->counts.sum(now_, *window), reply);
    add_senders(*window, reply);
    for (auto& refusal : refusals(*window)) {
      const bool without = refusal.server_name.empty();
      const bool ours = std::find(reply.mx.begin(), reply.mx.end(), refusal.server_name) != reply.mx.end();
      if (!without && !ours) continue;
      if (ours) reply.refused += refusal.refused;
      (without ? reply.nameless_refusals : reply.refusals).push_back(std::move(refusal));
    }
    keep_heaviest_refusals(reply);
    judge(reply);
    return reply;
  }

  control::Reply answer(const control::SniDomainsRequest& request) const {
    const auto window = window_of(request.window);
    if (!window) return no_such_window(request.window);
    control::SniDomainsReply reply;
    reply.enabled = settings_->score.enabled;
    reply.window = request.window;
    reply.domain_count = settings_->mx->all().size();
    reply.domains = summaries(*window);
    const auto limit = rows_of_page(request.limit);
    std::sort(reply.domains.begin(), reply.domains.end(), before);
    reply.domain_count = std::max<std::uint64_t>(reply.domain_count, reply.domains.size());
    if (reply.domains.size() > limit) reply.domains.resize(limit);
    return reply;
  }

  control::Reply answer(const control::SniFailuresRequest& request) const {
    control::SniFailuresReply reply;
    const auto& failures = score_.failures();
    for (auto failure = failures.rbegin(); failure != failures.rend() && reply.failures.size() < request.limit; ++failure) {
      reply.failures.push_back(shown(*failure));
    }
    return reply;
  }

 private:
  static control::ErrorReply no_such_window(const std::string& window) {
    return {fmt::format("window \"{}\": expected \"1h\", \"24h\" or \"7d\"", escaped(window, 40))};
  }

  static std::uint64_t weight_of_refusal(const control::SniRefusal& refusal) { return refusal.refused; }

  template <class Row, class Weight>
  static void keep_heaviest(std::vector<Row>& rows, std::size_t limit, Weight weight) {
    std::sort(rows.begin(), rows.end(), [&weight](const Row& a, const Row& b) {
      return std::pair(weight(b), std::string_view(a.sender)) < std::pair(weight(a), std::string_view(b.sender));
    });
    if (rows.size() > limit) rows.resize(limit);
  }

  template <class Reply>
  static void keep_heaviest_refusals(Reply& reply) {
    keep_heaviest(reply.refusals, rows_max, weight_of_refusal);
    keep_heaviest(reply.nameless_refusals, rows_max, weight_of_refusal);
  }

  static std::size_t rows_of_page(std::uint64_t asked) {
    return static_cast<std::size_t>(std::min<std::uint64_t>(asked, control::page_rows_max));
  }

  std::vector<control::SniRefusal> refusals(Window window) const {
    std::vector<control::SniRefusal> made;
    for (const auto& [key, row] : score_.refusals().rows()) {
      const auto counts = row.counts.sum(now_, window);
      if (counts.refused() == 0) continue;
      auto parts = report::RefusalKey::parse(key);
      control::SniRefusal refusal;
      refusal.server_name = std::move(parts.server_name);
      refusal.local = std::move(parts.local);
      refusal.sender = std::move(parts.sender);
      refusal.verified = report::is_verified(refusal.sender);
      refusal.refused = counts.refused();
      refusal.how = refusal_kinds(counts, 0);
      refusal.downgraded = counts.downgraded();
      refusal.domains = row.notes;
      if (refusal.server_name.empty()) refusal.help = names_that_help(refusal);
      made.push_back(std::move(refusal));
    }
    return made;
  }

  /// The MX names that the sender may have expected, of those that the default certificate lacks: of the domains that it
  /// then delivered to in clear; where it did not come back, of any.
  std::vector<std::string> names_that_help(const control::SniRefusal& refusal) const {
    std::vector<std::string> names;
    const auto* served = default_at(refusal.local);
    const auto add = [&](std::span<const DnsName> mx) {
      for (const DnsName& name : mx) {
        const bool covered = served != nullptr && covers(*served, name);
        const bool there = std::find(names.begin(), names.end(), name.text()) != names.end();
        if (!covered && !there && names.size() < help_max) names.push_back(name.text());
      }
    };
    for (const std::string& domain : refusal.domains) {
      if (const auto name = DnsName::parse(domain)) add(settings_->mx->find(*name));
    }
    if (!refusal.domains.empty()) return names;
    for (const auto& [domain, mx] : settings_->mx->all()) {
      if (names.size() == help_max) break;
      add(*mx);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static bool covers(const certs::Entry& entry, const DnsName& name) {
    return (entry.ecdsa && entry.ecdsa->leaf.covers(name)) || (entry.rsa && entry.rsa->leaf.covers(name));
  }

  /// What a client gets that connects to this address without a name; null when no listener is there any more.
  const certs::Entry* default_at(const std::string& local) const {
    const auto address = IpAddress::parse(local);
    if (!address) return nullptr;
    for (const auto& [endpoint, listener] : settings_->listeners) {
      const bool there = endpoint.address == *address || endpoint.address.is_unspecified();
      if (!there || listener.protocol != session::ListenerProtocol::Smtp || listener.tls == session::ListenerTls::None) continue;
      return tls_->default_snapshot->find_default(listener.default_certificate_at(*address));
    }
    return nullptr;
  }

  static void add_messages(const report::DomainCounts& counts, control::SniDomainReply& reply) {
    reply.ok = counts.ok();
    reply.at_risk = counts.at_risk();
    reply.other_name = counts.foreign();
    reply.without_sni = counts[OfDomain::WithoutSni];
    reply.in_clear = counts[OfDomain::InClear];
    reply.why = risks(counts);
  }

  void add_senders(Window window, control::SniDomainReply& reply) const {
    for (const auto& [key, row] : score_.pairs().rows()) {
      const auto [domain, sender] = report::split_pair(key);
      if (domain != reply.domain) continue;
      const auto counts = row.counts.sum(now_, window);
      if (counts == report::DomainCounts{}) continue;
      control::SniDomainSender made;
      made.sender = sender;
      made.verified = report::is_verified(sender);
      made.missing = row.missing;
      made.ok = counts.ok();
      made.at_risk = counts.at_risk();
      made.without_sni = counts[OfDomain::WithoutSni];
      made.in_clear = counts[OfDomain::InClear];
      made.why = risks(counts);
      reply.senders.push_back(std::move(made));
    }
    keep_heaviest(reply.senders, rows_max, [](const control::SniDomainSender& one) {
      return one.ok + one.at_risk + one.without_sni + one.in_clear;
    });
  }

  /// Of the domains to which mail has come, and of as many others as may be looked at in one turn of a loop.
  std::vector<control::SniDomainSummary> summaries(Window window) const {
    std::unordered_map<std::string, std::uint64_t> under_name, came_back;  // refused handshakes
    for (const auto& refusal : refusals(window)) {
      if (refusal.server_name.empty()) {
        for (const std::string& domain : refusal.domains) came_back[domain] += refusal.refused;
      } else {
        under_name[refusal.server_name] += refusal.refused;
      }
    }
    std::vector<control::SniDomainSummary> made;
    const auto add = [&](const DnsName& domain, const report::DomainCounts& counts) {
      control::SniDomainSummary& one = made.emplace_back();
      one.domain = domain.text();
      if (const auto* policy = settings_->policies->find(domain)) one.policy = to_string(policy->mode);
      one.ok = counts.ok();
      one.at_risk = counts.at_risk();
      one.without_sni = counts[OfDomain::WithoutSni];
      one.in_clear = counts[OfDomain::InClear];
      for (const DnsName& name : settings_->mx->find(domain)) one.refused += count_of(under_name, name.text());
      one.refused += count_of(came_back, one.domain);
      one.enforce = verdict(one.ok, one.at_risk + one.refused);
    };
    for (const auto& [text, row] : score_.domains().rows()) {
      const auto counts = row.counts.sum(now_, window);
      const auto domain = DnsName::parse(text);
      if (domain && counts != report::DomainCounts{}) add(*domain, counts);
    }
    std::size_t room = others_max;
    for (const auto& [domain, mx] : settings_->mx->all()) {
      if (room-- == 0) break;
      const auto* row = score_.domains().find(domain.text());
      if (row == nullptr || row->counts.sum(now_, window) == report::DomainCounts{}) add(domain, {});
    }
    return made;
  }

  static std::uint64_t count_of(const std::unordered_map<std::string, std::uint64_t>& counts, const std::string& name) {
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
  }

  static bool before(const control::SniDomainSummary& a, const control::SniDomainSummary& b) {
    const auto rank = [](const control::SniDomainSummary& one) {
      return std::tuple(one.enforce != "unsafe", ~(one.ok + one.at_risk + one.without_sni + one.in_clear),
                        std::string_view(one.domain));
    };
    return rank(a) < rank(b);
  }

  static std::string verdict(std::uint64_t ok, std::uint64_t harmed) {
    if (harmed > 0) return "unsafe";
    return ok > 0 ? "safe" : "unknown";
  }

  /// What `enforce` would do to the mail of this domain, as far as its senders have shown.
  static void judge(control::SniDomainReply& reply) {
    std::uint64_t came_back = 0;
    for (const auto& refusal : reply.nameless_refusals) {
      const bool for_us = std::find(refusal.domains.begin(), refusal.domains.end(), reply.domain) != refusal.domains.end();
      if (!for_us) continue;
      came_back += refusal.refused;
      reply.advice.push_back(fmt::format(
          "{} sends no SNI and refuses the default certificate at {}: give that address a certificate for {} "
          "(listen.local.{}.default_certificate), or the domain an address of its own",
          refusal.sender, refusal.local, fmt::join(refusal.help.empty() ? reply.mx : refusal.help, ", "), refusal.local));
    }
    for (const auto& refusal : reply.refusals) {
      reply.advice.push_back(fmt::format("{} asks for {} and refuses its certificate: `postern certs --name {}` says what is "
                                         "served and why",
                                         refusal.sender, refusal.server_name, refusal.server_name));
    }
    for (const auto& risk : reply.why) reply.advice.push_back(advice_for(risk.kind, reply.domain));
    if (reply.mx.empty()) {
      reply.advice.push_back("the MX names of the domain are not configured (domain.mx): a wrong name in SNI cannot be told");
    }
    reply.enforce = verdict(reply.ok, reply.at_risk + reply.refused + came_back);
  }

  static std::string advice_for(std::string_view kind, const std::string& domain) {
    if (kind == "fail:name") return "fail:name: no certificate covers the MX name that was asked for: get one for it";
    if (kind == "fail:expired") return "fail:expired: the certificate has expired: renew it";
    if (kind == "fail:not-yet-valid") return "fail:not-yet-valid: the certificate is not valid yet";
    if (kind == "fail:untrusted") {
      return "fail:untrusted: the chain leads to no public root: senders that validate take no self-signed certificate";
    }
    if (kind == "fail:domain-as-sni") {
      return fmt::format("fail:domain-as-sni: senders ask for {} itself, not for an MX name: a wrong MX record or policy, or "
                         "their own peculiarity",
                         domain);
    }
    return fmt::format("fail:other-mx: senders ask for a name that is no MX name of {} here: compare its MX records and "
                       "its policy with domain.mx",
                       domain);
  }

  static control::SniFailure shown(const report::FailedHandshake& failure) {
    control::SniFailure made;
    made.time = rfc3339(failure.time);
    made.sender = failure.sender;
    made.address = failure.address;
    made.local = failure.local;
    made.stage = failure.stage;
    made.reason = failure.reason;
    made.alert = failure.alert;
    made.server_name = failure.server_name;
    made.version = failure.version;
    for (const auto version : failure.versions) made.versions.push_back(version_name(version));
    made.cipher_suites = named(failure.cipher_suites, tls::cipher_suite_name);
    made.groups = named(failure.groups, tls::group_name);
    made.signature_schemes = named(failure.signature_schemes, tls::signature_scheme_name);
    made.alpn = failure.alpn;
    return made;
  }

  static std::string version_name(std::uint16_t version) {
    switch (version) {
      case 0x0300: return "SSLv3";
      case 0x0301: return "TLSv1";
      case 0x0302: return "TLSv1.1";
      case 0x0303: return "TLSv1.2";
      case 0x0304: return "TLSv1.3";
      default: return fmt::format("{:#06x}", version);
    }
  }

  static std::vector<std::string> named(const std::vector<std::uint16_t>& numbers, std::string (*name)(std::uint16_t)) {
    std::vector<std::string> made;
    for (const auto number : numbers) made.push_back(name(number));
    return made;
  }

  const report::Score& score_;
  const std::uint64_t dropped_;
  const std::shared_ptr<const session::RunSettings> settings_;
  const std::shared_ptr<const session::TlsGeneration> tls_;
  const WallTime now_;
};

control::Reply answer(const Answers& answers, const control::Request& request) {
  if (const auto* domain = std::get_if<control::SniDomainRequest>(&request)) return answers.answer(*domain);
  if (const auto* domains = std::get_if<control::SniDomainsRequest>(&request)) return answers.answer(*domains);
  if (const auto* failures = std::get_if<control::SniFailuresRequest>(&request)) return answers.answer(*failures);
  return answers.answer(std::get<control::SniRequest>(request));
}

}  // namespace

bool asks_score(const control::Request& request) {
  return std::holds_alternative<control::SniRequest>(request) || std::holds_alternative<control::SniDomainRequest>(request) ||
         std::holds_alternative<control::SniDomainsRequest>(request) ||
         std::holds_alternative<control::SniFailuresRequest>(request);
}

void answer_from_score(const ScoreSources& sources, const control::Request& request,
                       std::function<void(control::Reply)> reply) {
  answer_from_score(sources, std::vector<control::Request>{request},
                    [reply = std::move(reply)](std::vector<control::Reply> replies) { reply(std::move(replies.front())); });
}

void answer_from_score(const ScoreSources& sources, std::vector<control::Request> requests,
                       std::function<void(std::vector<control::Reply>)> reply) {
  struct Asking {
    ScoreSources sources;
    std::vector<control::Request> requests;
    std::function<void(std::vector<control::Reply>)> reply;
    std::size_t open;
  };
  auto asking = std::make_shared<Asking>(Asking{sources, std::move(requests), std::move(reply), sources.workers.size()});
  for (const auto& worker : sources.workers) {
    worker->bring_score([asking] {
      if (--asking->open > 0) return;
      const Answers answers(asking->sources, uv::wall_time());
      std::vector<control::Reply> replies;
      for (const auto& request : asking->requests) replies.push_back(answer(answers, request));
      asking->reply(std::move(replies));
    });
  }
}

}  // namespace postern::app
