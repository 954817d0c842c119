#include "smtp/command.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/text.h"

namespace postern::smtp {

namespace {

constexpr std::array<std::pair<std::string_view, Verb>, 23> verbs{{
    {"EHLO", Verb::Ehlo},
    {"HELO", Verb::Helo},
    {"LHLO", Verb::Lhlo},
    {"MAIL", Verb::Mail},
    {"RCPT", Verb::Rcpt},
    {"DATA", Verb::Data},
    {"BDAT", Verb::Bdat},
    {"RSET", Verb::Rset},
    {"NOOP", Verb::Noop},
    {"QUIT", Verb::Quit},
    {"VRFY", Verb::Vrfy},
    {"EXPN", Verb::Expn},
    {"HELP", Verb::Help},
    {"STARTTLS", Verb::StartTls},
    {"GET", Verb::ForeignProtocol},
    {"POST", Verb::ForeignProtocol},
    {"HEAD", Verb::ForeignProtocol},
    {"PUT", Verb::ForeignProtocol},
    {"DELETE", Verb::ForeignProtocol},
    {"OPTIONS", Verb::ForeignProtocol},
    {"CONNECT", Verb::ForeignProtocol},
    {"PATCH", Verb::ForeignProtocol},
    {"PRI", Verb::ForeignProtocol},  // the preface of HTTP/2
}};

std::string_view first_word(std::string_view line) { return line.substr(0, line.find_first_of(" \t")); }

bool may_carry_address(Verb verb) {
  return verb == Verb::Mail || verb == Verb::Rcpt || verb == Verb::Vrfy || verb == Verb::Expn;
}

bool is_control(char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; }
bool is_eight_bit(char c) { return static_cast<unsigned char>(c) > 0x7f; }

/// An ESMTP parameter (RFC 5321 section 4.1.2, esmtp-param).
struct Parameter {
  std::string_view keyword;
  std::optional<std::string_view> value;
};

std::optional<Parameter> parse_parameter(std::string_view word) {
  const auto equals = word.find('=');
  Parameter parameter{word.substr(0, equals), std::nullopt};
  const auto is_keyword_char = [](char c) { return is_alpha(c) || is_digit(c) || c == '-'; };
  if (parameter.keyword.empty() || parameter.keyword.front() == '-') return std::nullopt;
  if (!std::all_of(parameter.keyword.begin(), parameter.keyword.end(), is_keyword_char)) return std::nullopt;
  if (equals == std::string_view::npos) return parameter;
  parameter.value = word.substr(equals + 1);
  const bool well_formed = !parameter.value->empty() && parameter.value->find('=') == std::string_view::npos;
  return well_formed ? std::optional(parameter) : std::nullopt;
}

/// Hands each parameter of `text` to `take`, which returns the reply that refuses it, if it does.
template <class Take>
std::optional<NamedReply> for_each_parameter(std::string_view text, Take take) {
  while (!text.empty()) {
    if (text.front() != ' ' && text.front() != '\t') return replies::bad_parameter_value;
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    const auto word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    if (word.empty()) break;
    const auto parameter = parse_parameter(word);
    if (!parameter) return replies::bad_parameter_value;
    if (auto refusal = take(*parameter)) return refusal;
  }
  return std::nullopt;
}

/// RFC 1870 section 3: up to 20 digits. What does not fit into 64 bits is certainly too large, and is said to be.
std::optional<std::uint64_t> parse_size_value(std::string_view digits) {
  constexpr std::size_t digits_max = 20;
  if (digits.empty() || digits.size() > digits_max || !std::all_of(digits.begin(), digits.end(), is_digit)) {
    return std::nullopt;
  }
  return parse_decimal(digits).value_or(std::numeric_limits<std::uint64_t>::max());
}

std::optional<MailParameters::Body> parse_body_value(std::string_view value) {
  if (equals_ignoring_case(value, "7BIT")) return MailParameters::Body::SevenBit;
  if (equals_ignoring_case(value, "8BITMIME")) return MailParameters::Body::EightBitMime;
  return std::nullopt;
}

/// Collects the parameters of one MAIL command.
class MailParameterReader {
 public:
  explicit MailParameterReader(const Grammar& grammar) : grammar_(grammar) {}

  std::optional<NamedReply> take(const Parameter& parameter) {
    if (equals_ignoring_case(parameter.keyword, "SIZE")) return size(parameter);
    if (equals_ignoring_case(parameter.keyword, "BODY")) return body(parameter);
    if (grammar_.offered.smtputf8 && equals_ignoring_case(parameter.keyword, "SMTPUTF8")) return smtputf8(parameter);
    return replies::unknown_parameter;
  }

  MailParameters parameters;

 private:
  std::optional<NamedReply> size(const Parameter& parameter) {
    if (parameters.size) return replies::duplicate_parameter;
    parameters.size = parse_size_value(parameter.value.value_or(""));
    if (!parameters.size) return replies::bad_parameter_value;
    return std::nullopt;
  }

  std::optional<NamedReply> body(const Parameter& parameter) {
    if (std::exchange(body_seen_, true)) return replies::duplicate_parameter;
    const auto body = parse_body_value(parameter.value.value_or(""));
    if (!body) return replies::bad_parameter_value;
    parameters.body = *body;
    return std::nullopt;
  }

  std::optional<NamedReply> smtputf8(const Parameter& parameter) {
    if (parameter.value) return replies::bad_parameter_value;
    if (std::exchange(parameters.smtputf8, true)) return replies::duplicate_parameter;
    return std::nullopt;
  }

  const Grammar& grammar_;
  bool body_seen_ = false;
};

/// Drops `keyword` (`FROM:`) from the front of an argument.
bool take_keyword(std::string_view& argument, std::string_view keyword) {
  if (!starts_with_ignoring_case(argument, keyword)) return false;
  argument.remove_prefix(keyword.size());
  return true;
}

}  // namespace

Verb verb_of(std::string_view line) {
  const auto word = first_word(line);
  const auto* found = std::find_if(verbs.begin(), verbs.end(),
                                   [word](const auto& entry) { return equals_ignoring_case(entry.first, word); });
  return found == verbs.end() ? Verb::Unknown : found->second;
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
  MailParameterReader reader(grammar);
  if (auto refusal = for_each_parameter(argument, [&reader](const Parameter& p) { return reader.take(p); })) {
    return tl::unexpected(*refusal);
  }
  if (from->mailbox && from->mailbox->needs_smtputf8() && !reader.parameters.smtputf8) {
    return tl::unexpected(replies::smtputf8_needed);
  }
  return MailCommand{std::move(*from), reader.parameters};
}

Parsed<RcptCommand> parse_rcpt(std::string_view argument, const Grammar& grammar) {
  if (!take_keyword(argument, "TO:")) return tl::unexpected(replies::bad_recipient_syntax);
  auto to = take_forward_path(argument, grammar.tolerance);
  if (!to) return tl::unexpected(replies::bad_recipient_syntax);
  const auto refuse = [](const Parameter&) { return std::optional<NamedReply>(replies::unknown_parameter); };
  if (auto refusal = for_each_parameter(argument, refuse)) return tl::unexpected(*refusal);
  return RcptCommand{std::move(*to)};
}

Parsed<BdatCommand> parse_bdat(std::string_view argument) {
  const auto digits = argument.substr(0, argument.find_first_of(" \t"));
  const auto rest = trimmed(argument.substr(digits.size()));
  const auto octets = parse_decimal(digits);
  if (!octets || !(rest.empty() || equals_ignoring_case(rest, "LAST"))) return tl::unexpected(replies::bad_chunk);
  return BdatCommand{*octets, !rest.empty()};
}

}  // namespace postern::smtp
