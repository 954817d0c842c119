// Theory. Bytes are only stored when they come (receive), and worked off one command, or one piece of text, at a time
// (next -> advance). What a command means depends on the phase, and on nothing else; `table` below says which command
// is taken in which phase and what it does. A command that needs a decision takes a place in the queue of replies and
// gives out an event; the decision comes back through answer(), moves the phase, and fills the place. Replies leave in
// the order of the commands because they leave through that queue only.
//
// A command whose meaning depends on an open answer waits in the inbox (`waits_for`). So phase and answers never race:
// whatever is worked off sees the phase that all answers before it have made.
//
// Ends: close() is the only way out. It puts the last words into the queue; SessionClosing follows when nothing is open.
//
// Adding a verb? A row for each phase below: the static_assert counts them. What must stay out: sockets, clocks, TLS,
// which recipients exist, where mail goes.
#include "smtp/server_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "smtp/server_state.h"

namespace postern::smtp {

namespace {

using Question = ReplyQueue::Question;

/// A set of the phases in which commands are read.
using Phases = unsigned;
constexpr Phases in(Phase phase) { return 1u << static_cast<unsigned>(phase); }
constexpr Phases greeted = in(Phase::Greeted);
constexpr Phases ready = in(Phase::Ready);
constexpr Phases has_sender = in(Phase::HasSender);
constexpr Phases has_recipients = in(Phase::HasRecipients);
constexpr Phases has_chunks = in(Phase::HasChunks);
constexpr Phases mid_transaction = has_sender | has_recipients | has_chunks;
constexpr Phases anywhere = greeted | ready | mid_transaction;
constexpr std::size_t command_phases = static_cast<std::size_t>(Phase::HasChunks) + 1;  // the first ones of Phase

enum class WaitsFor : std::uint8_t {
  Nothing,
  Sender,     ///< the answer to MAIL
  AllAnswers,
};

/// No octet of a command, and none that a person may have typed.
bool is_noise(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte > 0x7e;
}

/// How a ClientHello begins: no command begins like this, at any time.
constexpr char tls_handshake_record = '\x16';

bool has_noise(std::string_view text) { return std::any_of(text.begin(), text.end(), is_noise); }

}  // namespace

struct ServerSession::State::Transition {
  Verb verb;
  WaitsFor waits_for;
  Phases phases;
  void (State::*handler)(std::string_view argument);
};

struct ServerSession::State::Table {
  using S = State;
  // clang-format off
  static constexpr std::array<Transition, 33> rows{{
      {Verb::Ehlo,     WaitsFor::AllAnswers, anywhere,            &S::ehlo},
      {Verb::Helo,     WaitsFor::AllAnswers, anywhere,            &S::helo},
      {Verb::Lhlo,     WaitsFor::AllAnswers, anywhere,            &S::lhlo},
      {Verb::Mail,     WaitsFor::Sender,     ready,               &S::offer_sender},
      {Verb::Mail,     WaitsFor::Sender,     greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Mail,     WaitsFor::Sender,     mid_transaction,      &S::refuse_with<replies::sender_given>},
      {Verb::Rcpt,     WaitsFor::Sender,     has_sender,          &S::offer_recipient},
      {Verb::Rcpt,     WaitsFor::Sender,     has_recipients,      &S::offer_recipient},
      {Verb::Rcpt,     WaitsFor::Sender,     has_chunks,          &S::refuse_with<replies::chunks_begun>},
      {Verb::Rcpt,     WaitsFor::Sender,     greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Rcpt,     WaitsFor::Sender,     ready,               &S::refuse_with<replies::sender_first>},
      {Verb::Data,     WaitsFor::AllAnswers, has_recipients,      &S::offer_body},
      {Verb::Data,     WaitsFor::AllAnswers, has_sender,          &S::refuse_body},
      {Verb::Data,     WaitsFor::AllAnswers, greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Data,     WaitsFor::AllAnswers, ready,               &S::refuse_with<replies::sender_first>},
      {Verb::Data,     WaitsFor::AllAnswers, has_chunks,          &S::refuse_with<replies::chunks_begun>},
      {Verb::Bdat,     WaitsFor::AllAnswers, has_recipients | has_chunks, &S::take_chunk},
      {Verb::Bdat,     WaitsFor::AllAnswers, has_sender,          &S::refuse_chunk_without_recipients},
      {Verb::Bdat,     WaitsFor::AllAnswers, greeted,             &S::refuse_chunk_with<replies::hello_first>},
      {Verb::Bdat,     WaitsFor::AllAnswers, ready,               &S::refuse_chunk_with<replies::sender_first>},
      {Verb::Rset,     WaitsFor::AllAnswers, anywhere,            &S::reset},
      {Verb::Noop,     WaitsFor::Nothing,    anywhere,            &S::noop},
      {Verb::Quit,     WaitsFor::AllAnswers, anywhere,            &S::quit},
      {Verb::Vrfy,     WaitsFor::Nothing,    anywhere,            &S::verify},
      {Verb::Expn,     WaitsFor::Nothing,    anywhere,            &S::refuse_with<replies::not_implemented>},
      {Verb::Help,     WaitsFor::Nothing,    anywhere,            &S::help},
      {Verb::StartTls, WaitsFor::AllAnswers, ready,               &S::start_tls},
      {Verb::StartTls, WaitsFor::AllAnswers, greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::StartTls, WaitsFor::AllAnswers, mid_transaction,      &S::refuse_with<replies::tls_in_transaction>},
      {Verb::Auth,     WaitsFor::Nothing,    anywhere,            &S::refuse_with<replies::unknown_command>},
      {Verb::Xclient,  WaitsFor::Nothing,    anywhere,            &S::refuse_with<replies::unknown_command>},
      {Verb::Xforward, WaitsFor::Nothing,    anywhere,            &S::refuse_with<replies::unknown_command>},
      {Verb::Unknown,  WaitsFor::Nothing,    anywhere,            &S::refuse_with<replies::unknown_command>},
  }};

  /// Authority::Backend. The backend knows what is in order, and sees the commands in theirs; so there are two phases. This
  /// is the allow-list: what has no handler of relay_ never reaches the backend.
  static constexpr std::array<Transition, 24> backend_rows{{
      {Verb::Ehlo,     WaitsFor::AllAnswers, greeted | ready,     &S::relay_hello<Verb::Ehlo>},
      {Verb::Helo,     WaitsFor::AllAnswers, greeted | ready,     &S::relay_hello<Verb::Helo>},
      {Verb::Lhlo,     WaitsFor::Nothing,    greeted | ready,     &S::refuse_with<replies::not_lmtp>},
      {Verb::Mail,     WaitsFor::Sender,     ready,               &S::relay_mail},
      {Verb::Mail,     WaitsFor::Nothing,    greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Rcpt,     WaitsFor::Nothing,    ready,               &S::relay_recipient},
      {Verb::Rcpt,     WaitsFor::Nothing,    greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Data,     WaitsFor::Nothing,    ready,               &S::relay_data},
      {Verb::Data,     WaitsFor::Nothing,    greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Bdat,     WaitsFor::Nothing,    ready,               &S::relay_chunk},
      {Verb::Bdat,     WaitsFor::Nothing,    greeted,             &S::refuse_chunk_with<replies::hello_first>},
      {Verb::Rset,     WaitsFor::Nothing,    greeted | ready,     &S::relay_reset},
      {Verb::Noop,     WaitsFor::Nothing,    greeted | ready,     &S::relay<Verb::Noop>},
      {Verb::Quit,     WaitsFor::AllAnswers, greeted | ready,     &S::quit},
      {Verb::Vrfy,     WaitsFor::Nothing,    greeted | ready,     &S::verify},
      {Verb::Expn,     WaitsFor::Nothing,    greeted | ready,     &S::refuse_with<replies::not_implemented>},
      {Verb::Help,     WaitsFor::Nothing,    greeted | ready,     &S::relay<Verb::Help>},
      {Verb::StartTls, WaitsFor::AllAnswers, ready,               &S::relay_start_tls},
      {Verb::StartTls, WaitsFor::AllAnswers, greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Auth,     WaitsFor::AllAnswers, ready,               &S::relay_login},
      {Verb::Auth,     WaitsFor::Nothing,    greeted,             &S::refuse_with<replies::hello_first>},
      {Verb::Xclient,  WaitsFor::Nothing,    greeted | ready,     &S::refuse_with<replies::not_implemented>},
      {Verb::Xforward, WaitsFor::Nothing,    greeted | ready,     &S::refuse_with<replies::not_implemented>},
      {Verb::Unknown,  WaitsFor::Nothing,    greeted | ready,     &S::refuse_with<replies::not_implemented>},
  }};
  // clang-format on

  /// Whether each verb has exactly one row for each of `phases`.
  template <std::size_t count>
  static constexpr bool is_complete(const std::array<Transition, count>& table, Phases phases) {
    for (int verb = 0; verb <= static_cast<int>(Verb::Unknown); ++verb) {
      if (static_cast<Verb>(verb) == Verb::ForeignProtocol) continue;  // ends the session before the table is asked
      Phases seen = 0;
      for (const auto& row : table) {
        if (row.verb != static_cast<Verb>(verb)) continue;
        if ((seen & row.phases) != 0) return false;
        seen |= row.phases;
      }
      if (seen != phases) return false;
    }
    return true;
  }

  /// Where in a table the row for a verb in a phase stands.
  template <std::size_t count>
  static constexpr auto make_index(const std::array<Transition, count>& table) {
    std::array<std::array<std::uint8_t, command_phases>, verb_count> index{};
    for (std::size_t row = 0; row < table.size(); ++row) {
      for (std::size_t phase = 0; phase < command_phases; ++phase) {
        if ((table[row].phases & in(static_cast<Phase>(phase))) == 0) continue;
        index[static_cast<std::size_t>(table[row].verb)][phase] = static_cast<std::uint8_t>(row);
      }
    }
    return index;
  }

  static const Transition& find(Authority authority, Verb verb, Phase phase) {
    static constexpr auto index = make_index(rows);
    static constexpr auto backend_index = make_index(backend_rows);
    const auto at_verb = static_cast<std::size_t>(verb);
    const auto at_phase = static_cast<std::size_t>(phase);
    if (authority == Authority::Backend) return backend_rows[backend_index[at_verb][at_phase]];
    return rows[index[at_verb][at_phase]];
  }
};

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

bool ServerSession::State::work_off(const Line& line) {
  static_assert(Table::is_complete(Table::rows, anywhere));
  static_assert(Table::is_complete(Table::backend_rows, greeted | ready));
  if (phase == Phase::Authenticating) return read_login_line(line);
  const Verb verb = verb_of(line.text);
  if (replies.held() >= std::max<std::size_t>(options.limits.pipeline_depth, 1) || must_wait(verb)) return false;

  ++commands;
  if (options.tally != nullptr) options.tally->count(verb);
  if (verb == Verb::ForeignProtocol || (first_line && verb == Verb::Unknown && has_noise(line.text))) {
    const bool lmtp = options.dialect == Dialect::Lmtp;
    const bool http = verb == Verb::ForeignProtocol;
    close(http ? SessionClosing::Why::Http : SessionClosing::Why::WrongProtocol, lmtp ? replies::wrong_protocol_lmtp : replies::wrong_protocol);
  } else if (error_points >= options.limits.errors_max * points_of_error) {
    close(SessionClosing::Why::TooManyErrors, replies::too_many_errors);
  } else if (commands > options.limits.commands_max) {
    close(SessionClosing::Why::TooManyCommands, replies::too_many_commands);
  } else if (verb == Verb::Unknown && ++unknown_commands > options.limits.unknown_commands_max) {
    close(SessionClosing::Why::TooManyUnknownCommands, replies::too_many_unknown_commands);
  } else {
    obey(verb, line);
  }
  return true;
}

void ServerSession::State::obey(Verb verb, const Line& line) {
  obeyed = verb;
  obeyed_line = verb == Verb::Auth ? std::string_view("AUTH") : line.text;  // secrets stay out of logs
  switch (line.kind) {
    case Line::Kind::TooLong:
      return refuse(replies::line_too_long);
    case Line::Kind::BareCr:
      return refuse(replies::bare_cr);
    case Line::Kind::BareLf:
      // Others may take the LF for the end of the line, or not: whatever is done with the bytes behind it, somebody could
      // be made to count commands differently. So nothing is done with them.
      return close(SessionClosing::Why::BareLf, replies::bare_lf);
    case Line::Kind::Whole:
      break;
  }
  const auto command = parse_command_line(line.text);
  if (!command) return refuse(command.error());
  (this->*Table::find(options.authority, verb, phase).handler)(command->argument);
}

bool ServerSession::State::must_wait(Verb verb) const {
  if (verb == Verb::ForeignProtocol || replies.open() == 0) return false;
  switch (Table::find(options.authority, verb, phase).waits_for) {
    case WaitsFor::Nothing:
      return false;
    case WaitsFor::AllAnswers:
      return true;
    case WaitsFor::Sender:
      break;
  }
  if (replies.open(Question::Sender) > 0) return true;
  // Whether there is room for one more recipient depends on how many of the open ones are accepted.
  return verb == Verb::Rcpt && transaction &&
         transaction->recipients + replies.open(Question::Recipient) >= options.limits.recipients_max;
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
