// Takes the Authentication-Results fields out of a message that claim to be ours (RFC 8601 section 5): whoever reads such
// a field behind us believes it because of the name in it, and a sender could write any name.
//
// A filter for a stream: pieces of a message go in, pieces go out. It looks at the header only, and holds back no more
// than the field that is being looked at, up to a limit. A field whose name cannot be read (no id, a comment or quoted
// string without an end, an id that does not come within that limit) is taken out as well: nobody can need it, and what
// it means depends on who reads it. ARC-Authentication-Results and fields of others stay: they are evidence, not claims
// to be us.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::smtp {

class AuthenticationResultsFilter {
 public:
  static constexpr std::size_t held_octets_max = 4096;

  /// `ids`: our authserv-ids, host names as a rule; compared without case.
  explicit AuthenticationResultsFilter(std::vector<std::string> ids);

  /// The next piece that goes on; what was used is dropped from the front of `input`. Points into `input` or into the
  /// filter: good until the next call. Empty: all of `input` was used, and more is needed.
  std::string_view read(std::string_view& input);

  /// The message is over: what was held back of it and goes on.
  std::string_view finish();

  std::size_t fields_dropped() const { return fields_dropped_; }

 private:
  enum class State {
    LineBegins,   ///< of the header; one that is folded goes the way of the line before
    InLine,
    InName,       ///< of a field that may be Authentication-Results: held back
    BeforeColon,  ///< held back
    InValue,      ///< held back
    InBody,
  };

  std::string_view begin_line(std::string_view& input);
  std::string_view read_line(std::string_view& input);
  std::string_view read_name(std::string_view& input);
  std::string_view read_until_colon(std::string_view& input);
  std::string_view read_value(std::string_view& input);
  std::string_view decide(State next);
  std::string_view release();
  bool is_ours(std::string_view id) const;

  std::vector<std::string> ids_;  // canonical
  std::string held_;
  std::string released_;
  std::size_t fields_dropped_ = 0;
  State state_ = State::LineBegins;
  bool passing_ = true;  // the field that is being read, or was
};

/// The authserv-id in the value of such a field, with comments, folding and quotes taken off; nothing when there is none.
std::optional<std::string> authserv_id(std::string_view value);

}  // namespace postern::smtp
