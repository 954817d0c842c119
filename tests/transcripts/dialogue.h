// A dialogue file: what a client sends, what the server must answer, and what the application behind it decides.
//
//   # a comment; the first one says what the dialogue shows
//   option NAME VALUE      before the first step: see Dialogue::options
//   A: mail PATH REPLY     the application's answer to MAIL FROM:PATH; also `rcpt PATH REPLY`, `data REPLY`, and
//                          `message REPLY` (LMTP: one line for each recipient; PRDR: and one more for the whole).
//                          Without a rule it says yes.
//   C: TEXT                the client sends TEXT and CRLF. C: lines that follow one another are one pipelined batch.
//   C| TEXT                the same without CRLF
//   X: eof                 the client closes its side
//   X: wait 300s           that much time passes, then the session's deadline is looked at
//   X: shutdown            the server is told to shut down
//   X: tls NAME            the handshake succeeds; NAME is what the next EHLO answer says
//   S: LINE                the server answers exactly this line; `S: (250)` stands for any one reply of that code
//   E: EVENT               the application sees this event: `mail PATH PARAMETERS`, `rcpt PATH PARAMETERS`, `message OCTETS PROTOCOL`,
//                          `ended WHY`, `tls`, `closing WHY`
//   M: TEXT                the application gets this line of text (and CRLF)
//
// With `option backend` the session is passed through to a backend, which the dialogue plays instead of an application:
//
//   X: connected           the connection to the backend that was asked for (`E: connect NAME`) stands
//   X: lost                it is gone, or did not come to be
//   X: no target           there is no further target to be tried
//   B: TEXT, B| TEXT       the backend sends this, as C: and C|
//   R: TEXT, R| TEXT       the backend receives this; `R: (no end)`: some text, without the end of a message in it
//   E: EVENT               also `connect NAME`, and `disconnect` with the last words, if there are any
//
// In B, C, M, R and S, \r \n \t \\ and \xHH are what they are in C. A step is a C: or B: batch or an X:; the S, E, M and R
// lines behind it must be all that it brings about. Two kinds are compared only where they are written at all in a step:
// `E: mail` and `E: rcpt`, and M.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::transcripts {

struct Step {
  enum class Kind { Greeting, Send, EndOfInput, Wait, ShutDown, TlsStarted, Connected, BackendSends, Lost, NoTarget };
  Kind kind = Kind::Greeting;
  std::string bytes;     ///< of Send and BackendSends; the host name of TlsStarted; the duration of Wait
  std::size_t line = 0;  ///< in the file
  std::vector<std::string> replies;
  std::vector<std::string> events;
  std::string text;
  std::string to_backend;
};
/// Step::to_backend where only the absence of an end is looked at.
inline constexpr std::string_view text_without_end = "(no end)\r\n";

struct Dialogue {
  /// dialect (smtp, lmtp), tls (none, offered, active), smuggling (reject, normalize), strict (yes), offer (an
  /// extension; once for each), segments (kept: each batch comes in one piece), and the limits by their names in ServerLimits.
  /// Passed through: backend (late, early, recipient: who decides on it), route (DOMAIN=BACKEND; once for each), login
  /// (passed), link (kept, over STARTTLS), pass (an extension; once for each), header (a line said in front).
  std::vector<std::pair<std::string, std::string>> options;
  std::map<std::string, std::string> answers;  ///< "rcpt <a@b.example>" -> "550 5.1.1 text"
  std::vector<std::string> outcomes;           ///< the answers to messages
  std::vector<Step> steps;

  /// The value of the option, the first if there are several.
  std::optional<std::string_view> option(std::string_view name) const;
};

Result<Dialogue> parse_dialogue(std::string_view text);

}  // namespace postern::transcripts
