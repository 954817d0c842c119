// The part of the configuration that the SMTP machines need. config/ fills it; nothing here knows TOML.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/instant.h"

namespace postern::smtp {

/// What happens to a message that holds a bare CR, a bare LF or a NUL (DESIGN promise 5).
enum class Smuggling {
  Reject,     ///< `554 5.6.0`
  Normalize,  ///< a lone LF becomes CRLF, a lone CR a space; what looks like an end of data is refused even so
};

struct ServerLimits {
  std::uint64_t message_octets_max = 50'000'000;  ///< also what SIZE announces (RFC 1870)
  std::size_t recipients_max = 1000;              ///< accepted recipients in one transaction
  /// Since the last accepted message; the next command then gets `421` and the session ends. A recipient that is refused
  /// for good counts a tenth of an error: a list server with a few stale addresses is no attacker.
  std::size_t errors_max = 20;
  std::size_t commands_max = 10'000;              ///< since the last accepted message; then `421` and the end
  std::size_t unknown_commands_max = 10;          ///< likewise, for words that are no command at all
  std::size_t transactions_max = 0;               ///< MAIL commands in a session, then `421`; 0 = no limit
  /// What a client must send of a message on the average, after a first ServerTimeouts::data; 0 = no limit.
  std::uint64_t data_octets_per_second_min = 100;
  std::size_t command_line_octets_max = 2048;     ///< including CRLF; RFC 5321 section 4.5.3.1.4 asks for 512 at least
  std::size_t text_line_octets_max = 0;           ///< a line of a message; 0 = no limit but the message's own
  std::size_t pipeline_depth = 32;                ///< open answers before the session stops to read
};

/// RFC 5321 section 4.5.3.2. The other limits there (for the greeting, MAIL, RCPT, DATA and the final dot) are those of a
/// client; a server has the one of section 4.5.3.2.7, for which it waits.
struct ServerTimeouts {
  Duration command = std::chrono::minutes(5);    ///< for a whole command, however it trickles in
  Duration data = std::chrono::minutes(3);       ///< between two pieces of a message
  Duration handshake = std::chrono::seconds(30); ///< the whole TLS handshake
};

struct SmtpSettings {
  Smuggling smuggling = Smuggling::Reject;
  std::vector<Network> smuggling_exempt;  ///< clients whose bare CR and LF are normalized whatever `smuggling` says
  bool strict = false;                    ///< no tolerance for missing angle brackets and stray white space
  ServerLimits limits;
  ServerTimeouts timeouts;
};

}  // namespace postern::smtp
