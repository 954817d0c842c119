#include "smtp/line_reader.h"

namespace postern::smtp {

std::optional<Line> LineReader::next(std::string_view& input) {
  const auto lf = input.find('\n');
  if (lf == std::string_view::npos) {
    if (eating_ || input.size() >= line_octets_max_) {
      eating_ = true;
      input = {};
    }
    return std::nullopt;
  }

  std::string_view text = input.substr(0, lf);
  input.remove_prefix(lf + 1);
  if (eating_ || lf + 1 > line_octets_max_) {
    eating_ = false;
    return Line{Line::Kind::TooLong, {}};
  }
  const bool crlf = text.ends_with('\r');
  if (crlf) text.remove_suffix(1);
  const bool ended_well = crlf || ends_ == LineEnds::LoneLfToo;
  const bool lone_cr = text.find('\r') != std::string_view::npos;
  return Line{ended_well && !lone_cr ? Line::Kind::Whole : Line::Kind::BareLineEnd, text};
}

}  // namespace postern::smtp
