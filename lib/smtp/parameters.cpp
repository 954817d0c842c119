#include "smtp/parameters.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "smtp/address.h"

namespace postern::smtp {

namespace {

constexpr std::size_t envid_octets_max = 100;  // RFC 3461 section 4.4, decoded
constexpr std::size_t orcpt_octets_max = 500;  // RFC 3461 section 4.2

using Refusal = std::optional<NamedReply>;

/// What a value may hold.
enum class Values {
  Standard,  ///< esmtp-value: no "="
  Foreign,   ///< of an extension that others know: Postfix's XVERP has one in it
};

std::optional<Parameter> parse_parameter(std::string_view word, Values values) {
  const auto equals = word.find('=');
  Parameter parameter{word.substr(0, equals), std::nullopt};
  const auto is_keyword_char = [](char c) { return is_alpha(c) || is_digit(c) || c == '-'; };
  if (parameter.keyword.empty() || parameter.keyword.front() == '-') return std::nullopt;
  if (!std::all_of(parameter.keyword.begin(), parameter.keyword.end(), is_keyword_char)) return std::nullopt;
  if (equals == std::string_view::npos) return parameter;
  parameter.value = word.substr(equals + 1);
  if (parameter.value->empty()) return std::nullopt;
  if (values == Values::Standard && parameter.value->find('=') != std::string_view::npos) return std::nullopt;
  return parameter;
}

/// Hands each parameter of `text` to `take`, which returns the reply that refuses it, if it does.
template <class Take>
Refusal for_each_parameter(std::string_view text, Take take, Values values = Values::Standard) {
  while (!text.empty()) {
    if (text.front() != ' ' && text.front() != '\t') return replies::bad_parameter_value;
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    const auto word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    if (word.empty()) break;
    const auto parameter = parse_parameter(word, values);
    if (!parameter) return replies::bad_parameter_value;
    if (auto refusal = take(*parameter)) return refusal;
  }
  return std::nullopt;
}

/// A parameter that is a keyword alone and may be given once.
Refusal set_flag(const Parameter& parameter, bool& flag) {
  if (parameter.value) return replies::bad_parameter_value;
  if (std::exchange(flag, true)) return replies::duplicate_parameter;
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

std::optional<MailParameters::Return> parse_ret(std::string_view value) {
  if (equals_ignoring_case(value, "FULL")) return MailParameters::Return::Full;
  if (equals_ignoring_case(value, "HDRS")) return MailParameters::Return::Headers;
  return std::nullopt;
}

bool is_printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_envid(std::string_view value) {
  const auto meaning = decode_xtext(value);
  return meaning && meaning->size() <= envid_octets_max && is_printable_ascii(*meaning);
}

std::optional<Notify> parse_notify(std::string_view value) {
  if (equals_ignoring_case(value, "NEVER")) return Notify{};
  Notify notify;
  for (const auto word : split(value, ',')) {
    if (equals_ignoring_case(word, "SUCCESS")) notify.success = true;
    else if (equals_ignoring_case(word, "FAILURE")) notify.failure = true;
    else if (equals_ignoring_case(word, "DELAY")) notify.delay = true;
    else return std::nullopt;
  }
  return notify;
}

/// `addr-type;xtext`. Under SMTPUTF8 an address of the type utf-8 may be written in UTF-8 (utf-8-addr-unitext).
bool is_orcpt(std::string_view value, AddressCharset charset) {
  const auto semicolon = value.find(';');
  if (semicolon == std::string_view::npos || value.size() > orcpt_octets_max) return false;
  const auto type = value.substr(0, semicolon);
  const auto is_atom_char = [](char c) { return is_alpha(c) || is_digit(c) || c == '-'; };
  if (type.empty() || !std::all_of(type.begin(), type.end(), is_atom_char)) return false;
  const auto address = value.substr(semicolon + 1);
  if (address.empty()) return false;
  if (charset == AddressCharset::Utf8 && equals_ignoring_case(type, "utf-8")) {
    std::string ascii(address);
    std::replace_if(ascii.begin(), ascii.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7f; }, 'u');
    return is_utf8(address) && decode_xtext(ascii).has_value();
  }
  const auto meaning = decode_xtext(address);
  return meaning && is_printable_ascii(*meaning);
}

/// Collects the parameters of one MAIL command.
class MailParameterReader {
 public:
  explicit MailParameterReader(const Extensions& offered) : offered_(offered) {}

  Refusal take(const Parameter& parameter) {
    if (parameter.is("SIZE")) return size(parameter);
    if (parameter.is("BODY")) return body(parameter);
    if (offered_.smtputf8 && parameter.is("SMTPUTF8")) return set_flag(parameter, parameters.smtputf8);
    if (offered_.prdr && parameter.is("PRDR")) return set_flag(parameter, parameters.prdr);
    if (offered_.dsn && parameter.is("RET")) return ret(parameter);
    if (offered_.dsn && parameter.is("ENVID")) return envid(parameter);
    // RFC 8689 section 4.1 asks for its own words, so that the sender's report says what was missing.
    if (parameter.is("REQUIRETLS") && !offered_.requiretls) return replies::requiretls_unavailable;
    if (parameter.is("REQUIRETLS")) return set_flag(parameter, parameters.require_tls);
    return replies::unknown_parameter;
  }

  MailParameters parameters;

 private:
  Refusal size(const Parameter& parameter) {
    if (parameters.size) return replies::duplicate_parameter;
    parameters.size = parse_size_value(parameter.value.value_or(""));
    if (!parameters.size) return replies::bad_parameter_value;
    return std::nullopt;
  }

  Refusal body(const Parameter& parameter) {
    if (std::exchange(body_seen_, true)) return replies::duplicate_parameter;
    const auto value = parameter.value.value_or("");
    if (equals_ignoring_case(value, "7BIT")) {
      parameters.body = MailParameters::Body::SevenBit;
    } else if (equals_ignoring_case(value, "8BITMIME")) {
      parameters.body = MailParameters::Body::EightBitMime;
    } else if (offered_.binarymime && equals_ignoring_case(value, "BINARYMIME")) {
      parameters.body = MailParameters::Body::BinaryMime;
    } else {
      return replies::bad_parameter_value;
    }
    return std::nullopt;
  }

  Refusal ret(const Parameter& parameter) {
    if (parameters.ret) return replies::duplicate_parameter;
    parameters.ret = parse_ret(parameter.value.value_or(""));
    if (!parameters.ret) return replies::bad_parameter_value;
    return std::nullopt;
  }

  Refusal envid(const Parameter& parameter) {
    if (!parameters.envid.empty()) return replies::duplicate_parameter;
    if (!parameter.value || !is_envid(*parameter.value)) return replies::bad_parameter_value;
    parameters.envid = *parameter.value;
    return std::nullopt;
  }

  const Extensions& offered_;
  bool body_seen_ = false;
};

Refusal take_recipient_parameter(const Parameter& parameter, AddressCharset charset, RecipientParameters& parameters) {
  if (parameter.is("NOTIFY")) {
    if (parameters.notify) return replies::duplicate_parameter;
    parameters.notify = parse_notify(parameter.value.value_or(""));
    return parameters.notify ? Refusal() : Refusal(replies::bad_parameter_value);
  }
  if (!parameter.is("ORCPT")) return replies::unknown_parameter;
  if (!parameters.orcpt.empty()) return replies::duplicate_parameter;
  if (!parameter.value || !is_orcpt(*parameter.value, charset)) return replies::bad_parameter_value;
  parameters.orcpt = *parameter.value;
  return std::nullopt;
}

std::optional<int> upper_hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

}  // namespace

std::string Notify::text() const {
  std::string made;
  const auto add = [&made](bool wanted, std::string_view word) {
    if (!wanted) return;
    if (!made.empty()) made += ',';
    made += word;
  };
  add(success, "SUCCESS");
  add(failure, "FAILURE");
  add(delay, "DELAY");
  return made.empty() ? "NEVER" : made;
}

bool Parameter::is(std::string_view name) const { return equals_ignoring_case(keyword, name); }

Parsed<std::vector<Parameter>> split_parameters(std::string_view text) {
  std::vector<Parameter> all;
  const auto take = [&all](const Parameter& parameter) {
    all.push_back(parameter);
    return Refusal();
  };
  if (auto refusal = for_each_parameter(text, take, Values::Foreign)) return tl::unexpected(*refusal);
  return all;
}

Parsed<MailParameters> parse_mail_parameters(std::string_view text, const Extensions& offered) {
  MailParameterReader reader(offered);
  if (auto refusal = for_each_parameter(text, [&reader](const Parameter& p) { return reader.take(p); })) {
    return tl::unexpected(*refusal);
  }
  return std::move(reader.parameters);
}

Parsed<RecipientParameters> parse_recipient_parameters(std::string_view text, const Extensions& offered,
                                                       AddressCharset charset) {
  RecipientParameters parameters;
  const auto take = [&](const Parameter& parameter) {
    return offered.dsn ? take_recipient_parameter(parameter, charset, parameters) : Refusal(replies::unknown_parameter);
  };
  if (auto refusal = for_each_parameter(text, take)) return tl::unexpected(*refusal);
  return parameters;
}

std::optional<std::string> decode_xtext(std::string_view text) {
  std::string meaning;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c < '!' || c > '~' || c == '=') return std::nullopt;
    if (c != '+') {
      meaning += c;
      continue;
    }
    if (text.size() - at < 3) return std::nullopt;
    const auto high = upper_hex_digit(text[at + 1]);
    const auto low = upper_hex_digit(text[at + 2]);
    if (!high || !low) return std::nullopt;
    meaning += static_cast<char>(*high * 16 + *low);
    at += 2;
  }
  return meaning;
}

}  // namespace postern::smtp
