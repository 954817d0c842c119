#include "smtp/body_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/text.h"

namespace postern::smtp {

namespace {

bool ends_or_breaks_line(char c) { return c == '\r' || c == '\n' || c == '\0'; }

/// The place of the first CR, LF or NUL at or behind `at`; the size of `text` when there is none. Most of a message
/// passes here only, so it goes eight octets at a time.
std::size_t find_line_octet(std::string_view text, std::size_t at) {
  constexpr std::uint64_t each = 0x0101010101010101;
  constexpr std::uint64_t high_bits = each * 0x80;
  constexpr std::uint64_t over_cr = each * ('\r' + 1);
  for (std::uint64_t word; text.size() - at >= sizeof word; at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    const bool has_control = ((word - over_cr) & ~word & high_bits) != 0;  // an octet below 0x0e (or just above one)
    if (!has_control) continue;
    for (std::size_t i = at; i < at + sizeof word; ++i) {
      if (ends_or_breaks_line(text[i])) return i;
    }
  }
  while (at < text.size() && !ends_or_breaks_line(text[at])) ++at;
  return at;
}

constexpr std::string_view hop_field = "received:";

}  // namespace

std::string_view BodyReader::read(std::string_view& input) {
  if (rules_.framing == Framing::BinaryChunks) return pass_binary(input);
  while (!at_end_ && !input.empty()) {
    if (cr_kept_) {
      const auto judged = judge_kept_cr(input);
      if (!judged.empty() && !fault_) return judged;
      continue;
    }
    const auto count = pass_unchanged(input);
    if (count > 0) {
      const auto piece = input.substr(0, count);
      input.remove_prefix(count);
      if (!fault_) return piece;
      continue;
    }
    const auto judged = judge_front(input);
    if (!judged) break;
    if (!judged->empty() && !fault_) return *judged;
  }
  return {};
}

/// Lines are looked for in the header only, for its Received fields.
std::string_view BodyReader::pass_binary(std::string_view& input) {
  const auto piece = std::exchange(input, {});
  for (auto rest = piece; in_header_ && !rest.empty();) {
    const auto line = rest.substr(0, rest.find('\n'));
    match_hop_field(line);
    line_octets_ += static_cast<std::uint64_t>(std::count_if(line.begin(), line.end(), [](char c) { return c != '\r'; }));
    rest.remove_prefix(line.size());
    if (rest.empty()) break;
    rest.remove_prefix(1);
    end_header_line();
  }
  octets_ += piece.size();
  if (octets_ > rules_.message_octets_max) fail(Fault::TooLarge);
  return fault_ ? std::string_view() : piece;
}

/// How many octets at the front of `input` are given out as they are. Behind a fault, everything that is neither the
/// end of data nor a stuffed dot passes here (and read() drops it).
std::size_t BodyReader::pass_unchanged(std::string_view input) {
  for (std::size_t at = 0;;) {
    if (at < input.size() && input[at] == '.' && position_ != Position::MidLine && rules_.framing == Framing::Dots) {
      return at;
    }
    const auto end = find_line_octet(input, at);
    if (end > at) add_to_line(input.substr(at, end - at));
    at = end;
    if (at == input.size()) return at;
    const auto rest = input.substr(at);
    if (rest.starts_with("\r\n")) {
      end_line(Position::AfterCrlf);
      at += 2;
    } else if (fault_ && rest != "\r") {
      add_to_line(rest.substr(0, 1));
      at += 1;
    } else {
      return at;
    }
  }
}

/// Deals with the octet at the front that does not pass unchanged. Returns what is given out for it; nothing at all
/// when more input is needed.
std::optional<std::string_view> BodyReader::judge_front(std::string_view& input) {
  const bool normalize = rules_.smuggling == Smuggling::Normalize;
  switch (input.front()) {
    case '.':
      return judge_dot(input);
    case '\r':
      if (input.size() < 2) return std::nullopt;
      input.remove_prefix(1);
      return judge_lone_cr();
    case '\n':
      if (!normalize) break;
      end_line(Position::AfterLoneLf);
      input.remove_prefix(1);
      return "\r\n";
    default:  // NUL
      break;
  }
  fail(Fault::Smuggling);
  return std::string_view();
}

/// A dot behind a line end of whatever kind: the end of data, what looks like it, or a dot that was stuffed in.
std::optional<std::string_view> BodyReader::judge_dot(std::string_view& input) {
  if (input.size() < 2) return std::nullopt;
  if (position_ == Position::AfterCrlf && input[1] == '\r') {
    if (input.size() < 3) return std::nullopt;
    if (input[2] == '\n') {
      input.remove_prefix(3);
      at_end_ = true;
      return std::string_view();
    }
  }
  if (input[1] == '\r' || input[1] == '\n') fail(Fault::Smuggling);
  const auto dot = input.substr(0, 1);
  input.remove_prefix(1);
  // A lone CR has become a space: no line begins behind it, so this dot was not stuffed in.
  const bool is_text = position_ == Position::AfterLoneCr;
  position_ = Position::MidLine;
  if (!is_text) return std::string_view();
  add_to_line(dot);
  return dot;
}

std::string_view BodyReader::judge_lone_cr() {
  if (rules_.smuggling == Smuggling::Reject) fail(Fault::Smuggling);
  add_to_line(" ");
  position_ = Position::AfterLoneCr;
  return " ";
}

/// What the CR at the end of the last chunk was, now that its next octet is there.
std::string_view BodyReader::judge_kept_cr(std::string_view& input) {
  cr_kept_ = false;
  if (!input.starts_with('\n')) return judge_lone_cr();
  input.remove_prefix(1);
  end_line(Position::AfterCrlf);
  return "\r\n";
}

void BodyReader::end_chunk(std::string_view rest) { cr_kept_ = cr_kept_ || rest == "\r"; }

std::string_view BodyReader::finish_chunks() {
  at_end_ = true;
  if (rules_.framing == Framing::BinaryChunks) return {};
  if (cr_kept_) fail(Fault::Smuggling);
  if (octets_ > 0 && position_ != Position::AfterCrlf && position_ != Position::AfterLoneLf) {
    end_line(Position::AfterCrlf);
    return fault_ ? std::string_view() : "\r\n";
  }
  return {};
}

void BodyReader::add_to_line(std::string_view text) {
  position_ = Position::MidLine;
  match_hop_field(text);
  count(text.size());
}

void BodyReader::match_hop_field(std::string_view text) {
  if (!in_header_ || line_octets_ != name_octets_matched_) return;  // not everything so far has matched
  for (const char c : text) {
    if (name_octets_matched_ == hop_field.size() || to_lower_ascii(c) != hop_field[name_octets_matched_]) break;
    ++name_octets_matched_;
  }
}

/// Of two limits the one that was reached first is told, however the input was cut.
void BodyReader::count(std::size_t text_octets) {
  constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t line_end_octets = 2;
  const auto room = [](std::uint64_t max, std::uint64_t used) { return max > used ? max - used : 0; };
  const auto message_room = room(rules_.message_octets_max, octets_);
  const auto line_room = rules_.text_line_octets_max == 0
                             ? no_limit
                             : room(rules_.text_line_octets_max, line_octets_ + line_end_octets);
  if (text_octets > std::min(message_room, line_room)) {
    fail(message_room <= line_room ? Fault::TooLarge : Fault::LineTooLong);
  }
  octets_ += text_octets;
  line_octets_ += text_octets;
}

void BodyReader::end_line(Position next) {
  end_header_line();
  octets_ += 2;
  if (octets_ > rules_.message_octets_max) fail(Fault::TooLarge);
  position_ = next;
}

void BodyReader::end_header_line() {
  if (in_header_ && line_octets_ == 0) in_header_ = false;
  if (in_header_ && name_octets_matched_ == hop_field.size() && ++hops_ > hops_max) fail(Fault::TooManyHops);
  line_octets_ = 0;
  name_octets_matched_ = 0;
}

void BodyReader::fail(Fault fault) {
  if (!fault_) fault_ = fault;
}

}  // namespace postern::smtp
