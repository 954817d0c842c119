// What a ServerSession knows, split over server_session.cpp (theory, clockwork), server_table.cpp (which command is in
// order), server_commands.cpp (what each command does) and server_text.cpp (the text of messages). Internal: nothing else
// includes this.
#pragma once

#include "base/bytes.h"
#include "smtp/body_reader.h"
#include "smtp/command.h"
#include "smtp/line_reader.h"
#include "smtp/reply_queue.h"
#include "smtp/server_session.h"

namespace postern::smtp {

enum class Phase : std::uint8_t {
  Greeted,          ///< no EHLO, HELO or LHLO yet
  Ready,            ///< between transactions
  HasSender,        ///< MAIL was accepted, no RCPT yet
  HasRecipients,    ///< at least one RCPT was accepted
  HasChunks,        ///< between two chunks of a message
  Authenticating,   ///< a line of an AUTH exchange is to come
  ReplyAsked,       ///< EHLO, AUTH, XCLIENT or XFORWARD awaits an answer that changes what may come next
  BodyAsked,        ///< DATA or BDAT awaits its answer: what comes next may be text or commands
  Receiving,        ///< text
  ReceivingChunk,   ///< text of which `chunk_left` octets are to come
  EatingChunk,      ///< the same, but nobody wants them
  AwaitingOutcome,  ///< the text is complete and awaits its answer
  TlsPending,       ///< from the 220 to STARTTLS until tls_started()
  Closing,          ///< nothing is read any more; open answers are still awaited
  Closed,           ///< SessionClosing was given out
};

/// No octet of a command, and none that a person may have typed.
inline bool is_noise(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte > 0x7e;
}

enum class HelloForm : std::uint8_t { Basic, Extended };

// A refused recipient is a mistake of the client only in numbers: a list server with a few stale addresses is no
// attacker. So an error counts ten points, and a recipient refused for good one.
constexpr std::size_t points_of_error = 10;
constexpr std::size_t points_of_refused_recipient = 1;

constexpr std::size_t output_octets_max = 8 * 1024;  // replies that wait, before no more commands are read

/// What belongs to one transaction; there is none while a session idles.
struct Transaction {
  bool opened = false;            // MAIL was answered positively, and the end was not yet reported
  bool smtputf8 = false;
  bool binary = false;            // BODY=BINARYMIME
  bool prdr = false;
  bool recipient_refused = false; // for the words of the reply to DATA
  std::size_t recipients = 0;     // accepted
  std::optional<BodyReader> body;
  bool in_chunks = false;
  bool last_chunk = false;
};

struct ServerSession::State {
  struct Transition;
  struct Table;

  State(ServerOptions chosen, Instant start);

  // server_session.cpp
  bool advance();
  bool read_command();
  void settle();
  void say(const Reply& reply) { append(replies.back(), reply); }
  void say(const NamedReply& reply) { append(replies.back(), reply); }
  /// `reply` is a Reply or a NamedReply.
  void append(std::string& output, const auto& reply) {
    append_rendered(output, reply.code, reply.enhanced, reply.text);
    count_reply(reply.code);
  }
  void count_reply(int code) {
    if (options.tally != nullptr) options.tally->count_reply(code);
  }
  /// A mistake of the client's, which is counted; decline() is for what is none.
  void refuse(const NamedReply& reply);
  void decline(const NamedReply& reply);
  void end_transaction(TransactionEnded::Why why, std::optional<Reply> refusal = {});
  void close(SessionClosing::Why why, std::optional<NamedReply> last_words);
  void note_answer(ReplyQueue::Question asked, const Reply& reply);
  void note_outcome(bool taken);
  void answer_message(EventNumber number, std::string rendered, bool taken, Instant at);
  bool reads_text() const {
    return phase == Phase::Receiving || phase == Phase::ReceivingChunk || phase == Phase::EatingChunk;
  }
  bool output_full() const { return replies.ready_octets() >= output_octets_max && !inbox.empty() && !reads_text(); }
  Extensions offered() const;
  bool in_transaction() const { return transaction && transaction->opened; }
  Grammar grammar() const;
  Instant message_due() const;

  // server_table.cpp
  /// False when the line must wait for an answer; it was then not used.
  bool work_off(const Line& line);
  void obey(Verb verb, const Line& line);
  bool must_wait(Verb verb) const;

  // server_text.cpp
  bool read_body();
  bool read_chunk();
  bool eat_chunk();
  void finish_body();
  void finish_chunk();
  void complete_message();
  void refuse_message(BodyReader::Fault fault);
  void say_for_each_recipient(const NamedReply& reply);
  void begin_text(Phase next);
  void begin_body();
  void note_body_answer(const Reply& reply);
  std::string rendered_answer(ReplyQueue::Question asked, const Reply& reply) const;

  // server_relay.cpp: what a backend decides
  void note_backend_answer(ReplyQueue::Question asked, const Reply& reply);
  bool read_login_line(const Line& line);
  template <Verb verb>
  void relay_hello(std::string_view argument) {
    relay_hello_as(verb, argument);
  }
  template <Verb verb>
  void relay(std::string_view argument) {
    offer_command(ReplyQueue::Question::Command, verb, argument);
  }
  void offer_command(ReplyQueue::Question question, Verb verb, std::string_view argument);
  void relay_hello_as(Verb verb, std::string_view argument);
  void relay_mail(std::string_view argument);
  void relay_recipient(std::string_view argument);
  void relay_data(std::string_view argument);
  void relay_chunk(std::string_view argument);
  void relay_reset(std::string_view argument);
  void relay_login(std::string_view argument);
  void relay_start_tls(std::string_view argument);
  Transaction& relayed_transaction();

  // server_commands.cpp: one for each row of the table
  void ehlo(std::string_view argument);
  void helo(std::string_view argument);
  void lhlo(std::string_view argument);
  void hello(std::string_view argument, HelloForm form);
  void offer_sender(std::string_view argument);
  void offer_recipient(std::string_view argument);
  void offer_body(std::string_view argument);
  void refuse_body(std::string_view argument);
  void take_chunk(std::string_view argument);
  void begin_eating(std::uint64_t octets);
  template <const NamedReply& reply>
  void refuse_chunk_with(std::string_view argument) {
    refuse_chunk(argument, reply);
  }
  void refuse_chunk(std::string_view argument, const NamedReply& reply);
  void refuse_chunk_without_recipients(std::string_view argument);
  void reset(std::string_view argument);
  void noop(std::string_view argument);
  void quit(std::string_view argument);
  void verify(std::string_view argument);
  void help(std::string_view argument);
  void start_tls(std::string_view argument);
  template <Verb verb>
  void offer_identity(std::string_view argument) {
    offer_identity_as(verb, argument);
  }
  void offer_identity_as(Verb verb, std::string_view argument);
  template <const NamedReply& reply>
  void refuse_with(std::string_view) {
    refuse(reply);
  }

  ServerOptions options;
  Passing passing;        // Authority::Backend
  ByteQueue inbox;
  std::size_t lent = 0;  // octets at the front of inbox to which a BodyChunk points
  LineReader lines;
  ReplyQueue replies;
  std::vector<ServerEvent> events;  // oldest first
  std::unique_ptr<Transaction> transaction;
  std::string client_name;
  Instant now;            // of the last call that said it
  Instant waiting_since;  // what the client's clock is measured from
  Instant text_began;             // when the client could begin to send the message
  std::uint64_t text_octets = 0;  // of it, as they came
  std::uint64_t chunk_left = 0;
  std::size_t error_points = 0;
  std::size_t commands = 0;
  std::size_t unknown_commands = 0;
  std::size_t transactions = 0;
  Phase phase = Phase::Greeted;
  Phase phase_behind_chunk = Phase::Greeted;     // where EatingChunk leads
  Phase phase_behind_identity = Phase::Greeted;  // where the answer to XCLIENT or XFORWARD leads
  SessionClosing::Why closing_why = SessionClosing::Why::Quit;
  Verb obeyed = Verb::Unknown;    // what is being worked off
  std::string_view obeyed_line;   // good as long as it is
  bool extended = false;       // EHLO or LHLO, not HELO
  bool first_line = true;      // nothing was said yet, in clear or since the handshake
  bool more_behind = false;    // bytes stand behind the command that is being worked off
  bool blocked = false;        // the command at the front of inbox waits for an answer
  bool input_ended = false;
  bool shutting_down = false;
  bool message_broken = false; // Authority::Backend: a chunk was refused, and those behind it with it, until RSET or MAIL
};

}  // namespace postern::smtp
