// Every reply that postern gives in its own words, by name. A backend's words are passed on as they are.
//
// Texts are for the person who reads the bounce: they say what was wrong and what would help. Codes follow RFC 5321
// section 4.2.3 and RFC 3463.
#pragma once

#include <string>
#include <string_view>

#include "smtp/reply.h"

namespace postern::smtp {

/// A Reply that is a constant; converts to one where it is used.
struct NamedReply {
  int code;
  std::string_view enhanced;
  std::string_view text;

  operator Reply() const { return Reply{code, std::string(enhanced), std::string(text)}; }  // NOLINT: meant to convert
  friend bool operator==(const Reply& reply, const NamedReply& named) {
    return reply.code == named.code && reply.enhanced == named.enhanced && reply.text == named.text;
  }
};

namespace replies {

// The course of a session.
inline constexpr NamedReply closing{221, "2.0.0", "Bye"};
inline constexpr NamedReply ready_for_tls{220, "2.0.0", "Ready to start TLS"};
inline constexpr NamedReply ok{250, "2.0.0", "OK"};
inline constexpr NamedReply was_reset{250, "2.0.0", "Reset"};
inline constexpr NamedReply sender_ok{250, "2.1.0", "Sender OK"};
inline constexpr NamedReply recipient_ok{250, "2.1.5", "Recipient OK"};
inline constexpr NamedReply cannot_verify{252, "2.5.2", "Cannot say before RCPT, but will take it if the recipient exists"};
inline constexpr NamedReply help{214, "2.0.0", "EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nRFC 5321"};
inline constexpr NamedReply help_lmtp{214, "2.0.0", "LHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nRFC 2033"};
inline constexpr NamedReply help_relayed{214, "2.0.0", "RFC 5321"};
inline constexpr NamedReply start_input{354, "", "End the message with <CRLF>.<CRLF>"};
inline constexpr NamedReply chunk_received{250, "2.0.0", "Chunk received"};
inline constexpr NamedReply taken{250, "2.0.0", "Message taken"};
inline constexpr NamedReply replies_follow{353, "", "Replies for each recipient follow"};
inline constexpr NamedReply taken_before{250, "2.0.0", "Message taken at an earlier try"};
inline constexpr NamedReply taken_for_some{250, "2.0.0", "Message taken for some recipients"};

// Commands that are wrong in themselves.
inline constexpr NamedReply unknown_command{500, "5.5.2", "Command not recognized"};
inline constexpr NamedReply line_too_long{500, "5.5.2", "Line too long"};
inline constexpr NamedReply bare_cr{500, "5.5.2", "Lines end with CRLF; a CR alone has no place in one"};
inline constexpr NamedReply bare_lf{500, "5.5.2", "Lines end with CRLF; nothing is read behind an LF alone"};
inline constexpr NamedReply not_text{500, "5.5.2", "Commands are printable text"};
inline constexpr NamedReply not_implemented{502, "5.5.1", "Command not implemented"};
inline constexpr NamedReply tls_unavailable{502, "5.5.1", "TLS is not available here"};
inline constexpr NamedReply no_parameter_allowed{501, "5.5.4", "This command takes no parameter"};
inline constexpr NamedReply parameter_needed{501, "5.5.4", "This command needs a parameter"};
inline constexpr NamedReply bad_hello_name{501, "5.5.4", "A host name or an address literal must follow"};
inline constexpr NamedReply bad_sender_syntax{501, "5.1.7", "Bad sender address: expected MAIL FROM:<user@domain> or <>"};
inline constexpr NamedReply bad_recipient_syntax{501, "5.1.3", "Bad recipient address: expected RCPT TO:<user@domain>"};
inline constexpr NamedReply bad_parameter_value{501, "5.5.4", "Bad value of a parameter"};
inline constexpr NamedReply duplicate_parameter{501, "5.5.4", "A parameter is given twice"};
inline constexpr NamedReply bad_chunk{501, "5.5.4", "Expected BDAT octets [LAST]; cannot tell where the text ends"};
inline constexpr NamedReply unknown_parameter{555, "5.5.4", "Parameter not recognized or not offered"};
inline constexpr NamedReply requiretls_unavailable{550, "5.7.30", "REQUIRETLS is not available here"};
inline constexpr NamedReply smtputf8_needed{553, "5.6.7", "Non-ASCII addresses need SMTPUTF8"};

// Commands out of order (RFC 5321 section 4.1.4).
inline constexpr NamedReply hello_first{503, "5.5.1", "Say EHLO first"};
inline constexpr NamedReply lhlo_only{500, "5.5.1", "This is LMTP: say LHLO"};
inline constexpr NamedReply not_lmtp{500, "5.5.1", "This is SMTP: say EHLO"};
inline constexpr NamedReply sender_first{503, "5.5.1", "Send MAIL first"};
inline constexpr NamedReply sender_given{503, "5.5.1", "A sender is given already"};
inline constexpr NamedReply recipient_first{503, "5.5.1", "Send RCPT first"};
inline constexpr NamedReply no_valid_recipients{554, "5.5.1", "No valid recipients"};
inline constexpr NamedReply binary_by_chunks{503, "5.5.1", "A BINARYMIME message is sent by BDAT"};
inline constexpr NamedReply chunks_begun{503, "5.5.1", "Send BDAT until LAST, or RSET"};
inline constexpr NamedReply message_broken{503, "5.5.1", "The message is refused already: send RSET"};
inline constexpr NamedReply tls_active{503, "5.5.1", "TLS is active already"};
inline constexpr NamedReply identity_in_transaction{503, "5.5.1", "Not possible inside a transaction"};
inline constexpr NamedReply tls_in_transaction{503, "5.5.1", "STARTTLS is not possible inside a transaction"};

// Limits.
inline constexpr NamedReply too_many_recipients{452, "4.5.3", "Too many recipients: send the rest in another transaction"};
inline constexpr NamedReply message_too_large{552, "5.3.4", "Message larger than this server takes"};
inline constexpr NamedReply text_line_too_long{554, "5.6.0", "A line of the message is longer than this server takes"};
inline constexpr NamedReply too_many_hops{554, "5.4.6", "Too many hops: the message goes in a loop"};
inline constexpr NamedReply too_many_unknown{421, "4.7.0", "Too many recipients that do not exist, try again later"};
inline constexpr NamedReply network_has_too_many_unknown{450, "4.7.0", "Too many recipients that do not exist from your network, try again later"};
inline constexpr NamedReply too_many_errors{421, "4.7.0", "Too many errors"};
inline constexpr NamedReply too_many_commands{421, "4.7.0", "Too many commands without a message"};
inline constexpr NamedReply too_many_unknown_commands{421, "4.7.0", "Too many unknown commands"};
inline constexpr NamedReply too_many_transactions{421, "4.7.0", "No more messages in this session, connect again"};
inline constexpr NamedReply too_slow{421, "4.4.2", "The message comes too slowly"};
inline constexpr NamedReply timed_out{421, "4.4.2", "Timed out waiting for you"};
inline constexpr NamedReply shutting_down{421, "4.3.2", "Service shutting down, try again later"};
inline constexpr NamedReply too_many_connections{421, "4.7.0", "Too many connections from your address or network"};
inline constexpr NamedReply too_busy{421, "4.3.2", "Too busy, try again later"};

// Attacks and strangers (DESIGN promises 4 and 5).
inline constexpr NamedReply bytes_behind_starttls{501, "5.5.2", "Nothing may follow STARTTLS before the handshake"};
inline constexpr NamedReply smuggling{554, "5.6.0", "Message has a bare CR, LF or NUL, or a false end of data"};
inline constexpr NamedReply wrong_protocol{500, "5.5.2", "This is an SMTP server"};
inline constexpr NamedReply wrong_protocol_lmtp{500, "5.5.2", "This is an LMTP server"};

// What becomes of recipients and messages: said by those who route and hand off.
inline constexpr NamedReply relay_denied{550, "5.7.1", "Relaying denied: this domain is not served here"};
inline constexpr NamedReply bad_domain{550, "5.1.2", "The domain of this address cannot exist"};
inline constexpr NamedReply no_such_mailbox{550, "5.1.1", "No such mailbox here"};
inline constexpr NamedReply mailbox_syntax_refused{550, "5.1.3", "This form of address is not taken here"};
inline constexpr NamedReply domain_takes_no_mail{556, "5.1.10", "This domain takes no mail"};
inline constexpr NamedReply smtputf8_unsupported_behind{553, "5.6.7", "The mail store of this recipient cannot take SMTPUTF8"};
inline constexpr NamedReply requiretls_unsupported_behind{550, "5.7.30", "The mail store of this recipient cannot promise TLS"};
inline constexpr NamedReply binarymime_unsupported_behind{550, "5.6.3", "The mail store of this recipient cannot take BINARYMIME"};
inline constexpr NamedReply another_transaction{450, "4.5.3", "Send this recipient in another transaction"};
inline constexpr NamedReply another_backend{451, "4.5.3", "Send this recipient in another transaction"};
inline constexpr NamedReply backend_down{421, "4.3.2", "The mail system is not available, try again later"};
inline constexpr NamedReply backend_unreachable{451, "4.4.1", "The mail store does not answer, try again later"};
inline constexpr NamedReply backend_lost{451, "4.4.2", "The connection to the mail store was lost, try again later"};
inline constexpr NamedReply backend_busy{451, "4.3.2", "The mail store is busy, try again later"};
inline constexpr NamedReply still_being_delivered{451, "4.4.5", "An earlier try is still being delivered, try again later"};
inline constexpr NamedReply some_recipients_failed{451, "4.5.3", "Not every recipient could be served, try again later"};
inline constexpr NamedReply storage_full{452, "4.3.1", "No room for messages at the moment, try again later"};
inline constexpr NamedReply local_error{451, "4.3.0", "Local error, try again later"};

}  // namespace replies

}  // namespace postern::smtp
