// What a server session does where a backend decides (Authority::Backend): which commands pass, and as what.
//
// A line that passes is written anew from its verb and its argument, so that the backend cannot read another command in
// it than was read here. Parameters pass by name (Passing), for some of them speak of a trust in us.
#include <algorithm>

#include "base/text.h"
#include "smtp/server_state.h"

namespace postern::smtp {

namespace {

using Question = ReplyQueue::Question;

constexpr int service_closing = 421;  // RFC 5321 section 4.2.3: may answer any command; the peer closes after it
constexpr int authentication_goes_on = 334;

constexpr std::string_view text_of(Verb verb) {
  switch (verb) {
    case Verb::Ehlo: return "EHLO";
    case Verb::Helo: return "HELO";
    case Verb::Mail: return "MAIL";
    case Verb::Rcpt: return "RCPT";
    case Verb::Rset: return "RSET";
    case Verb::Noop: return "NOOP";
    case Verb::Help: return "HELP";
    case Verb::Auth: return "AUTH";
    default: return "";
  }
}

std::string line_of(Verb verb, std::string_view argument) {
  std::string line(text_of(verb));
  if (!argument.empty()) line += ' ';
  return line += argument;
}

bool all_allowed(const std::vector<Parameter>& parameters, const std::vector<std::string>& allowed) {
  return std::all_of(parameters.begin(), parameters.end(), [&allowed](const Parameter& parameter) {
    return std::any_of(allowed.begin(), allowed.end(), [&parameter](const auto& name) { return parameter.is(name); });
  });
}

/// The value of a parameter; empty when it is not there.
std::string_view value_of(const std::vector<Parameter>& parameters, std::string_view name) {
  const auto found = std::find_if(parameters.begin(), parameters.end(), [name](const auto& p) { return p.is(name); });
  return found == parameters.end() ? std::string_view() : found->value.value_or("");
}

/// RFC 4954 section 4: base64, or the asterisk that cancels. Anything else could be read as a command by a backend that
/// does not think itself in an exchange.
bool is_login_line(std::string_view text) {
  if (text == "*") return true;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
  });
}

}  // namespace

Transaction& ServerSession::State::relayed_transaction() {
  if (!transaction) {
    transaction = std::make_unique<Transaction>();
    transaction->opened = true;
  }
  return *transaction;
}

void ServerSession::State::offer_command(Question question, Verb verb, std::string_view argument) {
  events.push_back(CommandOffered{replies.ask(question), verb, line_of(verb, argument)});
}

void ServerSession::State::relay_hello_as(Verb verb, std::string_view argument) {
  const auto name = parse_hello(argument, grammar().tolerance);
  if (!name) return refuse(name.error());
  message_broken = false;
  end_transaction(TransactionEnded::Why::Hello);
  extended = verb == Verb::Ehlo;
  client_name = *name;
  phase = Phase::ReplyAsked;
  offer_command(Question::Hello, verb, *name);
}

void ServerSession::State::relay_mail(std::string_view argument) {
  if (in_transaction()) return refuse(replies::sender_given);
  auto mail = parse_relayed_mail(argument, grammar().tolerance);
  if (!mail) return refuse(mail.error());
  if (!all_allowed(mail->parameters, passing.mail_parameters)) return refuse(replies::unknown_parameter);
  const auto size = parse_decimal(value_of(mail->parameters, "SIZE")).value_or(0);
  if (size > options.limits.message_octets_max) return decline(replies::message_too_large);
  message_broken = false;
  transaction.reset();
  relayed_transaction().binary = equals_ignoring_case(value_of(mail->parameters, "BODY"), "BINARYMIME");
  events.push_back(
      CommandOffered{replies.ask(Question::Sender), Verb::Mail, line_of(Verb::Mail, argument), std::move(mail->from)});
}

void ServerSession::State::relay_recipient(std::string_view argument) {
  auto rcpt = parse_relayed_rcpt(argument, grammar().tolerance);
  if (!rcpt) return refuse(rcpt.error());
  if (!all_allowed(rcpt->parameters, passing.recipient_parameters)) return refuse(replies::unknown_parameter);
  const auto open = replies.open(Question::Recipient);
  if (transaction && transaction->recipients + open >= options.limits.recipients_max) {
    return decline(replies::too_many_recipients);
  }
  events.push_back(CommandOffered{replies.ask(Question::Recipient), Verb::Rcpt, line_of(Verb::Rcpt, argument), {},
                                  std::move(rcpt->to)});
}

void ServerSession::State::relay_data(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  if (message_broken || (transaction && transaction->in_chunks)) return refuse(replies::chunks_begun);
  if (relayed_transaction().binary) return refuse(replies::binary_by_chunks);
  phase = Phase::BodyAsked;
  events.push_back(BodyOffered{replies.ask(Question::Body)});
}

void ServerSession::State::relay_chunk(std::string_view argument) {
  const auto chunk = parse_bdat(argument);
  if (!chunk || !passing.chunking) return refuse_chunk(argument, replies::not_implemented);
  if (message_broken) return refuse_chunk(argument, replies::message_broken);
  Transaction& open = relayed_transaction();
  open.in_chunks = true;
  open.last_chunk = chunk->last;
  chunk_left = chunk->octets;
  if (open.body) {
    phase = Phase::ReceivingChunk;
  } else {
    begin_body();
  }
}

void ServerSession::State::relay_reset(std::string_view argument) {
  if (!argument.empty()) return refuse(replies::no_parameter_allowed);
  message_broken = false;
  end_transaction(TransactionEnded::Why::Reset);
  offer_command(Question::Command, Verb::Rset, {});
}

void ServerSession::State::relay_login(std::string_view argument) {
  if (!passing.authentication) return refuse(replies::not_implemented);
  if (argument.empty()) return refuse(replies::parameter_needed);
  phase = Phase::ReplyAsked;
  offer_command(Question::Login, Verb::Auth, argument);
}

bool ServerSession::State::read_login_line(const Line& line) {
  const bool sound = line.kind == Line::Kind::Whole && is_login_line(line.text);
  phase = Phase::ReplyAsked;
  events.push_back(
      CommandOffered{replies.ask(Question::Login), Verb::Unknown, std::string(sound ? line.text : std::string_view("*"))});
  return true;
}

void ServerSession::State::relay_start_tls(std::string_view argument) {
  if (in_transaction()) return refuse(replies::tls_in_transaction);
  start_tls(argument);
}

void ServerSession::State::note_backend_answer(Question asked, const Reply& reply) {
  switch (asked) {
    case Question::Hello:
      phase = reply.positive() ? Phase::Ready : Phase::Greeted;
      break;
    case Question::Sender:
      if (!reply.positive() && transaction) transaction->opened = false;  // a text that is on its way may need the rest
      if (reply.permanent()) error_points += points_of_error;
      break;
    case Question::Recipient:
      if (reply.positive() && transaction) ++transaction->recipients;
      if (reply.permanent()) error_points += points_of_refused_recipient;
      break;
    case Question::Body:
      if (reply.intermediate() && transaction) transaction->opened = true;  // whatever it has said of MAIL
      note_body_answer(reply);
      if (!reply.intermediate()) phase = Phase::Ready;
      break;
    case Question::Outcome:
      note_outcome(reply.positive());
      break;
    case Question::Login:
      phase = reply.code == authentication_goes_on ? Phase::Authenticating : Phase::Ready;
      if (reply.permanent()) error_points += points_of_error;
      break;
    case Question::Chunk:
      if (!reply.positive()) message_broken = true;
      break;
    case Question::Command:
    case Question::Identity:
      break;
  }
  if (reply.code == service_closing) close(SessionClosing::Why::BackendGone, std::nullopt);
}

}  // namespace postern::smtp
