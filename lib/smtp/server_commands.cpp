// What each command of a server session does, once the table in server_table.cpp has found it to be in order.
#include <string>

#include "smtp/server_state.h"

namespace postern::smtp {

namespace {

/// RFC 9422 section 4: what the client would otherwise learn by running into it.
std::string limits_line(const ServerLimits& limits) {
  std::string line = "\nLIMITS";
  if (limits.transactions_max > 0) line += " MAILMAX=" + std::to_string(limits.transactions_max);
  line += " RCPTMAX=" + std::to_string(limits.recipients_max);
  return line;
}

std::string extended_answer(const ServerOptions& options, const Extensions& offered) {
  std::string text = options.hostname;
  text += "\nPIPELINING\nSIZE ";
  text += std::to_string(options.limits.message_octets_max);
  text += "\n8BITMIME";
  if (options.tls == TlsState::Offered) text += "\nSTARTTLS";
  text += "\nENHANCEDSTATUSCODES";
  if (offered.chunking) text += "\nCHUNKING";
  if (offered.binarymime) text += "\nBINARYMIME";
  if (offered.smtputf8) text += "\nSMTPUTF8";
  if (offered.dsn) text += "\nDSN";
  if (offered.prdr) text += "\nPRDR";
  if (offered.requiretls) text += "\nREQUIRETLS";
  if (offered.limits) text += limits_line(options.limits);
  if (!options.xclient.empty()) text.append("\nXCLIENT ").append(options.xclient);
  if (!options.xforward.empty()) text.append("\nXFORWARD ").append(options.xforward);
  return text;
}

}  // namespace

void ServerSession::State::ehlo(std::string_view argument) {
  if (options.dialect == Dialect::Lmtp) return refuse(replies::lhlo_only);  // RFC 2033 section 4.1
  hello(argument, HelloForm::Extended);
}

void ServerSession::State::helo(std::string_view argument) {
  if (options.dialect == Dialect::Lmtp) return refuse(replies::lhlo_only);
  hello(argument, HelloForm::Basic);
}

void ServerSession::State::lhlo(std::string_view argument) {
  if (options.dialect == Dialect::Smtp) return refuse(replies::not_lmtp);
  hello(argument, HelloForm::Extended);
}

void ServerSession::State::hello(std::string_view argument, HelloForm form) {
  const auto name = parse_hello(argument, grammar().tolerance);
  if (!name) return refuse(name.error());
  end_transaction(TransactionEnded::Why::Hello);  // RFC 5321 section 4.1.4: as if RSET had been said
  client_name = *name;
  phase = Phase::Ready;
  extended = form == HelloForm::Extended;
  count_reply(250);
  append_rendered(replies.back(), 250, {}, extended ? extended_answer(options, offered()) : options.hostname);
}

void ServerSession::State::offer_sender(std::string_view argument) {
  const auto max = options.limits.transactions_max;
  if (max > 0 && ++transactions > max) {
    return close(SessionClosing::Why::TooManyTransactions, replies::too_many_transactions);
  }
  auto mail = parse_mail(argument, grammar());
  if (!mail) return refuse(mail.error());
  // Too large a message is no mistake of the protocol: it does not count as one.
  if (mail->parameters.size.value_or(0) > options.limits.message_octets_max) return decline(replies::message_too_large);
  transaction = std::make_unique<Transaction>();
  transaction->smtputf8 = mail->parameters.smtputf8;
  transaction->binary = mail->parameters.body == MailParameters::Body::BinaryMime;
  transaction->prdr = mail->parameters.prdr;
  const auto number = replies.ask(ReplyQueue::Question::Sender);
  events.push_back(SenderOffered{number, std::move(mail->from), std::move(mail->parameters)});
}

void ServerSession::State::offer_recipient(std::string_view argument) {
  auto rcpt = parse_rcpt(argument, grammar());
  if (!rcpt) return refuse(rcpt.error());
  if (transaction->recipients >= options.limits.recipients_max) return decline(replies::too_many_recipients);
  const auto number = replies.ask(ReplyQueue::Question::Recipient);
  events.push_back(RecipientOffered{number, std::move(rcpt->to), std::move(rcpt->parameters)});
}

void ServerSession::State::offer_body(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  if (transaction->binary) return refuse(replies::binary_by_chunks);  // RFC 3030 section 3
  phase = Phase::BodyAsked;
  events.push_back(BodyOffered{replies.ask(ReplyQueue::Question::Body)});
}

void ServerSession::State::refuse_body(std::string_view) {
  // A pipelining client says DATA before it knows that its recipients are refused (RFC 2920 section 3.1): no mistake.
  if (transaction->recipient_refused && options.dialect == Dialect::Smtp) return say(replies::no_valid_recipients);
  if (transaction->recipient_refused) return say(replies::recipient_first);  // RFC 2033 section 4.2 wants 503
  refuse(replies::recipient_first);
}

/// RFC 3030 section 2. The first chunk is offered like DATA, but its answer 354 is not for the client.
void ServerSession::State::take_chunk(std::string_view argument) {
  const auto chunk = parse_bdat(argument);
  if (!chunk || !grammar().offered.chunking) return refuse_chunk(argument, replies::not_implemented);
  transaction->last_chunk = chunk->last;
  chunk_left = chunk->octets;
  if (transaction->in_chunks) {
    phase = Phase::ReceivingChunk;
    return;
  }
  transaction->in_chunks = true;
  phase = Phase::BodyAsked;
  events.push_back(BodyOffered{replies.ask(ReplyQueue::Question::Body)});
}

/// The text of a chunk that is out of order is eaten to the octet: it must not be read as commands.
void ServerSession::State::refuse_chunk(std::string_view argument, const NamedReply& reply) {
  const auto chunk = parse_bdat(argument);
  if (!chunk) return close(SessionClosing::Why::BadChunk, chunk.error());
  refuse(reply);
  end_transaction(TransactionEnded::Why::Reset);  // what the client thinks it has sent is not there
  if (phase != Phase::Greeted) phase = Phase::Ready;
  begin_eating(chunk->octets);
}

void ServerSession::State::refuse_chunk_without_recipients(std::string_view argument) {
  refuse_chunk(argument, transaction->recipient_refused ? replies::no_valid_recipients : replies::recipient_first);
}

void ServerSession::State::begin_eating(std::uint64_t octets) {
  chunk_left = octets;
  phase_behind_chunk = phase;
  begin_text(Phase::EatingChunk);
}

void ServerSession::State::reset(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  end_transaction(TransactionEnded::Why::Reset);
  if (phase != Phase::Greeted) phase = Phase::Ready;
  say(replies::was_reset);
}

void ServerSession::State::noop(std::string_view) { say(replies::ok); }

void ServerSession::State::quit(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  close(SessionClosing::Why::Quit, replies::closing);
}

void ServerSession::State::verify(std::string_view argument) {
  if (argument.empty()) return refuse(replies::parameter_needed);
  say(replies::cannot_verify);  // RFC 5321 section 7.3: says nothing about who exists
}

void ServerSession::State::help(std::string_view) {
  say(options.dialect == Dialect::Lmtp ? replies::help_lmtp : replies::help);
}

void ServerSession::State::offer_identity_as(Verb verb, std::string_view argument) {
  const std::string_view taken = verb == Verb::Xclient ? options.xclient : options.xforward;
  if (taken.empty()) {
    return refuse(options.authority == Authority::Backend ? replies::not_implemented : replies::unknown_command);
  }
  if (in_transaction()) return refuse(replies::identity_in_transaction);
  phase_behind_identity = phase;
  phase = Phase::ReplyAsked;
  events.push_back(IdentityOffered{replies.ask(ReplyQueue::Question::Identity), verb, std::string(argument)});
}

void ServerSession::State::start_tls(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  if (options.tls == TlsState::Unavailable) return refuse(replies::tls_unavailable);
  if (options.tls == TlsState::Active) return refuse(replies::tls_active);
  // CVE-2011-0411: what stands behind STARTTLS in clear would be read as if it had come under TLS.
  if (more_behind) return close(SessionClosing::Why::Injection, replies::bytes_behind_starttls);
  say(replies::ready_for_tls);
  phase = Phase::TlsPending;
  waiting_since = now;
  events.push_back(TlsRequested{});
}

}  // namespace postern::smtp
