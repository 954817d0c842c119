#include "delivery/message_id.h"

#include <algorithm>

#include "base/text.h"

namespace postern::delivery {

namespace {
constexpr std::size_t message_id_octets_max = 255;
constexpr std::string_view field_name = "message-id:";
}  // namespace

void MessageIdFinder::receive(std::string_view bytes) {
  while (state_ != State::Done && !bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto piece = bytes.substr(0, end);
    line_.append(piece.substr(0, line_octets_max - std::min(line_.size(), line_octets_max)));
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    take_line(line_);
    line_.clear();
  }
}

void MessageIdFinder::take_line(std::string_view line) {
  const bool continues = line.starts_with(' ') || line.starts_with('\t');
  if (state_ == State::InMessageId && continues) {
    // The id itself often stands on the line after the field name (RFC 5322 section 2.2.3).
    if (message_id_.empty()) message_id_ = trimmed(line).substr(0, message_id_octets_max);
  } else if (line.empty() || state_ == State::InMessageId) {
    state_ = State::Done;
  } else if (starts_with_ignoring_case(line, field_name)) {
    state_ = State::InMessageId;
    message_id_ = trimmed(line.substr(field_name.size())).substr(0, message_id_octets_max);
  }
}

}  // namespace postern::delivery
