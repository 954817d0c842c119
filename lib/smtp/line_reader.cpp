#include "smtp/line_reader.h"

#include <utility>

namespace postern::smtp {

std::optional<Line> LineReader::next(std::string_view& input) {
  const auto lf = input.find('\n');
  if (lf == std::string_view::npos) {
    if (eating_ || input.size() >= line_octets_max_) {
      eating_ = true;
      cr_eaten_ = input.empty() ? cr_eaten_ : input.ends_with('\r');
      input = {};
    }
    return std::nullopt;
  }

  std::string_view text = input.substr(0, lf);
  input.remove_prefix(lf + 1);
  const bool eaten = std::exchange(eating_, false);
  const bool too_long = eaten || lf + 1 > line_octets_max_;
  const bool crlf = lf > 0 ? text.ends_with('\r') : eaten && cr_eaten_;
  if (!crlf && ends_ == LineEnds::CrlfOnly) return Line{Line::Kind::BareLf, too_long ? std::string_view() : text};
  if (too_long) return Line{Line::Kind::TooLong, {}};
  if (crlf) text.remove_suffix(1);
  return Line{text.find('\r') == std::string_view::npos ? Line::Kind::Whole : Line::Kind::BareCr, text};
}

}  // namespace postern::smtp
