#include "smtp/client_transaction.h"

#include "base/text.h"

namespace postern::smtp {

std::string_view to_string(ClientStage stage) {
  switch (stage) {
    case ClientStage::Greeting:
      return "the greeting";
    case ClientStage::Hello:
      return "LHLO or EHLO";
    case ClientStage::StartTls:
      return "STARTTLS";
    case ClientStage::Handshake:
      return "the TLS handshake";
    case ClientStage::Idle:
      return "an idle connection";
    case ClientStage::Noop:
      return "NOOP";
    case ClientStage::Identify:
      return "XCLIENT or XFORWARD";
    case ClientStage::Mail:
      return "MAIL";
    case ClientStage::Rcpt:
      return "RCPT";
    case ClientStage::Data:
      return "DATA";
    case ClientStage::Body:
      return "the message";
    case ClientStage::AfterDot:
      return "the final dot";
    case ClientStage::Reset:
      return "RSET";
  }
  return "?";
}

std::string mail_command(const Envelope& envelope, const PeerExtensions& offered) {
  using Body = MailParameters::Body;
  std::string command = "MAIL FROM:" + envelope.from.text();
  const auto& parameters = envelope.parameters;
  if (parameters.size && offered.size_max) command += fmt::format(" SIZE={}", *parameters.size);
  if (parameters.body == Body::EightBitMime && offered.eight_bit_mime) command += " BODY=8BITMIME";
  if (parameters.body == Body::BinaryMime) command += " BODY=BINARYMIME";
  if (parameters.smtputf8) command += " SMTPUTF8";
  if (parameters.require_tls && offered.require_tls) command += " REQUIRETLS";
  if (offered.dsn && parameters.ret) {
    command += *parameters.ret == MailParameters::Return::Full ? " RET=FULL" : " RET=HDRS";
  }
  if (offered.dsn && !parameters.envid.empty()) command += " ENVID=" + parameters.envid;
  return command + "\r\n";
}

/// A peer without DSN makes no reports of its own that a parameter could ask for or forbid (RFC 3461 section 5.2.2): its
/// own MTA behind may, as it always did.
std::string rcpt_command(const Envelope& envelope, std::size_t recipient, const PeerExtensions& offered) {
  std::string command = "RCPT TO:" + envelope.recipients[recipient].text();
  if (offered.dsn && recipient < envelope.recipient_parameters.size()) {
    const auto& parameters = envelope.recipient_parameters[recipient];
    if (parameters.notify) command += " NOTIFY=" + parameters.notify->text();
    if (!parameters.orcpt.empty()) command += " ORCPT=" + parameters.orcpt;
  }
  return command + "\r\n";
}

}  // namespace postern::smtp
