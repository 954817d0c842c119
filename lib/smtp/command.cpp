#include "smtp/command.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::smtp {

namespace {

/// A word of up to eight letters as one number, in upper case, so that verbs are compared in one step each.
constexpr std::uint64_t packed(std::string_view word) {
  std::uint64_t made = 0;
  for (const char c : word) {
    made = made << 8 | static_cast<unsigned char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return made;
}

std::string_view first_word(std::string_view line) { return line.substr(0, line.find_first_of(" \t")); }

bool may_carry_address(Verb verb) {
  return verb == Verb::Mail || verb == Verb::Rcpt || verb == Verb::Vrfy || verb == Verb::Expn;
}

bool is_control(char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; }
bool is_eight_bit(char c) { return static_cast<unsigned char>(c) > 0x7f; }

/// Drops `keyword` (`FROM:`) from the front of an argument.
bool take_keyword(std::string_view& argument, std::string_view keyword) {
  if (!starts_with_ignoring_case(argument, keyword)) return false;
  argument.remove_prefix(keyword.size());
  return true;
}

}  // namespace

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::Ehlo: return "EHLO";
    case Verb::Helo: return "HELO";
    case Verb::Lhlo: return "LHLO";
    case Verb::Mail: return "MAIL";
    case Verb::Rcpt: return "RCPT";
    case Verb::Data: return "DATA";
    case Verb::Bdat: return "BDAT";
    case Verb::Rset: return "RSET";
    case Verb::Noop: return "NOOP";
    case Verb::Quit: return "QUIT";
    case Verb::Vrfy: return "VRFY";
    case Verb::Expn: return "EXPN";
    case Verb::Help: return "HELP";
    case Verb::StartTls: return "STARTTLS";
    case Verb::Auth: return "AUTH";
    case Verb::Xclient: return "XCLIENT";
    case Verb::Xforward: return "XFORWARD";
    case Verb::ForeignProtocol: return "foreign";
    case Verb::Unknown: return "unknown";
  }
  return "";
}

Verb verb_of(std::string_view line) {
  const auto word = first_word(line);
  if (word.size() > sizeof(std::uint64_t)) return Verb::Unknown;
  switch (packed(word)) {
    case packed("EHLO"): return Verb::Ehlo;
    case packed("HELO"): return Verb::Helo;
    case packed("LHLO"): return Verb::Lhlo;
    case packed("MAIL"): return Verb::Mail;
    case packed("RCPT"): return Verb::Rcpt;
    case packed("DATA"): return Verb::Data;
    case packed("BDAT"): return Verb::Bdat;
    case packed("RSET"): return Verb::Rset;
    case packed("NOOP"): return Verb::Noop;
    case packed("QUIT"): return Verb::Quit;
    case packed("VRFY"): return Verb::Vrfy;
    case packed("EXPN"): return Verb::Expn;
    case packed("HELP"): return Verb::Help;
    case packed("STARTTLS"): return Verb::StartTls;
    case packed("AUTH"): return Verb::Auth;
    case packed("XCLIENT"): return Verb::Xclient;
    case packed("XFORWARD"): return Verb::Xforward;
    case packed("GET"):
    case packed("POST"):
    case packed("HEAD"):
    case packed("PUT"):
    case packed("DELETE"):
    case packed("OPTIONS"):
    case packed("CONNECT"):
    case packed("PATCH"):
    case packed("TRACE"):
    case packed("PRI"):  // the preface of HTTP/2
      return Verb::ForeignProtocol;
    default: return Verb::Unknown;
  }
}

Parsed<CommandLine> parse_command_line(std::string_view line) {
  if (std::any_of(line.begin(), line.end(), is_control)) return tl::unexpected(replies::not_text);
  const CommandLine command{verb_of(line), trimmed(line.substr(first_word(line).size()))};
  if (!may_carry_address(command.verb) && std::any_of(line.begin(), line.end(), is_eight_bit)) {
    return tl::unexpected(replies::not_text);
  }
  return command;
}

Parsed<std::string_view> parse_hello(std::string_view argument, Tolerance tolerance) {
  if (argument.empty()) return tl::unexpected(replies::bad_hello_name);
  const bool well_formed = is_address_literal(argument) || DnsName::parse(argument).has_value();
  if (tolerance == Tolerance::Strict && !well_formed) return tl::unexpected(replies::bad_hello_name);
  return argument;
}

Parsed<MailCommand> parse_mail(std::string_view argument, const Grammar& grammar) {
  if (!take_keyword(argument, "FROM:")) return tl::unexpected(replies::bad_sender_syntax);
  auto from = take_reverse_path(argument, grammar.tolerance);
  if (!from) return tl::unexpected(replies::bad_sender_syntax);
  auto parameters = parse_mail_parameters(argument, grammar.offered);
  if (!parameters) return tl::unexpected(parameters.error());
  if (from->mailbox && from->mailbox->needs_smtputf8() && !parameters->smtputf8) {
    return tl::unexpected(replies::smtputf8_needed);
  }
  return MailCommand{std::move(*from), std::move(*parameters)};
}

Parsed<RcptCommand> parse_rcpt(std::string_view argument, const Grammar& grammar) {
  if (!take_keyword(argument, "TO:")) return tl::unexpected(replies::bad_recipient_syntax);
  auto to = take_forward_path(argument, grammar.tolerance);
  if (!to) return tl::unexpected(replies::bad_recipient_syntax);
  if (grammar.charset == AddressCharset::Ascii && to->mailbox.needs_smtputf8()) {
    return tl::unexpected(replies::smtputf8_needed);
  }
  auto parameters = parse_recipient_parameters(argument, grammar.offered, grammar.charset);
  if (!parameters) return tl::unexpected(parameters.error());
  return RcptCommand{std::move(*to), std::move(*parameters)};
}

Parsed<RelayedMail> parse_relayed_mail(std::string_view argument, Tolerance tolerance) {
  if (!take_keyword(argument, "FROM:")) return tl::unexpected(replies::bad_sender_syntax);
  auto from = take_reverse_path(argument, tolerance);
  if (!from) return tl::unexpected(replies::bad_sender_syntax);
  auto parameters = split_parameters(argument);
  if (!parameters) return tl::unexpected(parameters.error());
  return RelayedMail{std::move(*from), std::move(*parameters)};
}

Parsed<RelayedRcpt> parse_relayed_rcpt(std::string_view argument, Tolerance tolerance) {
  if (!take_keyword(argument, "TO:")) return tl::unexpected(replies::bad_recipient_syntax);
  auto to = take_forward_path(argument, tolerance);
  if (!to) return tl::unexpected(replies::bad_recipient_syntax);
  auto parameters = split_parameters(argument);
  if (!parameters) return tl::unexpected(parameters.error());
  return RelayedRcpt{std::move(*to), std::move(*parameters)};
}

Parsed<BdatCommand> parse_bdat(std::string_view argument) {
  const auto digits = argument.substr(0, argument.find_first_of(" \t"));
  const auto rest = trimmed(argument.substr(digits.size()));
  const auto octets = parse_decimal(digits);
  if (!octets || !(rest.empty() || equals_ignoring_case(rest, "LAST"))) return tl::unexpected(replies::bad_chunk);
  return BdatCommand{*octets, !rest.empty()};
}

}  // namespace postern::smtp
