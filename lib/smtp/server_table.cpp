// Which command is taken in which phase, and what it does: the one table of transitions (see the theory in
// server_session.cpp), and how a line finds its row.
//
// Adding a verb? A row for each phase below: the static_assert counts them.
#include <algorithm>
#include <array>

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
      {Verb::Xclient,  WaitsFor::AllAnswers, anywhere,            &S::offer_identity<Verb::Xclient>},
      {Verb::Xforward, WaitsFor::AllAnswers, anywhere,            &S::offer_identity<Verb::Xforward>},
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
      {Verb::Xclient,  WaitsFor::AllAnswers, greeted | ready,     &S::offer_identity<Verb::Xclient>},
      {Verb::Xforward, WaitsFor::AllAnswers, greeted | ready,     &S::offer_identity<Verb::Xforward>},
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

}  // namespace postern::smtp
