// Finds the Message-ID in a message that comes in pieces, for the log.
#pragma once

#include <string>
#include <string_view>

namespace postern::delivery {

/// Keeps nothing but a partial header line, and looks at the header section only.
class MessageIdFinder {
 public:
  void receive(std::string_view bytes);

  /// As it stands in the field, at most 255 octets, unfolded; empty when there was none. Escape before logging.
  const std::string& message_id() const { return message_id_; }

 private:
  void take_line(std::string_view line);

  static constexpr std::size_t line_octets_max = 1000;
  enum class State { Header, InMessageId, Done };
  State state_ = State::Header;
  std::string line_;        // a partial line, cut at line_octets_max
  std::string message_id_;
};

}  // namespace postern::delivery
