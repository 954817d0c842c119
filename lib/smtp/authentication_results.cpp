#include "smtp/authentication_results.h"

#include <algorithm>
#include <utility>

#include "base/dns_name.h"
#include "base/text.h"

namespace postern::smtp {

namespace {

constexpr std::string_view field_name = "authentication-results";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string canonical(std::string_view id) {
  const auto name = DnsName::from_utf8(id);
  return name ? name->text() : to_lower_ascii(id);
}

/// Drops up to `count` octets from the front of `input`, and returns them.
std::string_view take(std::string_view& input, std::size_t count) {
  const auto taken = input.substr(0, count);
  input.remove_prefix(taken.size());
  return taken;
}

/// Drops a line with its LF, or as much of it as there is.
std::string_view take_line(std::string_view& input) {
  const auto lf = input.find('\n');
  return take(input, lf == std::string_view::npos ? lf : lf + 1);
}

/// A comment of RFC 5322 section 3.2.2, which may hold comments; `rest` begins with its parenthesis. False: no end.
bool skip_comment(std::string_view& rest) {
  for (std::size_t depth = 0; !rest.empty(); rest.remove_prefix(1)) {
    const char c = rest.front();
    if (c == '\\') rest.remove_prefix(std::min<std::size_t>(1, rest.size() - 1));
    else if (c == '(') ++depth;
    else if (c == ')' && --depth == 0) return rest.remove_prefix(1), true;
  }
  return false;
}

bool skip_blanks_and_comments(std::string_view& rest) {
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
    if (!rest.starts_with('(')) return true;
    if (!skip_comment(rest)) return false;
  }
}

std::optional<std::string> quoted_id(std::string_view rest) {
  std::string id;
  for (rest.remove_prefix(1); !rest.empty(); rest.remove_prefix(1)) {
    if (rest.front() == '"') return id;
    if (rest.front() == '\\' && rest.size() > 1) rest.remove_prefix(1);
    if (rest.front() != '\r' && rest.front() != '\n') id += rest.front();
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> authserv_id(std::string_view value) {
  if (!skip_blanks_and_comments(value)) return std::nullopt;
  if (value.starts_with('"')) return quoted_id(value);
  const auto end = value.find_first_of(" \t\r\n()<>@,;:\\\"/[]?=");  // no token goes on behind these (RFC 2045)
  if (end == 0 || end == std::string_view::npos) return std::nullopt;
  return std::string(value.substr(0, end));
}

AuthenticationResultsFilter::AuthenticationResultsFilter(std::vector<std::string> ids) : ids_(std::move(ids)) {
  for (auto& id : ids_) id = canonical(id);
}

std::string_view AuthenticationResultsFilter::read(std::string_view& input) {
  while (!input.empty()) {
    std::string_view piece;
    switch (state_) {
      case State::LineBegins: piece = begin_line(input); break;
      case State::InLine: piece = read_line(input); break;
      case State::InName: piece = read_name(input); break;
      case State::BeforeColon: piece = read_until_colon(input); break;
      case State::InValue: piece = read_value(input); break;
      case State::InBody: piece = std::exchange(input, {}); break;
    }
    if (!piece.empty()) return piece;
  }
  return {};
}

std::string_view AuthenticationResultsFilter::finish() {
  return state_ == State::InValue ? decide(State::InBody) : release();
}

std::string_view AuthenticationResultsFilter::begin_line(std::string_view& input) {
  const char c = input.front();
  if (!held_.empty()) {  // a CR, behind which the header may end
    if (c == '\n') {
      state_ = State::InBody;
    } else {
      state_ = State::InLine;
      passing_ = true;
    }
    return release();
  }
  if (c == '\r') {
    held_ = take(input, 1);
  } else if (is_blank(c)) {
    state_ = State::InLine;
  } else {
    passing_ = true;
    state_ = to_lower_ascii(c) == field_name.front() ? State::InName : State::InLine;
  }
  return {};
}

/// As many lines as pass without a doubt.
std::string_view AuthenticationResultsFilter::read_line(std::string_view& input) {
  const auto all = input;
  bool ended = false;
  do {
    ended = take_line(input).ends_with('\n');
  } while (ended && passing_ && !input.empty() && input.front() != '\r' &&
           to_lower_ascii(input.front()) != field_name.front());
  if (ended) state_ = State::LineBegins;
  return passing_ ? all.substr(0, all.size() - input.size()) : std::string_view();
}

std::string_view AuthenticationResultsFilter::read_name(std::string_view& input) {
  while (!input.empty() && held_.size() < field_name.size()) {
    if (to_lower_ascii(input.front()) != field_name[held_.size()]) {
      state_ = State::InLine;
      return release();
    }
    held_ += take(input, 1);
  }
  if (held_.size() == field_name.size()) state_ = State::BeforeColon;
  return {};
}

std::string_view AuthenticationResultsFilter::read_until_colon(std::string_view& input) {
  const char c = input.front();
  // RFC 5322 section 4.5.8: blanks before the colon are obsolete, but read.
  if (c != ':' && !is_blank(c)) {
    state_ = State::InLine;
    return release();
  }
  if (held_.size() >= held_octets_max) return decide(State::InLine);
  held_ += take(input, 1);
  if (c == ':') state_ = State::InValue;
  return {};
}

std::string_view AuthenticationResultsFilter::read_value(std::string_view& input) {
  if (held_.ends_with('\n') && !is_blank(input.front())) return decide(State::LineBegins);
  auto room = input.substr(0, held_octets_max - held_.size());
  held_ += take(input, take_line(room).size());
  if (held_.size() < held_octets_max) return {};
  return decide(held_.ends_with('\n') ? State::LineBegins : State::InLine);
}

/// Whether the field that is held back goes on.
std::string_view AuthenticationResultsFilter::decide(State next) {
  state_ = next;
  const auto colon = std::min(held_.find(':'), held_.size() - 1);
  const auto id = authserv_id(std::string_view(held_).substr(colon + 1));
  passing_ = id && !is_ours(*id);
  if (passing_) return release();
  held_.clear();
  ++fields_dropped_;
  return {};
}

std::string_view AuthenticationResultsFilter::release() {
  released_ = std::exchange(held_, {});
  return released_;
}

bool AuthenticationResultsFilter::is_ours(std::string_view id) const {
  return std::find(ids_.begin(), ids_.end(), canonical(id)) != ids_.end();
}

}  // namespace postern::smtp
