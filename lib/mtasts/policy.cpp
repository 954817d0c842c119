#include "mtasts/policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "tls/digest.h"

namespace postern::mtasts {

namespace {

constexpr std::string_view version = "STSv1";
constexpr std::size_t id_octets_max = 32;  // RFC 8461 section 3.1

bool is_alphanumeric(char c) { return is_alpha(c) || is_digit(c); }

/// Where one field of a policy goes while it is read.
struct Fields {
  std::optional<std::string_view> version, mode, max_age;
  std::vector<MxPattern> mx;
};

Result<void> take_line(std::string_view line, Fields& fields) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return fail("\"{}\" is no line of the form key: value", escaped(line, 80));
  const auto key = trimmed(line.substr(0, colon));
  const auto value = trimmed(line.substr(colon + 1));
  const auto once = [&](std::optional<std::string_view>& field) {
    if (!field) field = value;
  };
  if (key == "version") once(fields.version);
  if (key == "mode") once(fields.mode);
  if (key == "max_age") once(fields.max_age);
  if (key == "mx") {
    auto pattern = MxPattern::parse(value);
    if (!pattern) return fail("mx: \"{}\" is neither a host name nor *. and a host name", escaped(value, 80));
    fields.mx.push_back(std::move(*pattern));
  }
  return {};
}

std::optional<Mode> mode_named(std::string_view word) {
  for (const Mode mode : {Mode::Enforce, Mode::Testing, Mode::None}) {
    if (to_string(mode) == word) return mode;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::Enforce: return "enforce";
    case Mode::Testing: return "testing";
    case Mode::None: return "none";
  }
  return "";
}

std::optional<MxPattern> MxPattern::parse(std::string_view text) {
  const bool wildcard = text.starts_with("*.");
  auto name = DnsName::parse(wildcard ? text.substr(2) : text);
  if (!name) return std::nullopt;
  return MxPattern{std::move(*name), wildcard};
}

bool MxPattern::matches(const DnsName& host) const {
  return wildcard ? host.parent() == name.text() : host == name;
}

std::string MxPattern::text() const { return (wildcard ? "*." : "") + name.text(); }

bool Policy::allows(const DnsName& host) const {
  return std::any_of(mx.begin(), mx.end(), [&](const MxPattern& pattern) { return pattern.matches(host); });
}

std::string to_text(const Policy& policy) {
  std::string text = fmt::format("version: {}\r\nmode: {}\r\n", version, to_string(policy.mode));
  for (const MxPattern& pattern : policy.mx) text += fmt::format("mx: {}\r\n", pattern.text());
  return text + fmt::format("max_age: {}\r\n", policy.max_age.count());
}

Result<Policy> parse_policy(std::string_view text) {
  if (text.size() > policy_octets_max) return fail("the policy is longer than {} octets", policy_octets_max);
  Fields fields;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (trimmed(line).empty()) continue;
    if (const auto taken = take_line(line, fields); !taken) return fail("line {}: {}", number, taken.error().text);
  }
  if (fields.version != version) return fail("there is no \"version: {}\"", version);
  Policy policy;
  const auto mode = fields.mode ? mode_named(*fields.mode) : std::nullopt;
  if (!mode) return fail("mode: expected enforce, testing or none, found \"{}\"", escaped(fields.mode.value_or(""), 40));
  policy.mode = *mode;
  const auto seconds = fields.max_age ? parse_decimal(*fields.max_age) : std::nullopt;
  if (!seconds || *seconds > static_cast<std::uint64_t>(max_age_max.count())) {
    return fail("max_age: expected seconds, at most {}, found \"{}\"", max_age_max.count(),
                escaped(fields.max_age.value_or(""), 40));
  }
  policy.max_age = std::chrono::seconds(*seconds);
  policy.mx = std::move(fields.mx);
  if (policy.mx.empty() && policy.mode != Mode::None) return fail("there is no mx line");
  return policy;
}

std::string policy_id(const Policy& policy) {
  const auto digest = tls::sha256(to_text(policy));
  return tls::hex({reinterpret_cast<const char*>(digest.data()), id_octets_max / 2});
}

std::string txt_record(std::string_view id) { return fmt::format("v={}; id={};", version, id); }

std::optional<std::string> id_in_txt_record(std::string_view record) {
  bool first = true;
  for (const std::string_view field : split(record, ';')) {
    const auto word = trimmed(field);
    const auto equals = word.find('=');
    const auto key = trimmed(word.substr(0, equals));
    const auto value = equals == std::string_view::npos ? std::string_view() : trimmed(word.substr(equals + 1));
    if (std::exchange(first, false)) {
      if (key != "v" || value != version) return std::nullopt;
    } else if (key == "id") {
      const bool good = !value.empty() && value.size() <= id_octets_max &&
                        std::all_of(value.begin(), value.end(), is_alphanumeric);
      return good ? std::optional(std::string(value)) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace postern::mtasts
