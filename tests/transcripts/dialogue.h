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
// In C, M and S, \r \n \t \\ and \xHH are what they are in C. A step is a C: batch or an X:; the S, E and M lines behind
// it must be all that it brings about. Two kinds are compared only where they are written at all in a step: `E: mail` and
// `E: rcpt`, and M.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::transcripts {

struct Step {
  enum class Kind { Greeting, Send, EndOfInput, Wait, ShutDown, TlsStarted };
  Kind kind = Kind::Greeting;
  std::string bytes;     ///< of Send; the host name of TlsStarted; the duration of Wait
  std::size_t line = 0;  ///< in the file
  std::vector<std::string> replies;
  std::vector<std::string> events;
  std::string text;
};

struct Dialogue {
  /// dialect (smtp, lmtp), tls (none, offered, active), smuggling (reject, normalize), strict (yes), offer (an
  /// extension; once for each), segments (kept: each batch comes in one piece), and the limits by their names in ServerLimits.
  std::vector<std::pair<std::string, std::string>> options;
  std::map<std::string, std::string> answers;  ///< "rcpt <a@b.example>" -> "550 5.1.1 text"
  std::vector<std::string> outcomes;           ///< the answers to messages
  std::vector<Step> steps;
};

Result<Dialogue> parse_dialogue(std::string_view text);

}  // namespace postern::transcripts
