#include "delivery/canonical_sender.h"

#include <optional>
#include <string_view>

#include "base/text.h"

namespace postern::delivery {

namespace {

using smtp::Mailbox;

// A forwarder may wrap what another has wrapped; nobody wraps for ever.
constexpr int layers_max = 4;

/// What stands behind the first `separator`.
std::optional<std::string_view> behind(std::string_view text, std::string_view separator) {
  const auto at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  return text.substr(at + separator.size());
}

/// draft-levine-smtp-batv
std::optional<Mailbox> without_batv(const Mailbox& from) {
  if (!starts_with_ignoring_case(from.local_part, "prvs=")) return std::nullopt;
  const std::string_view rest = std::string_view(from.local_part).substr(5);
  if (const auto user = behind(rest, "="); user && !user->empty()) return Mailbox{std::string(*user), from.domain};
  const auto slash = rest.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  return Mailbox{std::string(rest.substr(0, slash)), from.domain};
}

/// `HASH=TT=example.com=user`
std::optional<Mailbox> from_srs0_fields(std::string_view fields) {
  const auto stamped = behind(fields, "=");
  const auto domain_on = stamped ? behind(*stamped, "=") : std::nullopt;
  if (!domain_on) return std::nullopt;
  const auto end = domain_on->find('=');
  if (end == std::string_view::npos || end == 0 || end + 1 == domain_on->size()) return std::nullopt;
  return Mailbox{std::string(domain_on->substr(end + 1)), std::string(domain_on->substr(0, end))};
}

std::optional<Mailbox> without_srs(const Mailbox& from) {
  const std::string_view local = from.local_part;
  if (local.size() < 5 || std::string_view("=+-").find(local[4]) == std::string_view::npos) return std::nullopt;
  if (starts_with_ignoring_case(local, "SRS0")) return from_srs0_fields(local.substr(5));
  if (!starts_with_ignoring_case(local, "SRS1")) return std::nullopt;
  // HASH=first-forwarder=, then what the first forwarder had behind its SRS0, with the separator.
  const auto host_on = behind(local.substr(5), "=");
  const auto inner = host_on ? behind(*host_on, "=") : std::nullopt;
  if (!inner || inner->empty()) return std::nullopt;
  return from_srs0_fields(inner->substr(1));
}

/// The recipient in a list's bounce address is what stands behind its last `+` or `-`, with `=` for `@`. (A recipient
/// with a hyphen is cut short. That does not matter: it is the same at every try.)
std::optional<Mailbox> without_verp(const Mailbox& from) {
  const auto equals = from.local_part.rfind('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  auto start = from.local_part.rfind('+', equals);
  if (start == std::string::npos) start = from.local_part.rfind('-', equals);
  if (start == std::string::npos || start == 0) return std::nullopt;
  return Mailbox{from.local_part.substr(0, start), from.domain};
}

}  // namespace

std::string canonical_sender(const smtp::ReversePath& from) {
  if (!from.mailbox) return "<>";
  Mailbox mailbox = *from.mailbox;
  for (int layer = 0; layer < layers_max; ++layer) {
    auto inner = without_batv(mailbox);
    if (!inner) inner = without_srs(mailbox);
    if (!inner) inner = without_verp(mailbox);
    if (!inner) break;
    mailbox = std::move(*inner);
  }
  return mailbox.local_part + '@' + to_lower_ascii(mailbox.domain);
}

}  // namespace postern::delivery
