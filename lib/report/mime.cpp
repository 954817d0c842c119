#include "report/mime.h"

#include <vector>

#include "base/text.h"
#include "tls/compat.h"

namespace postern::report {

namespace {

/// Splits off the next line, without its line end.
std::string_view take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  auto line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

struct Head {
  std::string type = "text/plain";  // RFC 2045 section 5.2
  std::string boundary;
  std::string encoding;
};

/// `boundary` of a Content-Type, quoted or not.
std::string boundary_in(std::string_view parameters) {
  for (std::size_t at = 0; at < parameters.size(); ++at) {
    constexpr std::string_view key = "boundary=";
    const bool begins = at == 0 || parameters[at - 1] == ';' || parameters[at - 1] == ' ' || parameters[at - 1] == '\t';
    if (!begins || !starts_with_ignoring_case(parameters.substr(at), key)) continue;
    auto value = parameters.substr(at + key.size());
    if (!value.starts_with('"')) return std::string(trimmed(value.substr(0, value.find_first_of("; \t"))));
    std::string unquoted;
    for (std::size_t i = 1; i < value.size() && value[i] != '"'; ++i) {
      if (value[i] == '\\' && i + 1 < value.size()) ++i;
      unquoted += value[i];
    }
    return unquoted;
  }
  return {};
}

void take_field(std::string_view field, Head& head) {
  const auto colon = field.find(':');
  if (colon == std::string_view::npos) return;
  const auto name = trimmed(field.substr(0, colon));
  const auto value = trimmed(field.substr(colon + 1));
  if (equals_ignoring_case(name, "Content-Type")) {
    head.type = to_lower_ascii(trimmed(value.substr(0, value.find(';'))));
    head.boundary = boundary_in(value);
  } else if (equals_ignoring_case(name, "Content-Transfer-Encoding")) {
    head.encoding = to_lower_ascii(value);
  }
}

/// Reads the header fields; `entity` is the body then.
Head take_head(std::string_view& entity) {
  Head head;
  std::string field;  // with its folded lines
  for (;;) {
    const bool at_end = entity.empty();
    const auto line = take_line(entity);
    if (line.starts_with(' ') || line.starts_with('\t')) {
      field.append(line);
      continue;
    }
    take_field(field, head);
    if (at_end || line.empty()) return head;
    field = line;
  }
}

class Walk {
 public:
  explicit Walk(const std::function<bool(const MimePart&)>& visit) : visit_(visit) {}

  bool entity(std::string_view octets, unsigned depth) {
    const Head head = take_head(octets);
    if (head.type.starts_with("multipart/") && !head.boundary.empty()) {
      return depth < mime_nesting_max && multipart(octets, head.boundary, depth);
    }
    if (++parts_ > mime_parts_max) return false;
    return visit_({head.type, head.encoding, octets});
  }

 private:
  bool multipart(std::string_view octets, const std::string& boundary, unsigned depth) {
    const std::string delimiter = "--" + boundary;
    std::optional<std::size_t> begin;  // of the part at hand; what stands before the first delimiter is none
    std::string_view rest = octets;
    while (!rest.empty() && parts_ <= mime_parts_max) {
      const std::size_t at = octets.size() - rest.size();
      const auto line = take_line(rest);
      if (!line.starts_with(delimiter)) continue;
      const auto tail = trimmed(line.substr(delimiter.size()));
      if (!tail.empty() && tail != "--") continue;  // another boundary, of which this one is the beginning
      if (begin && entity(octets.substr(*begin, at - *begin), depth + 1)) return true;
      if (tail == "--") return false;
      begin = octets.size() - rest.size();
    }
    return begin && entity(octets.substr(*begin), depth + 1);  // it was cut off
  }

  const std::function<bool(const MimePart&)>& visit_;
  unsigned parts_ = 0;
};

std::optional<std::string> from_base64(std::string_view text) {
  std::string clean;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') clean += c;
  }
  std::string octets(clean.size(), '\0');
  std::size_t size = 0;
  if (!EVP_DecodeBase64(reinterpret_cast<std::uint8_t*>(octets.data()), &size, octets.size(),
                        reinterpret_cast<const std::uint8_t*>(clean.data()), clean.size())) {
    return std::nullopt;
  }
  octets.resize(size);
  return octets;
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower_ascii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// RFC 2045 section 6.7; what is no escape stays as it is.
std::string from_quoted_printable(std::string_view text) {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto rest = text.substr(i);
    if (rest.starts_with("=\r\n")) {
      i += 2;
    } else if (rest.starts_with("=\n")) {
      i += 1;
    } else if (rest.size() > 2 && rest[0] == '=' && hex_value(rest[1]) >= 0 && hex_value(rest[2]) >= 0) {
      octets += static_cast<char>(hex_value(rest[1]) * 16 + hex_value(rest[2]));
      i += 2;
    } else {
      octets += text[i];
    }
  }
  return octets;
}

}  // namespace

std::optional<std::string> MimePart::decoded() const {
  if (encoding == "base64") return from_base64(body);
  if (encoding == "quoted-printable") return from_quoted_printable(body);
  return std::string(body);
}

bool each_part(std::string_view mail, const std::function<bool(const MimePart&)>& visit) {
  return Walk(visit).entity(mail, 0);
}

bool looks_like_mail(std::string_view octets) {
  const auto line = octets.substr(0, octets.find('\n'));
  const auto name = line.substr(0, line.find(':'));
  if (line.starts_with("From ")) return true;  // mbox
  return name.size() < line.size() && !name.empty() && name.find_first_of(" \t{}\"") == std::string_view::npos;
}

}  // namespace postern::report
