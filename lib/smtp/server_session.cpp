// Theory. Bytes are only stored when they come (receive), and worked off one command, or one piece of text, at a time
// (next -> advance). What a command means depends on the phase, and on nothing else; the table in
// server_table.cpp says which command is taken in which phase and what it does. A command that needs a decision takes a place in the queue of replies and
// gives out an event; the decision comes back through answer(), moves the phase, and fills the place. Replies leave in
// the order of the commands because they leave through that queue only.
//
// A command whose meaning depends on an open answer waits in the inbox (`waits_for`). So phase and answers never race:
// whatever is worked off sees the phase that all answers before it have made.
//
// Ends: close() is the only way out. It puts the last words into the queue; SessionClosing follows when nothing is open.
//
// What must stay out: sockets, clocks, TLS, which recipients exist, where mail goes.
#include "smtp/server_session.h"

#include <algorithm>
#include <utility>

#include "smtp/server_state.h"

namespace postern::smtp {

namespace {

using Question = ReplyQueue::Question;

/// How a ClientHello begins: no command begins like this, at any time.
constexpr char tls_handshake_record = '\x16';

}  // namespace

ServerSession::State::State(ServerOptions chosen, Instant start)
    : options(std::move(chosen)),
      lines(options.limits.command_line_octets_max,
            options.smuggling == Smuggling::Normalize ? LineEnds::LoneLfToo : LineEnds::CrlfOnly),
      now(start),
      waiting_since(start) {
  const auto* protocol = options.dialect == Dialect::Lmtp ? " LMTP" : " ESMTP";
  say(options.greeting.value_or(Reply{220, {}, options.hostname + protocol}));
}

/// Does the next thing that can be done. False: more bytes or an answer are needed.
bool ServerSession::State::advance() {
  switch (phase) {
    case Phase::Greeted:
    case Phase::Ready:
      if (shutting_down && replies.open() == 0 && !in_transaction()) {
        close(SessionClosing::Why::ShuttingDown, replies::shutting_down);
        return true;
      }
      return read_command();
    case Phase::HasSender:
    case Phase::HasRecipients:
    case Phase::HasChunks:
    case Phase::Authenticating:
      return read_command();
    case Phase::Receiving:
      return read_body();
    case Phase::ReceivingChunk:
      return read_chunk();
    case Phase::EatingChunk:
      return eat_chunk();
    case Phase::TlsPending:
      if (input_ended) close(SessionClosing::Why::PeerClosed, std::nullopt);
      return input_ended;
    case Phase::Closing:
      if (replies.open() > 0) return false;
      phase = Phase::Closed;
      inbox.clear();
      events.push_back(SessionClosing{closing_why});
      return true;
    case Phase::ReplyAsked:
    case Phase::BodyAsked:
    case Phase::AwaitingOutcome:
    case Phase::Closed:
      return false;
  }
  return false;
}

bool ServerSession::State::read_command() {
  if (output_full()) return false;
  if (!inbox.empty() && !lines.eating()) {
    const char front = inbox.view().front();
    if (front == tls_handshake_record || (first_line && is_noise(front))) {
      // No last words: who sends this would not understand them.
      const bool tls = front == tls_handshake_record;
      close(tls ? SessionClosing::Why::TlsInClear : SessionClosing::Why::WrongProtocol, std::nullopt);
      return true;
    }
  }
  std::string_view rest = inbox.view();
  const auto line = lines.next(rest);
  if (!line) {
    inbox.consume(inbox.size() - rest.size());
    if (!input_ended || replies.open() > 0) return false;
    close(SessionClosing::Why::PeerClosed, std::nullopt);
    return true;
  }
  more_behind = !rest.empty();
  const auto used = inbox.size() - rest.size();
  if (!work_off(*line)) {
    blocked = true;
    return false;
  }
  inbox.consume(used);
  first_line = false;
  waiting_since = now;
  return true;
}

/// Takes back what the last BodyChunk pointed to.
void ServerSession::State::settle() { inbox.consume(std::exchange(lent, 0)); }

void ServerSession::State::refuse(const NamedReply& reply) {
  error_points += points_of_error;
  decline(reply);
}

void ServerSession::State::decline(const NamedReply& reply) {
  events.push_back(CommandRefused{obeyed, std::string(obeyed_line.substr(0, refused_octets_max)), reply});
  say(reply);
}

/// Tells the caller that the transaction is gone, if it knew of one. What remains of it is the way to its end of data.
void ServerSession::State::end_transaction(TransactionEnded::Why why, std::optional<Reply> refusal) {
  if (transaction && std::exchange(transaction->opened, false)) {
    events.push_back(TransactionEnded{why, std::move(refusal)});
  }
  if (phase != Phase::Receiving) transaction.reset();
}

void ServerSession::State::close(SessionClosing::Why why, std::optional<NamedReply> last_words) {
  if (phase == Phase::Closing || phase == Phase::Closed) return;
  phase = Phase::Closing;
  closing_why = why;
  end_transaction(TransactionEnded::Why::Closing);
  if (last_words) say(*last_words);
}

/// What of the options can be offered to this client now.
Extensions ServerSession::State::offered() const {
  Extensions made = options.extensions;
  made.binarymime = made.binarymime && made.chunking;
  made.prdr = made.prdr && options.dialect == Dialect::Smtp;
  made.requiretls = made.requiretls && options.tls == TlsState::Active;  // RFC 8689 section 2
  return made;
}

Grammar ServerSession::State::grammar() const {
  return Grammar{options.strict ? Tolerance::Strict : Tolerance::Forgiving, extended ? offered() : Extensions{},
                 transaction && transaction->smtputf8 ? AddressCharset::Utf8 : AddressCharset::Ascii};
}

/// When so much of the message should have come that it is not too slow.
Instant ServerSession::State::message_due() const {
  const auto rate = options.limits.data_octets_per_second_min;
  if (rate == 0) return Instant::max();
  constexpr std::uint64_t seconds_max = 10ull * 365 * 24 * 3600;
  const auto seconds = static_cast<std::int64_t>(std::min(text_octets / rate, seconds_max));
  return text_began + options.timeouts.data + std::chrono::seconds(seconds);
}

void ServerSession::State::note_answer(Question asked, const Reply& reply) {
  if (asked == Question::Identity) {
    phase = phase_behind_identity;
    if (reply.permanent()) error_points += points_of_error;
    return;
  }
  if (options.authority == Authority::Backend) return note_backend_answer(asked, reply);
  switch (asked) {
    case Question::Sender:
      if (reply.positive()) {
        transaction->opened = true;
        phase = Phase::HasSender;
      } else {
        transaction.reset();
        if (reply.permanent()) error_points += points_of_error;
      }
      break;
    case Question::Recipient:
      if (reply.positive()) {
        ++transaction->recipients;
        phase = Phase::HasRecipients;
      } else {
        transaction->recipient_refused = true;
        if (reply.permanent()) error_points += points_of_refused_recipient;
      }
      break;
    case Question::Body:
      note_body_answer(reply);
      break;
    case Question::Outcome:
      note_outcome(reply.positive());
      break;
    default:
      break;  // asked of a backend only
  }
}

void ServerSession::State::note_outcome(bool taken) {
  transaction.reset();
  phase = Phase::Ready;
  if (!taken) return;
  error_points = 0;
  commands = 0;
  unknown_commands = 0;
}

std::string_view to_string(SessionClosing::Why why) {
  switch (why) {
    case SessionClosing::Why::Quit: return "quit";
    case SessionClosing::Why::TooManyErrors: return "too many errors";
    case SessionClosing::Why::TooManyCommands: return "too many commands";
    case SessionClosing::Why::TooManyUnknownCommands: return "too many unknown commands";
    case SessionClosing::Why::TooManyTransactions: return "too many transactions";
    case SessionClosing::Why::TimedOut: return "timed out";
    case SessionClosing::Why::TooSlow: return "too slow";
    case SessionClosing::Why::Injection: return "bytes behind STARTTLS";
    case SessionClosing::Why::BareLf: return "bare LF in a command";
    case SessionClosing::Why::BadChunk: return "BDAT without a size";
    case SessionClosing::Why::Http: return "wrong protocol: HTTP";
    case SessionClosing::Why::TlsInClear: return "wrong protocol: TLS in clear";
    case SessionClosing::Why::WrongProtocol: return "wrong protocol";
    case SessionClosing::Why::ShuttingDown: return "shutting down";
    case SessionClosing::Why::PeerClosed: return "peer closed";
    case SessionClosing::Why::BackendGone: return "the backend closed the session";
  }
  return "";
}

ServerSession::ServerSession(ServerOptions options, Instant now)
    : state_(std::make_unique<State>(std::move(options), now)) {}
ServerSession::~ServerSession() = default;
ServerSession::ServerSession(ServerSession&&) noexcept = default;
ServerSession& ServerSession::operator=(ServerSession&&) noexcept = default;

void ServerSession::receive(std::string_view bytes, Instant now) {
  State& s = *state_;
  s.settle();
  s.now = now;
  if (s.input_ended || s.phase >= Phase::TlsPending) return;  // what comes in clear from here on is read by nobody
  if (s.reads_text()) s.waiting_since = now;
  s.inbox.append(bytes);
}

bool ServerSession::wants_input() const {
  const State& s = *state_;
  if (s.input_ended || s.phase >= Phase::TlsPending) return false;
  const bool waits = s.blocked || s.phase == Phase::ReplyAsked || s.phase == Phase::BodyAsked ||
                     s.phase == Phase::AwaitingOutcome || s.output_full();
  return !waits || s.inbox.empty();
}

bool ServerSession::reads_text() const { return state_->reads_text(); }

void ServerSession::end_of_input() { state_->input_ended = true; }

std::optional<ServerEvent> ServerSession::next() {
  State& s = *state_;
  s.settle();
  while (s.events.empty()) {
    if (!s.advance()) {
      if (s.events.capacity() > 0) std::vector<ServerEvent>().swap(s.events);  // an idle session holds nothing
      return std::nullopt;
    }
  }
  std::optional<ServerEvent> oldest(std::move(s.events.front()));
  s.events.erase(s.events.begin());
  return oldest;
}

void ServerSession::answer(EventNumber number, Reply reply, Instant now) {
  State& s = *state_;
  const auto asked = s.replies.question(number);
  if (!asked) return;
  // RFC 2033 section 4.2: one for each recipient, even if it is the same.
  const bool repeated = *asked == Question::Outcome && s.options.dialect == Dialect::Lmtp && s.transaction;
  if (repeated) return answer_recipients(number, std::vector<Reply>(s.transaction->recipients, reply), now);
  s.settle();
  const std::string rendered = s.rendered_answer(*asked, reply);
  if (!rendered.empty()) s.count_reply(reply.code);
  s.replies.answer(number, rendered);
  s.now = s.waiting_since = now;
  s.blocked = false;
  if (s.phase < Phase::Closing) s.note_answer(*asked, reply);
}

void ServerSession::answer_recipients(EventNumber number, const std::vector<Reply>& replies, Instant now) {
  std::string rendered;
  for (const Reply& reply : replies) state_->append(rendered, reply);
  const bool taken = std::any_of(replies.begin(), replies.end(), [](const Reply& r) { return r.positive(); });
  state_->answer_message(number, std::move(rendered), taken, now);
}

void ServerSession::answer_recipients(EventNumber number, const std::vector<Reply>& replies, const Reply& overall,
                                      Instant now) {
  std::string rendered;
  state_->append(rendered, replies::replies_follow);
  for (const Reply& reply : replies) state_->append(rendered, reply);
  state_->append(rendered, overall);
  state_->answer_message(number, std::move(rendered), overall.positive(), now);
}

void ServerSession::State::answer_message(EventNumber number, std::string rendered, bool taken, Instant at) {
  settle();
  if (!replies.answer(number, std::move(rendered))) return;
  now = waiting_since = at;
  blocked = false;
  if (phase < Phase::Closing) note_outcome(taken);
}

std::string ServerSession::take_output() { return state_->replies.take(); }

std::string ServerSession::take_unread() {
  State& s = *state_;
  s.settle();
  std::string unread(s.inbox.view());
  s.inbox.clear();
  return unread;
}

bool ServerSession::output_full() const { return state_->phase < Phase::TlsPending && state_->output_full(); }

void ServerSession::tls_started(std::string hostname, Extensions extensions, Instant now) {
  State& s = *state_;
  if (s.phase != Phase::TlsPending) return;
  ServerOptions options = std::move(s.options);
  options.tls = TlsState::Active;
  options.hostname = std::move(hostname);
  options.extensions = extensions;
  auto* const tally = std::exchange(options.tally, nullptr);  // the greeting of the new State is never sent
  // Nothing that was learnt in clear can survive in a new State (RFC 3207 section 4.2).
  const auto before = std::exchange(state_, std::make_unique<State>(std::move(options), now));
  state_->replies = std::move(before->replies);  // its numbers go on; and the greeting is not said again
  state_->replies.clear();
  state_->options.tally = tally;
  state_->shutting_down = before->shutting_down;
}

void ServerSession::allow(Passing passing) { state_->passing = std::move(passing); }

void ServerSession::set_authority(Authority authority) { state_->options.authority = authority; }

void ServerSession::shut_down() { state_->shutting_down = true; }

std::optional<Instant> ServerSession::deadline() const {
  const State& s = *state_;
  if (s.phase >= Phase::Closing || s.replies.open() > 0) return std::nullopt;
  if (s.phase == Phase::TlsPending) return s.waiting_since + s.options.timeouts.handshake;
  if (s.reads_text()) return std::min(s.waiting_since + s.options.timeouts.data, s.message_due());
  const auto due = s.waiting_since + s.options.timeouts.command;
  return s.phase == Phase::HasChunks ? std::min(due, s.message_due()) : due;
}

void ServerSession::expire(Instant now) {
  State& s = *state_;
  s.settle();
  const auto due = deadline();
  if (!due || now < *due) return;
  s.now = now;
  if (s.phase == Phase::TlsPending) return s.close(SessionClosing::Why::TimedOut, std::nullopt);
  const bool silent = now >= s.waiting_since + (s.reads_text() ? s.options.timeouts.data : s.options.timeouts.command);
  if (!silent) return s.close(SessionClosing::Why::TooSlow, replies::too_slow);
  s.close(SessionClosing::Why::TimedOut, replies::timed_out);
}

const std::string& ServerSession::client_name() const { return state_->client_name; }

std::string ServerSession::protocol_name() const {
  const State& s = *state_;
  const bool lmtp = s.options.dialect == Dialect::Lmtp;
  std::string name = s.transaction && s.transaction->smtputf8 ? "UTF8" : "";
  name += lmtp ? "LMTP" : name.empty() && s.extended ? "ESMTP" : "SMTP";
  // RFC 3848 has no name for HELO under TLS.
  if (s.options.tls == TlsState::Active && (lmtp || s.extended)) name += 'S';
  return name;
}

bool ServerSession::awaiting_outcome() const { return state_->phase == Phase::AwaitingOutcome; }

bool ServerSession::in_transaction() const { return state_->in_transaction(); }

}  // namespace postern::smtp
