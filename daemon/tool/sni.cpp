#include "daemon/tool/sni.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "daemon/session/control_client.h"
#include "daemon/tool/table.h"

namespace postern::tool {
namespace {

constexpr Duration answer_within = std::chrono::seconds(30);
constexpr std::string_view off = "score.enabled is false: nothing new is counted\n";

std::string kinds(const std::vector<control::SniKind>& list) {
  std::string text;
  for (const auto& one : list) text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", one.kind, one.count);
  return text;
}

/// A network is no name: nobody but the address itself says so.
std::string sender_name(std::string_view sender, bool verified) {
  return verified ? std::string(sender) : fmt::format("{} (unverified)", sender);
}

std::string versions(const control::SniCounts& counts) {
  std::string text;
  const auto add = [&text](std::string_view name, std::uint64_t count) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, count);
  };
  add("1.3", counts.tls13);
  add("1.2", counts.tls12);
  add("older", counts.older);
  return text;
}

std::string number(std::uint64_t count) { return fmt::format("{}", count); }

void add_counts(Table& table, std::string sender, const control::SniCounts& counts, std::uint64_t missing) {
  table.row({std::move(sender), number(counts.handshakes), number(counts.handshakes - counts.without_sni),
             number(counts.exact + counts.wildcard), number(counts.unknown + counts.unusable), number(counts.without_sni),
             number(counts.refused), number(counts.failed), number(counts.clear_sessions), versions(counts)});
  const auto line = [&table](std::string_view text) { table.line(fmt::format("    {}", text)); };
  if (!counts.refusals.empty()) line("refused: " + kinds(counts.refusals));
  if (counts.downgraded > 0) line(fmt::format("came back in clear after a refusal or failure: {}", counts.downgraded));
  if (missing > 0) {
    line(fmt::format("may lack up to {}, counted before it was one of the heaviest", counted(missing, "session")));
  }
}

std::string below(std::string_view text) { return fmt::format("    {}\n", text); }

std::string refusal_lines(const control::SniRefusal& refusal) {
  const bool nameless = refusal.server_name.empty();
  std::string text = fmt::format("  {} at {}: {}{}\n", sender_name(refusal.sender, refusal.verified),
                                 nameless ? refusal.local : refusal.server_name, kinds(refusal.how),
                                 refusal.downgraded > 0 ? fmt::format(", came back in clear ({})", refusal.downgraded) : "");
  if (!refusal.domains.empty()) text += below(fmt::format("then delivered to {}", fmt::join(refusal.domains, ", ")));
  if (!refusal.help.empty()) {
    text += below(fmt::format("{} {}", refusal.domains.empty() ? "would help, if the mail was meant for them, a default certificate for"
                                                               : "would help: a default certificate for",
                              fmt::join(refusal.help, ", ")));
  }
  return text;
}

std::string refusal_section(std::string_view title, const std::vector<control::SniRefusal>& refusals) {
  if (refusals.empty()) return {};
  std::string text = fmt::format("\n{}\n", title);
  for (const auto& refusal : refusals) text += refusal_lines(refusal);
  return text;
}

/// Asks, and prints what `text` makes of an answer of this kind; the code that `judge` gives it.
template <class Kind, class Text, class Judge>
int show(const SniArguments& arguments, const control::Request& request, Text text, Judge judge) {
  const auto reply = session::ask_control(arguments.control, request, answer_within);
  if (!reply) {
    complain(reply.error().text);
    return exit_failure;
  }
  const auto* answer = std::get_if<Kind>(&*reply);
  if (answer == nullptr) {
    const auto* error = std::get_if<control::ErrorReply>(&*reply);
    complain(error != nullptr ? error->text : "posternd answered something else than it was asked");
    return exit_failure;
  }
  print(arguments.format == Format::Json ? control::to_json(*reply) : text(*answer));
  return judge(*answer);
}

}  // namespace

std::string sni_text(const control::SniReply& reply) {
  std::string text = reply.enabled ? "" : std::string(off);
  text += fmt::format("senders in the last {}: {}\n\n", reply.window, reply.sender_count);
  using Side = Table::Side;
  Table table({{"SENDER"}, {"TLS", Side::Right}, {"SNI", Side::Right}, {"MATCHED", Side::Right}, {"UNKNOWN", Side::Right},
               {"NO SNI", Side::Right}, {"REFUSED", Side::Right}, {"FAILED", Side::Right}, {"CLEAR", Side::Right},
               {"VERSIONS"}});
  add_counts(table, "all", reply.totals, 0);
  for (const auto& sender : reply.senders) {
    add_counts(table, sender_name(sender.sender, sender.verified), sender.counts, sender.missing);
  }
  text += table.take();
  if (reply.senders.size() < reply.sender_count) {
    text += fmt::format("and {} more; --limit shows them\n", counted(reply.sender_count - reply.senders.size(), "sender"));
  }
  text += refusal_section("Senders that refuse the certificate of the name that they ask for:", reply.refusals);
  text += refusal_section("Senders that ask for no name of ours and refuse the default certificate:", reply.nameless_refusals);
  if (reply.dropped > 0) text += fmt::format("\n{} could not be counted\n", counted(reply.dropped, "session"));
  return text;
}

std::string sni_domain_text(const control::SniDomainReply& reply) {
  std::string text = reply.enabled ? "" : std::string(off);
  text += fmt::format("{}, policy {}, MX {}\n", reply.domain, reply.policy.empty() ? "none" : reply.policy,
                      reply.mx.empty() ? "not configured" : fmt::format("{}", fmt::join(reply.mx, ", ")));
  if (reply.enforce == "safe") {
    text += fmt::format("enforce is safe: nothing of the last {} would have been lost\n\n", reply.window);
  } else if (reply.enforce == "unsafe") {
    text += fmt::format("enforce is NOT safe: in the last {}, {} would have been lost and {} were refused\n\n", reply.window,
                        counted(reply.at_risk, "message"), counted(reply.refused, "handshake"));
  } else {
    text += fmt::format("enforce: not known; in the last {} no sender that gives a name in SNI has brought mail\n\n", reply.window);
  }
  using Side = Table::Side;
  Table table({{"MESSAGES FROM"}, {"OK", Side::Right}, {"AT RISK", Side::Right}, {"NO SNI", Side::Right},
               {"CLEAR", Side::Right}, {"WHY"}});
  table.row({"all", number(reply.ok), number(reply.at_risk), number(reply.without_sni), number(reply.in_clear),
             kinds(reply.why)});
  for (const auto& sender : reply.senders) {
    table.row({sender_name(sender.sender, sender.verified), number(sender.ok), number(sender.at_risk),
               number(sender.without_sni), number(sender.in_clear), kinds(sender.why)});
    if (sender.missing > 0) table.line(fmt::format("    may lack up to {}", counted(sender.missing, "session")));
  }
  text += table.take();
  if (reply.other_name > 0) {
    text += fmt::format("{} of those at risk came under a name that is none of this domain's\n", reply.other_name);
  }
  text += refusal_section("Senders that refuse the certificate of one of its MX names:", reply.refusals);
  text += refusal_section("Senders that ask for no name of ours and refuse the default certificate; it may be for this domain:",
                          reply.nameless_refusals);
  if (!reply.advice.empty()) text += "\nWhat would help:\n";
  for (const auto& advice : reply.advice) text += fmt::format("  {}\n", advice);
  return text;
}

std::string sni_failures_text(const control::SniFailuresReply& reply) {
  if (reply.failures.empty()) return "no handshake has failed\n";
  std::string text;
  for (const auto& failure : reply.failures) {
    text += fmt::format("{}  {} ({}) at {}, {}: {}\n", failure.time, failure.sender, failure.address, failure.local,
                        failure.stage, failure.reason);
    text += below(fmt::format("SNI {}{}{}", failure.server_name.empty() ? "none" : failure.server_name,
                              failure.alert.empty() ? "" : ", alert " + failure.alert,
                              failure.version.empty() ? "" : ", " + failure.version));
    const auto offered = [&text](std::string_view what, const std::vector<std::string>& list) {
      if (!list.empty()) text += below(fmt::format("{}: {}", what, fmt::join(list, " ")));
    };
    offered("versions", failure.versions);
    offered("cipher suites", failure.cipher_suites);
    offered("groups", failure.groups);
    offered("signature schemes", failure.signature_schemes);
    offered("ALPN", failure.alpn);
  }
  return text;
}

int sni(const SniArguments& arguments) {
  const auto good = [](const auto&) { return exit_ok; };
  if (arguments.failures) {
    return show<control::SniFailuresReply>(arguments, control::SniFailuresRequest{arguments.limit}, sni_failures_text, good);
  }
  if (!arguments.domain.empty()) {
    return show<control::SniDomainReply>(
        arguments, control::SniDomainRequest{arguments.domain, arguments.window}, sni_domain_text,
        [](const control::SniDomainReply& reply) { return reply.enforce == "unsafe" ? exit_failure : exit_ok; });
  }
  return show<control::SniReply>(arguments, control::SniRequest{arguments.window, arguments.limit}, sni_text, good);
}

}  // namespace postern::tool
