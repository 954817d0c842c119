// Command lines of SMTP and LMTP: a line becomes a verb and its argument, an argument becomes a value or the reply that
// refuses it. No state: whether a command is in order is the session's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "smtp/address.h"
#include "smtp/extensions.h"
#include "smtp/parameters.h"
#include "smtp/replies.h"

namespace postern::smtp {

enum class Verb : std::uint8_t {
  Ehlo,
  Helo,
  Lhlo,
  Mail,
  Rcpt,
  Data,
  Bdat,
  Rset,
  Noop,
  Quit,
  Vrfy,
  Expn,
  Help,
  StartTls,
  Auth,
  Xclient,   ///< Postfix's XCLIENT_README: only of peers that are trusted with it
  Xforward,  ///< XFORWARD_README
  ForeignProtocol,  ///< GET, POST, CONNECT and their like: the peer speaks HTTP
  Unknown,
};
constexpr std::size_t verb_count = static_cast<std::size_t>(Verb::Unknown) + 1;

/// As in the protocol: "EHLO"; "foreign" and "unknown" for what is no command.
std::string_view to_string(Verb verb);

struct CommandLine {
  Verb verb = Verb::Unknown;
  std::string_view argument;  ///< what stands behind the verb, without the blanks around it; points into the line
};

/// The verb at the front of a line, whatever else the line may hold.
Verb verb_of(std::string_view line);

/// `line` comes without its line end. Refused are control characters, and octets over 0x7f where no address can stand
/// (RFC 5321 section 2.4, RFC 6531 section 3.7.1).
Parsed<CommandLine> parse_command_line(std::string_view line);

/// What the parsers of arguments may let pass.
struct Grammar {
  Tolerance tolerance = Tolerance::Forgiving;
  Extensions offered = {};
  AddressCharset charset = AddressCharset::Ascii;  ///< of a RCPT: what its MAIL has said
};

/// The name in EHLO, HELO or LHLO. Strict: a domain or an address literal (RFC 5321 section 4.1.1.1). Forgiving: any
/// printable text, since many a good sender has a bad name; it is escaped wherever it is shown.
Parsed<std::string_view> parse_hello(std::string_view argument, Tolerance tolerance);

struct MailCommand {
  ReversePath from;
  MailParameters parameters;
};

/// `FROM:<path> parameters` (RFC 5321 section 4.1.1.2). Parameters: SIZE, BODY, and what is offered.
Parsed<MailCommand> parse_mail(std::string_view argument, const Grammar& grammar);

struct RcptCommand {
  ForwardPath to;
  RecipientParameters parameters;
};

/// `TO:<path> parameters` (RFC 5321 section 4.1.1.3). Parameters: NOTIFY and ORCPT where DSN is offered.
Parsed<RcptCommand> parse_rcpt(std::string_view argument, const Grammar& grammar);

/// A MAIL or RCPT that a backend will judge, with its parameters, whatever they are.
struct RelayedMail {
  ReversePath from;
  std::vector<Parameter> parameters;
};
struct RelayedRcpt {
  ForwardPath to;
  std::vector<Parameter> parameters;
};
Parsed<RelayedMail> parse_relayed_mail(std::string_view argument, Tolerance tolerance);
Parsed<RelayedRcpt> parse_relayed_rcpt(std::string_view argument, Tolerance tolerance);

struct BdatCommand {
  std::uint64_t octets = 0;
  bool last = false;
};

/// `octets [LAST]` (RFC 3030 section 2). Where this fails nobody knows how many octets of text follow.
Parsed<BdatCommand> parse_bdat(std::string_view argument);

}  // namespace postern::smtp
