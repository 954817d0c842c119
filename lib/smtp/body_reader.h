// The text of a message as it comes behind DATA or BDAT: finds its end, takes away the dots that were stuffed in, and
// keeps out what could end a message for somebody else (DESIGN promise 5, SMTP smuggling).
//
// The end of data is CRLF.CRLF and nothing else (the CRLF of the DATA line counts as the first). A CR or LF that stands
// alone and a NUL are faults. From a fault on nothing is given out any more, but the message is read on to its true
// end: only there does the client listen again.
//
// Smuggling::Normalize: a lone LF becomes CRLF, and begins a line whose dot is unstuffed like any other; a lone CR
// becomes a space. What is given out never holds either, so who sends it on stuffs the lines that are there and no
// others. A dot between two line ends of which one is not CRLF (LF.LF, LF.CRLF, CRLF.LF, CR.CR, CR.CRLF, ...) is what
// some other server takes for an end of data: nobody sends that in good faith, and it is a fault here too.
//
// Behind BDAT (RFC 3030) the octets are counted by the caller: there are no stuffed dots and there is no end of data. The
// rule for lone CR, LF and NUL is the same, and a line end may be cut in two by the end of a chunk.
//
// Under BODY=BINARYMIME (RFC 3030 section 3) nothing but size and hops is looked at, and no line end is added: such a
// message goes on by BDAT only, where no octet of it can end anything.
//
// What cannot be judged yet (a CR, a dot at the front of a line) stays in the input until more comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "smtp/settings.h"

namespace postern::smtp {

constexpr std::size_t hops_max = 100;  ///< Received fields in a message; RFC 5321 section 6.3

enum class Framing {
  Dots,          ///< DATA
  Chunks,        ///< BDAT
  BinaryChunks,  ///< BDAT under BODY=BINARYMIME: the octets are passed as they are, and may be any
};

struct BodyRules {
  Smuggling smuggling = Smuggling::Reject;
  std::uint64_t message_octets_max = 0;   ///< without stuffed dots, with line ends (RFC 1870 section 5)
  std::size_t text_line_octets_max = 0;   ///< with CRLF; 0: no limit
  Framing framing = Framing::Dots;
};

class BodyReader {
 public:
  enum class Fault { Smuggling, TooLarge, LineTooLong, TooManyHops };

  explicit BodyReader(const BodyRules& rules) : rules_(rules) {}

  /// The next piece of the message, as long as possible; drops what was used from the front of `input`. The piece
  /// points into `input` or to a constant. Empty: the end was reached, or more input is needed (what remains in
  /// `input`, three octets at most, must be shown again).
  std::string_view read(std::string_view& input);

  /// Not for Framing::Dots: all octets of a chunk were shown; `rest` is what remains of them. Keeps a CR whose LF may be the
  /// first octet of the next chunk.
  void end_chunk(std::string_view rest);

  /// Not for Framing::Dots: there is no further chunk. Gives out the line end that a message must have at its end.
  std::string_view finish_chunks();

  bool at_end() const { return at_end_; }

  /// The first thing that is wrong with the message, as soon as it is known.
  std::optional<Fault> fault() const { return fault_; }

  /// Of the message so far, as given out.
  std::uint64_t octets() const { return octets_; }

 private:
  /// What stands before the next octet.
  enum class Position : std::uint8_t { MidLine, AfterCrlf, AfterLoneLf, AfterLoneCr };

  std::size_t pass_unchanged(std::string_view input);
  std::string_view pass_binary(std::string_view& input);
  std::optional<std::string_view> judge_front(std::string_view& input);
  std::string_view judge_kept_cr(std::string_view& input);
  std::string_view judge_lone_cr();
  std::optional<std::string_view> judge_dot(std::string_view& input);
  void add_to_line(std::string_view text);
  void match_hop_field(std::string_view text);
  void end_header_line();
  void count(std::size_t text_octets);
  void end_line(Position next);
  void fail(Fault fault);

  BodyRules rules_;
  std::uint64_t octets_ = 0;
  std::uint64_t line_octets_ = 0;
  std::size_t hops_ = 0;
  std::uint8_t name_octets_matched_ = 0;  // of "received:", at the front of the line
  bool in_header_ = true;
  bool cr_kept_ = false;  // the last octet of the last chunk was a CR
  bool at_end_ = false;
  Position position_ = Position::AfterCrlf;
  std::optional<Fault> fault_;
};

}  // namespace postern::smtp
