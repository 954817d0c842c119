#include "proxy/client_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::proxy {

namespace {

constexpr std::string_view unavailable = "[UNAVAILABLE]";
constexpr std::string_view temporarily_unavailable = "[TEMPUNAVAIL]";
constexpr std::string_view v6_prefix = "IPV6:";
constexpr std::size_t value_octets_max = 255;  // decoded; a host name, the longest useful value, has 253

/// One attribute: its name, and how its value is read into an identity and written.
struct Attribute {
  std::string_view name;
  bool (*read)(const std::string& value, ClientIdentity& into);  // false: malformed
  std::optional<std::string> (*write)(const ClientIdentity& from);
};

template <auto member>
bool read_text(const std::string& value, ClientIdentity& into) {
  into.*member = value;
  return true;
}

template <auto member>
std::optional<std::string> write_text(const ClientIdentity& from) {
  return from.*member;
}

template <auto member>
bool read_address(const std::string& value, ClientIdentity& into) {
  const bool v6 = starts_with_ignoring_case(value, v6_prefix);
  into.*member = IpAddress::parse(std::string_view(value).substr(v6 ? v6_prefix.size() : 0));
  return (into.*member).has_value();
}

template <auto member>
std::optional<std::string> write_address(const ClientIdentity& from) {
  const auto& address = from.*member;
  if (!address) return std::nullopt;
  return (address->is_v4() ? "" : std::string(v6_prefix)) + address->text();
}

template <auto member>
bool read_port(const std::string& value, ClientIdentity& into) {
  const auto port = parse_decimal(value);
  if (!port || *port == 0 || *port > 0xffff) return false;
  into.*member = static_cast<std::uint16_t>(*port);
  return true;
}

template <auto member>
std::optional<std::string> write_port(const ClientIdentity& from) {
  const auto& port = from.*member;
  return port ? std::optional(std::to_string(*port)) : std::nullopt;
}

using C = ClientIdentity;
constexpr Attribute attributes[] = {
    {"NAME", read_text<&C::name>, write_text<&C::name>},
    {"REVERSE_NAME", read_text<&C::reverse_name>, write_text<&C::reverse_name>},
    {"ADDR", read_address<&C::address>, write_address<&C::address>},
    {"PORT", read_port<&C::port>, write_port<&C::port>},
    {"HELO", read_text<&C::hello_name>, write_text<&C::hello_name>},
    {"PROTO", read_text<&C::protocol>, write_text<&C::protocol>},
    {"LOGIN", read_text<&C::login>, write_text<&C::login>},
    {"DESTADDR", read_address<&C::destination_address>, write_address<&C::destination_address>},
    {"DESTPORT", read_port<&C::destination_port>, write_port<&C::destination_port>},
    {"IDENT", read_text<&C::identifier>, write_text<&C::identifier>},
    {"SOURCE", read_text<&C::origin>, write_text<&C::origin>},
};

bool lists(const std::vector<std::string_view>& list, std::string_view name) {
  return std::any_of(list.begin(), list.end(), [name](auto word) { return equals_ignoring_case(word, name); });
}

Result<void> read_attribute(std::string_view word, const std::vector<std::string_view>& allowed,
                            ClientIdentity& known) {
  const auto equals = word.find('=');
  const auto name = word.substr(0, equals);
  const auto* attribute = std::find_if(std::begin(attributes), std::end(attributes), [name](const Attribute& candidate) {
    return equals_ignoring_case(candidate.name, name);
  });
  if (equals == std::string_view::npos || attribute == std::end(attributes) || !lists(allowed, name)) {
    return fail("Bad attribute {}", escaped(name, 40));
  }
  const auto value = from_xtext(word.substr(equals + 1));
  if (!value || value->empty() || value->size() > value_octets_max) return fail("Bad value of {}", attribute->name);
  if (equals_ignoring_case(*value, unavailable) || equals_ignoring_case(*value, temporarily_unavailable)) return {};
  if (!attribute->read(*value, known)) return fail("Bad value of {}", attribute->name);
  return {};
}

}  // namespace

Result<void> read_attributes(std::string_view argument, std::string_view allowed, ClientIdentity& known) {
  ClientIdentity made = known;
  const auto names = split(allowed, ' ');
  bool any = false;
  for (const auto word : split(argument, ' ')) {
    if (word.empty()) continue;
    any = true;
    if (auto read = read_attribute(word, names, made); !read) return read;
  }
  if (!any) return fail("An attribute is needed");
  known = std::move(made);
  return {};
}

namespace {

Result<std::string> tell(std::string_view verb, const ClientIdentity& identity,
                         const std::vector<std::string_view>& offered) {
  if (!lists(offered, "ADDR") || !identity.address) return fail("{} is offered without ADDR", verb);
  const auto absent = identity.name_may_come ? temporarily_unavailable : unavailable;
  std::string command(verb);
  for (const Attribute& attribute : attributes) {
    if (!lists(offered, attribute.name)) continue;
    const auto value = attribute.write(identity);
    const bool is_name = attribute.name == "NAME" || attribute.name == "REVERSE_NAME";
    if (!value && !is_name) continue;
    command += fmt::format(" {}={}", attribute.name,
                           value ? xtext(std::string_view(*value).substr(0, value_octets_max)) : std::string(absent));
  }
  return command;
}

}  // namespace

Result<std::string> xclient_command(const ClientIdentity& identity, const std::vector<std::string_view>& offered) {
  return tell("XCLIENT", identity, offered);
}

Result<std::string> xforward_command(const ClientIdentity& identity, const std::vector<std::string_view>& offered) {
  return tell("XFORWARD", identity, offered);
}

std::string xtext(std::string_view raw) {
  std::string made;
  for (const char c : raw) {
    const bool plain = c > 0x20 && c < 0x7f && c != '+' && c != '=';
    if (plain) {
      made += c;
    } else {
      made += fmt::format("+{:02X}", static_cast<unsigned char>(c));
    }
  }
  return made;
}

std::optional<std::string> from_xtext(std::string_view text) {
  const auto digit = [](char c) {
    if (is_digit(c)) return c - '0';
    const char lower = to_lower_ascii(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string made;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '+') {
      made += text[i];
      continue;
    }
    if (text.size() - i < 3 || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
    made += static_cast<char>(digit(text[i + 1]) << 4 | digit(text[i + 2]));
    i += 2;
  }
  return made;
}

}  // namespace postern::proxy
