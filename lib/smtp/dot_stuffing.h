// Transparency of RFC 5321 section 4.5.2, towards a peer. Works on pieces: it remembers how the one before has ended.
#pragma once

#include <string>
#include <string_view>

namespace postern::smtp {

class DotStuffing {
 public:
  void append(std::string& out, std::string_view piece);

  /// The final dot, behind a CRLF if the message did not end with one.
  void finish(std::string& out) const;

 private:
  // The CRLF of the DATA command: an empty message ends with a dot alone.
  char before_last_ = '\r';
  char last_ = '\n';
};

}  // namespace postern::smtp
