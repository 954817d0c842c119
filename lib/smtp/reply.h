// SMTP and LMTP replies: values, the named replies that postern gives, rendering and parsing. No state.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::smtp {

/// A reply (RFC 5321 section 4.2) with its enhanced status code (RFC 3463; RFC 2034 says which replies have one).
struct Reply {
  int code = 0;          ///< 200 to 599
  std::string enhanced;  ///< "5.1.1", or empty: greeting, EHLO answer, 3xx
  std::string text;      ///< lines separated by '\n', without codes; printable, never CR

  bool positive() const { return code >= 200 && code < 300; }
  bool intermediate() const { return code >= 300 && code < 400; }
  bool transient() const { return code >= 400 && code < 500; }
  bool permanent() const { return code >= 500; }

  friend bool operator==(const Reply&, const Reply&) = default;
};

/// `250-2.1.0 first\r\n250 2.1.0 last\r\n`. Lines over 512 octets are cut (RFC 5321 section 4.5.3.1.5); octets that
/// would end a line or are not printable become '?'.
std::string render(const Reply& reply);

/// The same, behind what is there; for replies that are no Reply.
void append_rendered(std::string& output, int code, std::string_view enhanced, std::string_view text);

/// Collects the lines of replies that a peer sends. Its memory is bounded: lines over `line_octets_max` and replies of
/// more than `lines_max` lines are an error, after which the parser must not be used again.
class ReplyParser {
 public:
  static constexpr std::size_t line_octets_max = 4096;
  static constexpr std::size_t lines_max = 128;

  void receive(std::string_view bytes);

  /// The next whole reply; nothing while more bytes are needed; an error when the peer does not speak the protocol
  /// (other code on a continuation line, no three digits, a bare LF is tolerated as a line end).
  Result<std::optional<Reply>> next();

  /// Bytes that were received and not yet used for a reply. After STARTTLS there must be none (response injection).
  std::size_t pending() const;

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
  std::optional<Reply> partial_;
  std::size_t partial_lines_ = 0;
};

}  // namespace postern::smtp
