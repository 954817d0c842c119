// Finds command lines in what a client sends. The rule for a CR or LF that stands alone in a command is here and
// nowhere else; the one for messages is body_reader's.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace postern::smtp {

/// What ends a command line.
enum class LineEnds {
  CrlfOnly,    ///< RFC 5321 section 2.3.8; a line that ends otherwise is given as BareLf
  LoneLfToo,   ///< for clients whose messages are normalized (Smuggling::Normalize)
};

struct Line {
  enum class Kind {
    Whole,
    TooLong,  ///< eaten; `text` is empty
    BareCr,   ///< holds a lone CR: not to be understood as a command
    BareLf,   ///< ended by a lone LF: nobody can say whether what follows is another line
  };
  Kind kind;
  std::string_view text;  ///< without the line end; points into the input
};

class LineReader {
 public:
  /// `line_octets_max` includes the line end.
  LineReader(std::size_t line_octets_max, LineEnds ends) : line_octets_max_(line_octets_max), ends_(ends) {}

  /// The line at the front of `input`, which is then dropped from there. Nothing while its end is missing: what
  /// remains in `input` must be shown again with more behind it, and is never longer than a line may be.
  std::optional<Line> next(std::string_view& input);

  /// In the middle of a line of which nothing is kept.
  bool eating() const { return eating_; }

 private:
  std::size_t line_octets_max_;
  LineEnds ends_;
  bool eating_ = false;
  bool cr_eaten_ = false;  // the last octet that was eaten was a CR
};

}  // namespace postern::smtp
