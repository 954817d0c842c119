#include "smtp/address.h"

#include <algorithm>
#include <utility>

#include "base/address.h"
#include "base/text.h"

namespace postern::smtp {

namespace {

constexpr std::size_t domain_octets_max = 255;  // RFC 5321 section 4.5.3.1.2
// Section 4.5.3.1.1 lets a local part be limited to 64 octets, but asks for no limit where that is possible: VERP and
// SRS senders do go over it. The command line's length is the limit.

bool is_eight_bit(char c) { return static_cast<unsigned char>(c) > 0x7f; }

bool is_atext(char c) {
  constexpr std::string_view specials = "!#$%&'*+-/=?^_`{|}~";
  return is_alpha(c) || is_digit(c) || is_eight_bit(c) || specials.find(c) != std::string_view::npos;
}

bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }

bool is_dot_string(std::string_view text) {
  char before = '.';
  for (const char c : text) {
    if (c == '.' ? before == '.' : !is_atext(c)) return false;
    before = c;
  }
  return before != '.';
}

bool take(std::string_view& rest, char wanted) {
  if (!rest.starts_with(wanted)) return false;
  rest.remove_prefix(1);
  return true;
}

void skip_blanks(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
}

template <class Belongs>
std::string_view take_while(std::string_view& rest, Belongs belongs) {
  const auto end = std::find_if_not(rest.begin(), rest.end(), belongs);
  const auto taken = rest.substr(0, static_cast<std::size_t>(end - rest.begin()));
  rest.remove_prefix(taken.size());
  return taken;
}

/// Quoted-string of RFC 5321 section 4.1.2; `rest` begins behind the opening quote. Gives the meaning, unquoted.
std::optional<std::string> take_quoted(std::string_view& rest) {
  std::string meaning;
  while (!rest.empty()) {
    char c = rest.front();
    rest.remove_prefix(1);
    if (c == '"') return is_utf8(meaning) ? std::optional(std::move(meaning)) : std::nullopt;
    if (c == '\\') {
      if (rest.empty() || !is_printable(rest.front())) return std::nullopt;
      c = rest.front();
      rest.remove_prefix(1);
    } else if (!is_printable(c) && !is_eight_bit(c)) {
      return std::nullopt;
    }
    meaning += c;
  }
  return std::nullopt;
}

std::optional<std::string> take_local_part(std::string_view& rest, Tolerance tolerance) {
  if (take(rest, '"')) return take_quoted(rest);
  const auto text = take_while(rest, [](char c) { return c == '.' || is_atext(c); });
  if (text.empty() || !is_utf8(text)) return std::nullopt;
  // Some mobile carriers gave their customers addresses like `a..b@example.jp`; they go out quoted.
  if (tolerance == Tolerance::Strict && !is_dot_string(text)) return std::nullopt;
  return std::string(text);
}

bool is_domain(std::string_view text) {
  if (text.empty() || text.size() > domain_octets_max || text.ends_with('.')) return false;
  if (std::none_of(text.begin(), text.end(), is_eight_bit)) return DnsName::parse(text).has_value();
  return is_utf8(text) && DnsName::from_utf8(text).has_value();
}

/// A name, or an address literal with its brackets.
std::optional<std::string_view> take_domain(std::string_view& rest) {
  if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const auto literal = rest.substr(0, end + 1);
    rest.remove_prefix(literal.size());
    return is_address_literal(literal) ? std::optional(literal) : std::nullopt;
  }
  const auto name = take_while(
      rest, [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || is_eight_bit(c); });
  return is_domain(name) ? std::optional(name) : std::nullopt;
}

/// `@one.example,@two.example:` (RFC 5321 section 4.1.2, A-d-l). True when it was well formed or absent.
bool drop_source_route(std::string_view& rest) {
  if (!rest.starts_with('@')) return true;
  do {
    if (!take(rest, '@') || rest.starts_with('[') || !take_domain(rest)) return false;
  } while (take(rest, ','));
  return take(rest, ':');
}

std::optional<Mailbox> take_mailbox(std::string_view& rest, Tolerance tolerance) {
  auto local_part = take_local_part(rest, tolerance);
  if (!local_part || !take(rest, '@')) return std::nullopt;
  const auto domain = take_domain(rest);
  if (!domain) return std::nullopt;
  return Mailbox{std::move(*local_part), std::string(*domain)};
}

/// Calls `take_inner` for what stands between the angle brackets (or stands there without them).
template <class TakeInner>
auto take_path(std::string_view& rest, Tolerance tolerance, TakeInner take_inner) -> decltype(take_inner(rest)) {
  const bool forgiving = tolerance == Tolerance::Forgiving;
  if (forgiving) skip_blanks(rest);
  const bool bracketed = take(rest, '<');
  if (!bracketed && !forgiving) return std::nullopt;
  if (bracketed && forgiving) skip_blanks(rest);
  if (bracketed && !drop_source_route(rest)) return std::nullopt;
  auto inner = take_inner(rest);
  if (bracketed && forgiving) skip_blanks(rest);
  if (bracketed && !take(rest, '>')) return std::nullopt;
  return inner;
}

}  // namespace

std::optional<DnsName> Mailbox::domain_name() const {
  return domain.starts_with('[') ? std::nullopt : DnsName::from_utf8(domain);
}

std::string Mailbox::text() const {
  std::string made;
  if (is_dot_string(local_part)) {
    made = local_part;
  } else {
    made = '"';
    for (const char c : local_part) {
      if (c == '"' || c == '\\') made += '\\';
      made += c;
    }
    made += '"';
  }
  if (!domain.empty()) {
    made += '@';
    made += domain;
  }
  return made;
}

bool Mailbox::needs_smtputf8() const {
  return std::any_of(local_part.begin(), local_part.end(), is_eight_bit) ||
         std::any_of(domain.begin(), domain.end(), is_eight_bit);
}

std::string ReversePath::text() const { return mailbox ? '<' + mailbox->text() + '>' : "<>"; }

std::string ForwardPath::text() const { return '<' + mailbox.text() + '>'; }

std::optional<Mailbox> parse_mailbox(std::string_view text) {
  auto mailbox = take_mailbox(text, Tolerance::Strict);
  return text.empty() ? mailbox : std::nullopt;
}

std::optional<ReversePath> take_reverse_path(std::string_view& rest, Tolerance tolerance) {
  return take_path(rest, tolerance, [tolerance](std::string_view& inner) -> std::optional<ReversePath> {
    if (inner.starts_with('>')) return ReversePath{};
    auto mailbox = take_mailbox(inner, tolerance);
    if (!mailbox) return std::nullopt;
    return ReversePath{std::move(mailbox)};
  });
}

std::optional<ForwardPath> take_forward_path(std::string_view& rest, Tolerance tolerance) {
  return take_path(rest, tolerance, [tolerance](std::string_view& inner) -> std::optional<ForwardPath> {
    constexpr std::string_view postmaster = "postmaster";
    const auto word = inner.substr(0, postmaster.size());
    const char behind = inner.size() > word.size() ? inner[word.size()] : ' ';
    if (equals_ignoring_case(word, postmaster) && (behind == '>' || behind == ' ' || behind == '\t')) {
      inner.remove_prefix(word.size());
      return ForwardPath{Mailbox{std::string(word), {}}};
    }
    auto mailbox = take_mailbox(inner, tolerance);
    if (!mailbox) return std::nullopt;
    return ForwardPath{std::move(*mailbox)};
  });
}

bool is_address_literal(std::string_view text) {
  if (text.size() < 3 || !text.starts_with('[') || !text.ends_with(']')) return false;
  const auto inside = text.substr(1, text.size() - 2);
  const auto colon = inside.find(':');
  if (colon == std::string_view::npos) return IpAddress::parse(inside).has_value();
  const auto tag = inside.substr(0, colon);
  const auto content = inside.substr(colon + 1);
  if (equals_ignoring_case(tag, "IPv6")) {
    return content.find(':') != std::string_view::npos && IpAddress::parse(content).has_value();
  }
  const auto is_tag = [](char c) { return is_alpha(c) || is_digit(c) || c == '-'; };
  const auto is_dcontent = [](char c) { return c > 0x20 && c < 0x7f && c != '[' && c != '\\' && c != ']'; };
  return !tag.empty() && !tag.ends_with('-') && std::all_of(tag.begin(), tag.end(), is_tag) && !content.empty() &&
         std::all_of(content.begin(), content.end(), is_dcontent);
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - at < more) return false;
    const auto second = static_cast<unsigned char>(text[at]);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    const bool surrogate = lead == 0xed && second > 0x9f;
    const bool beyond_unicode = lead == 0xf4 && second > 0x8f;
    if (overlong || surrogate || beyond_unicode) return false;
    for (const std::size_t end = at + more; at < end; ++at) {
      if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

}  // namespace postern::smtp
