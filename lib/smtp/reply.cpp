#include "smtp/reply.h"

#include <algorithm>

#include "base/text.h"

namespace postern::smtp {

namespace {

constexpr std::size_t reply_line_octets_max = 512;  // RFC 5321 section 4.5.3.1.5, with CRLF

bool is_reply_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte < 0x7f);
}

std::string printable(std::string_view text) {
  std::string made(text);
  std::replace_if(made.begin(), made.end(), [](char c) { return !is_reply_text(c); }, '?');
  return made;
}

/// The length of the enhanced status code at the front of `text`, 0 when there is none that fits `code`.
std::size_t enhanced_length(std::string_view text, int code) {
  if (text.size() < 5 || text[0] != static_cast<char>('0' + code / 100) || text[1] != '.') return 0;
  std::size_t at = 2;
  const auto digits = [&] {
    const std::size_t first = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at > first && at - first <= 3;
  };
  if (!digits() || at == text.size() || text[at++] != '.' || !digits()) return 0;
  return at == text.size() || text[at] == ' ' || text[at] == '\t' ? at : 0;
}

/// One line of a reply in its parts.
struct ReplyLine {
  int code;
  bool last;
  std::string_view text;
};

std::optional<ReplyLine> parse_line(std::string_view line) {
  if (line.size() < 3 || !std::all_of(line.begin(), line.begin() + 3, is_digit)) return std::nullopt;
  if (line[0] < '2' || line[0] > '5') return std::nullopt;
  const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  if (line.size() == 3) return ReplyLine{code, true, {}};
  if (line[3] != ' ' && line[3] != '-') return std::nullopt;
  return ReplyLine{code, line[3] == ' ', line.substr(4)};
}

/// Adds a line to the reply that is being collected. The enhanced code stands on every line; it is kept once.
void add_line(Reply& reply, std::string_view text, bool first) {
  if (first) reply.enhanced = text.substr(0, enhanced_length(text, reply.code));
  if (!reply.enhanced.empty() && text.substr(0, enhanced_length(text, reply.code)) == reply.enhanced) {
    text.remove_prefix(std::min(text.size(), reply.enhanced.size() + 1));
  }
  if (!first) reply.text += '\n';
  reply.text += printable(text);
}

}  // namespace

std::string render(const Reply& reply) {
  std::string rendered;
  append_rendered(rendered, reply.code, reply.enhanced, reply.text);
  return rendered;
}

void append_rendered(std::string& output, int code, std::string_view enhanced, std::string_view text) {
  for (bool last = false; !last;) {
    const auto end = text.find('\n');
    last = end == std::string_view::npos;
    const auto line_begin = output.size();
    for (const int digit : {code / 100, code / 10 % 10, code % 10}) output += static_cast<char>('0' + digit);
    output += last ? ' ' : '-';
    output += enhanced;
    if (!enhanced.empty() && !text.empty()) output += ' ';
    const auto text_begin = output.size();
    output += text.substr(0, end);
    std::replace_if(output.begin() + static_cast<std::ptrdiff_t>(text_begin), output.end(),
                    [](char c) { return !is_reply_text(c); }, '?');
    if (output.size() - line_begin > reply_line_octets_max - 2) output.resize(line_begin + reply_line_octets_max - 2);
    output += "\r\n";
    if (!last) text.remove_prefix(end + 1);
  }
}

void ReplyParser::receive(std::string_view bytes) {
  if (taken_ > 0) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  buffer_ += bytes;
}

Result<std::optional<Reply>> ReplyParser::next() {
  for (;;) {
    const std::string_view unread = std::string_view(buffer_).substr(taken_);
    const auto end = unread.find('\n');
    if (std::min(end, unread.size()) > line_octets_max) {
      return fail("a reply line of more than {} octets: \"{}\"", line_octets_max, escaped(unread.substr(0, 80)));
    }
    if (end == std::string_view::npos) return std::optional<Reply>();

    std::string_view text = unread.substr(0, end);
    if (text.ends_with('\r')) text.remove_suffix(1);
    const auto line = parse_line(text);
    if (!line) return fail("not an SMTP reply: \"{}\"", escaped(text, 80));
    if (partial_ && partial_->code != line->code) {
      return fail("a reply that begins with {} goes on with \"{}\"", partial_->code, escaped(text, 80));
    }
    if (++partial_lines_ > lines_max) return fail("a reply of more than {} lines", lines_max);

    const bool first = !partial_;
    if (first) partial_ = Reply{line->code, {}, {}};
    add_line(*partial_, line->text, first);
    taken_ += end + 1;
    if (line->last) {
      std::optional<Reply> whole = std::move(partial_);
      partial_.reset();
      partial_lines_ = 0;
      return whole;
    }
  }
}

std::size_t ReplyParser::pending() const { return buffer_.size() - taken_; }

}  // namespace postern::smtp
