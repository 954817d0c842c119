// The commands of a transaction are numbered: 0 is MAIL, 1 to n are the RCPTs, n + 1 is DATA (or RSET, in a check; BDAT
// has no such command). Two counters, how many were sent and how many were answered, are the whole memory of the batch;
// replies come in the order of the commands. Behind it follow the body, with a reply to every BDAT but the last, and one
// reply for each accepted recipient (SMTP: one for all). XCLIENT and XFORWARD go before, alone: after XCLIENT the peer
// may offer something else.
#include "smtp/client_session.h"

#include <cassert>
#include <deque>
#include <utility>

#include "base/text.h"
#include "smtp/client_transaction.h"
#include "smtp/replies.h"

namespace postern::smtp {

namespace {

constexpr int service_closing = 421;  // RFC 5321 section 4.2.3: may answer any command; the peer closes after it

bool refuses_client(const Reply& reply) {
  // RFC 5321 section 3.1 and RFC 7504: what a server says in place of a greeting to a client that it does not want. The
  // other codes speak of the XCLIENT command itself.
  return reply.code == 554 || reply.code == 521;
}

}  // namespace

struct ClientSession::State {
  State(ClientOptions chosen, Instant now) : options(std::move(chosen)), deadline(now + options.timeouts.greeting) {}

  void on_reply(Reply reply, Instant now);
  void on_greeting(const Reply& reply, Instant now);
  void on_hello(const Reply& reply, Instant now);
  void on_start_tls_reply(const Reply& reply);
  void on_identify_reply(const Reply& reply, Instant now);
  void on_command_reply(const Reply& reply, Instant now);
  void on_data_reply(const Reply& reply, Instant now);
  void on_chunk_reply(const Reply& reply);
  void on_final_reply(const Reply& reply);
  void say_hello(Instant now);
  void send(std::string_view command, ClientStage awaited, Instant now);
  void begin(ClientTransaction next, Instant now);
  void begin_commands(Instant now);
  void want_body(Instant now);
  void send_commands(Instant now);
  void send_command(std::size_t number);
  void reset(Instant now);
  void finish_transaction();
  void finish_data_without_recipients(Instant now);
  void announce_outcome();
  void fail_bad_reply(std::string_view trouble, const Reply& reply);
  void fail(SessionFailed::Why why, Error error, std::optional<Reply> reply);

  ClientOptions options;
  ReplyParser parser;
  std::string output;
  std::deque<ClientEvent> events;
  PeerExtensions extensions;
  ClientStage stage = ClientStage::Greeting;
  std::optional<ClientTransaction> transaction;
  std::optional<Instant> deadline;
  bool closed = false;           // failed, quit or abandoned: nothing happens any more
  bool bound_to_client = false;
  bool hello_is_old = false;     // HELO, after a peer that does not know EHLO
  bool tls_done = false;         // STARTTLS, where it is required
  bool peer_is_closing = false;  // it said 421 to a recipient behind the dot; what follows still counts
  bool answered_anything = false;
};

// Each reply belongs to the oldest command that has none yet. What must not come now is a failure of the connection:
// after it nobody could say which answer belongs to which recipient.
void ClientSession::State::on_reply(Reply reply, Instant now) {
  if (reply.code == service_closing && stage != ClientStage::AfterDot) {
    Error error{fmt::format("answered {} {} to {}", reply.code, escaped(reply.text), to_string(stage))};
    return fail(SessionFailed::Why::Refused, std::move(error), std::move(reply));
  }
  answered_anything = true;
  switch (stage) {
    case ClientStage::Greeting:
      return on_greeting(reply, now);
    case ClientStage::Hello:
      return on_hello(reply, now);
    case ClientStage::StartTls:
      return on_start_tls_reply(reply);
    case ClientStage::Handshake:
    case ClientStage::Idle:
      return fail_bad_reply("spoke without being asked", reply);
    case ClientStage::Noop:
      if (!reply.positive()) return fail_bad_reply("answered NOOP with", reply);
      stage = ClientStage::Idle;
      deadline.reset();
      events.emplace_back(PeerAlive{});
      return;
    case ClientStage::Identify:
      return on_identify_reply(reply, now);
    case ClientStage::Mail:
    case ClientStage::Rcpt:
    case ClientStage::Data:
      return on_command_reply(reply, now);
    case ClientStage::Body:
      if (transaction->chunks_open > 0) return on_chunk_reply(reply);
      return fail_bad_reply("answered before the message was complete", reply);
    case ClientStage::AfterDot:
      if (transaction->chunks_open > 0) return on_chunk_reply(reply);
      return on_final_reply(reply);
    case ClientStage::Reset:
      if (!reply.positive()) return fail_bad_reply("refused RSET", reply);
      return finish_transaction();
  }
}

void ClientSession::State::on_greeting(const Reply& reply, Instant now) {
  if (reply.intermediate()) return fail_bad_reply("greeted with", reply);
  if (!reply.positive()) {
    return fail(SessionFailed::Why::Refused, {fmt::format("greeted with {} {}", reply.code, escaped(reply.text))},
                reply);
  }
  say_hello(now);
}

void ClientSession::State::say_hello(Instant now) {
  const std::string_view verb = hello_is_old ? "HELO" : options.dialect == Dialect::Lmtp ? "LHLO" : "EHLO";
  send(fmt::format("{} {}", verb, options.hostname), ClientStage::Hello, now);
}

void ClientSession::State::send(std::string_view command, ClientStage awaited, Instant now) {
  output += command;
  output += "\r\n";
  stage = awaited;
  deadline = now + options.timeouts.command;
}

void ClientSession::State::on_hello(const Reply& reply, Instant now) {
  if (reply.intermediate()) return fail_bad_reply("answered the hello with", reply);
  if (reply.permanent() && options.dialect == Dialect::Smtp && !hello_is_old) {
    hello_is_old = true;  // RFC 5321 section 3.2
    return say_hello(now);
  }
  if (!reply.positive()) {
    // After XCLIENT it is the client's, not ours.
    if (transaction && refuses_client(reply)) transaction->decide_rest(reply);
    return fail(SessionFailed::Why::Refused,
                {fmt::format("answered the hello with {} {}", reply.code, escaped(reply.text))}, reply);
  }
  extensions = hello_is_old ? PeerExtensions{} : parse_extensions(reply);
  if (transaction && transaction->says_xclient() && extensions.xclient.empty()) bound_to_client = true;
  if (options.start_tls == StartTls::Required && !tls_done) {
    if (extensions.starttls) return send("STARTTLS", ClientStage::StartTls, now);
    return fail(SessionFailed::Why::Refused, {"does not offer STARTTLS, and nothing may go there in clear"}, reply);
  }
  if (transaction) return begin_commands(now);
  stage = ClientStage::Idle;
  deadline.reset();
  events.emplace_back(PeerReady{extensions});
}

// What stands behind the 220 in clear was put there by somebody between: it would be taken for what the peer says under
// TLS (CVE-2021-38371).
void ClientSession::State::on_start_tls_reply(const Reply& reply) {
  if (reply.code != 220) {
    return fail(SessionFailed::Why::Refused,
                {fmt::format("answered STARTTLS with {} {}", reply.code, escaped(reply.text))}, reply);
  }
  if (parser.pending() > 0) {
    return fail(SessionFailed::Why::BadReply, {"sent something in clear behind its answer to STARTTLS"}, std::nullopt);
  }
  stage = ClientStage::Handshake;
  events.emplace_back(TlsWanted{});
}

void ClientSession::State::on_identify_reply(const Reply& reply, Instant now) {
  // What XFORWARD says is for the peer's log only.
  if (!transaction->says_xclient()) return begin_commands(now);
  if (reply.positive()) return say_hello(now);
  if (refuses_client(reply)) transaction->decide_rest(reply);
  fail(SessionFailed::Why::Refused, {fmt::format("answered XCLIENT with {} {}", reply.code, escaped(reply.text))},
       reply);
}

void ClientSession::State::begin(ClientTransaction next, Instant now) {
  assert(stage == ClientStage::Idle && !closed && next.recipients() > 0);
  answered_anything = false;
  transaction = std::move(next);
  if (transaction->envelope.identify.empty()) return begin_commands(now);
  send(transaction->envelope.identify, ClientStage::Identify, now);
}

void ClientSession::State::begin_commands(Instant now) {
  const auto role = options.dialect == Dialect::Lmtp ? PeerRole::Store : PeerRole::Mta;
  const auto capabilities = capabilities_of(extensions, role, options.privacy);
  if (auto refusal = cannot_carry(transaction->envelope.parameters, capabilities)) {
    transaction->decide_rest(*refusal);
    return finish_transaction();
  }
  send_commands(now);
}

void ClientSession::State::send_commands(Instant now) {
  const std::size_t until = extensions.pipelining ? transaction->commands() : transaction->answered + 1;
  while (transaction->sent < until) send_command(transaction->sent++);
  const auto awaited = transaction->answered;
  stage = awaited == 0                               ? ClientStage::Mail
          : awaited <= transaction->recipients()     ? ClientStage::Rcpt
          : transaction->purpose == Purpose::Deliver ? ClientStage::Data
                                                     : ClientStage::Reset;
  deadline = now + options.timeouts.command;
}

void ClientSession::State::send_command(std::size_t number) {
  if (number == 0) {
    output += mail_command(transaction->envelope, extensions);
  } else if (number <= transaction->recipients()) {
    output += rcpt_command(transaction->envelope, number - 1, extensions);
  } else {
    output += transaction->purpose == Purpose::Deliver ? "DATA\r\n" : "RSET\r\n";
  }
}

void ClientSession::State::on_command_reply(const Reply& reply, Instant now) {
  if (stage == ClientStage::Data) return on_data_reply(reply, now);
  if (reply.intermediate()) return fail_bad_reply(fmt::format("answered {} with", to_string(stage)), reply);

  const auto number = transaction->answered++;
  if (number == 0) {
    // What a pipelining peer says of the recipients of a sender that it has refused does not matter.
    transaction->sender_refused = !reply.positive();
    if (transaction->sender_refused) transaction->decide_rest(reply);
  } else if (auto& outcome = transaction->replies[number - 1]; !outcome) {
    if (!reply.positive() || transaction->purpose == Purpose::Check) {
      outcome = reply;
    } else {
      transaction->accepted.push_back(number - 1);
    }
  }
  const bool batch_is_out = transaction->sent == transaction->commands();
  const bool batch_is_answered = transaction->answered == transaction->commands();
  if ((!batch_is_out || batch_is_answered) && transaction->decided()) return reset(now);
  if (batch_is_answered) return want_body(now);
  send_commands(now);
}

void ClientSession::State::want_body(Instant now) {
  stage = ClientStage::Body;
  deadline = now + options.timeouts.command;
  events.emplace_back(BodyWanted{});
}

void ClientSession::State::on_data_reply(const Reply& reply, Instant now) {
  ++transaction->answered;
  if (reply.positive()) return fail_bad_reply("answered DATA with", reply);
  if (reply.code == 354) {
    if (transaction->accepted.empty()) return finish_data_without_recipients(now);
    return want_body(now);
  }
  if (reply.intermediate()) return fail_bad_reply("answered DATA with", reply);
  transaction->decide_rest(reply);
  reset(now);
}

// RFC 2920 section 3.1: a dot alone. Over LMTP it has no reply (RFC 2033 section 4.2: one for each recipient), but some
// peers give one, which would then be taken for the answer to the next command: such a connection is not kept. To a
// peer that has refused the sender and yet wants the message, nothing is said: who knows whom it would go to.
void ClientSession::State::finish_data_without_recipients(Instant now) {
  if (!transaction->sender_refused) output += ".\r\n";
  if (options.dialect == Dialect::Lmtp || transaction->sender_refused) {
    return fail(SessionFailed::Why::BadReply, {"wanted a message although it had refused every recipient"},
                std::nullopt);
  }
  stage = ClientStage::AfterDot;
  deadline = now + options.timeouts.after_dot;
}

// A chunk that is refused is the end of the message (RFC 3030 section 2). What is under way already would have to be
// waited for, chunk by chunk: such a connection is not kept.
void ClientSession::State::on_chunk_reply(const Reply& reply) {
  if (reply.intermediate()) return fail_bad_reply("answered BDAT with", reply);
  --transaction->chunks_open;
  if (reply.positive()) return;
  transaction->decide_rest(reply);
  fail(SessionFailed::Why::Refused, {fmt::format("answered BDAT with {} {}", reply.code, escaped(reply.text))}, reply);
}

void ClientSession::State::on_final_reply(const Reply& reply) {
  if (reply.intermediate()) return fail_bad_reply("answered the final dot with", reply);
  const auto& accepted = transaction->accepted;
  // A peer that closes with a 421 may have answered some recipients and may go on to answer others: each is worth
  // having, for what is known to be taken need not be sent twice.
  if (reply.code == service_closing) peer_is_closing = true;
  if (options.dialect == Dialect::Lmtp) {
    const auto behind_dot = transaction->answered++ - transaction->commands();
    transaction->replies[accepted[behind_dot]] = reply;
    if (behind_dot + 1 < accepted.size()) return;
  } else {
    transaction->decide_rest(reply);
  }
  finish_transaction();
  if (peer_is_closing) {
    fail(SessionFailed::Why::Refused, {fmt::format("answered the final dot with {}", service_closing)}, reply);
  }
}

void ClientSession::State::reset(Instant now) {
  output += "RSET\r\n";
  stage = ClientStage::Reset;
  deadline = now + options.timeouts.command;
}

void ClientSession::State::finish_transaction() {
  announce_outcome();
  stage = ClientStage::Idle;
  deadline.reset();
}

void ClientSession::State::announce_outcome() {
  if (transaction->purpose == Purpose::Check) {
    events.emplace_back(RecipientChecked{std::move(*transaction->replies.front())});
  } else {
    DeliveryDone done;
    for (auto& reply : transaction->replies) done.replies.push_back(std::move(*reply));
    events.emplace_back(std::move(done));
  }
  transaction.reset();
}

void ClientSession::State::fail_bad_reply(std::string_view trouble, const Reply& reply) {
  fail(SessionFailed::Why::BadReply, {fmt::format("{} {} {}", trouble, reply.code, escaped(reply.text))}, reply);
}

void ClientSession::State::fail(SessionFailed::Why why, Error error, std::optional<Reply> reply) {
  SessionFailed failed{why, stage, std::move(error), std::move(reply), {}, answered_anything};
  // The outcome does not depend on the RSET, or whatever else was still to come.
  if (transaction && transaction->decided()) announce_outcome();
  if (transaction) failed.replies = std::move(transaction->replies);
  transaction.reset();
  events.emplace_back(std::move(failed));
  closed = true;
  deadline.reset();
}

ClientSession::ClientSession(ClientOptions options, Instant now)
    : state_(std::make_unique<State>(std::move(options), now)) {}
ClientSession::~ClientSession() = default;
ClientSession::ClientSession(ClientSession&&) noexcept = default;
ClientSession& ClientSession::operator=(ClientSession&&) noexcept = default;

void ClientSession::receive(std::string_view bytes, Instant now) {
  if (state_->closed) return;
  state_->parser.receive(bytes);
  while (!state_->closed) {
    auto reply = state_->parser.next();
    if (!reply) {
      state_->answered_anything = true;
      return state_->fail(SessionFailed::Why::BadReply, std::move(reply.error()), std::nullopt);
    }
    if (!*reply) return;
    state_->on_reply(std::move(**reply), now);
  }
}

void ClientSession::connection_lost(std::string reason, Instant) {
  if (!state_->closed) state_->fail(SessionFailed::Why::PeerClosed, {std::move(reason)}, std::nullopt);
}

std::optional<ClientEvent> ClientSession::next() {
  if (state_->events.empty()) return std::nullopt;
  std::optional<ClientEvent> event = std::move(state_->events.front());
  state_->events.pop_front();
  return event;
}

std::string ClientSession::take_output() { return std::exchange(state_->output, {}); }

void ClientSession::tls_started(Instant now) {
  if (state_->closed || state_->stage != ClientStage::Handshake) return;
  state_->tls_done = true;
  state_->hello_is_old = false;
  state_->extensions = {};
  state_->say_hello(now);
}

bool ClientSession::bound_to_client() const { return state_->bound_to_client; }

bool ClientSession::idle() const { return state_->stage == ClientStage::Idle && !state_->closed; }

void ClientSession::check(Envelope envelope, Instant now) {
  assert(envelope.recipients.size() == 1);
  state_->begin(ClientTransaction{Purpose::Check, std::move(envelope), std::vector<std::optional<Reply>>(1)}, now);
}

void ClientSession::probe(Instant now) {
  assert(idle());
  state_->send("NOOP", ClientStage::Noop, now);
}

void ClientSession::deliver(Envelope envelope, Instant now) {
  std::vector<std::optional<Reply>> none_yet(envelope.recipients.size());
  state_->begin(ClientTransaction{Purpose::Deliver, std::move(envelope), std::move(none_yet)}, now);
}

void ClientSession::quit() {
  assert(idle());
  state_->output += "QUIT\r\n";
  state_->closed = true;
}

void ClientSession::send_body(std::string_view chunk, Instant now) {
  if (state_->closed || state_->stage != ClientStage::Body || chunk.empty()) return;
  auto& transaction = *state_->transaction;
  if (transaction.chunked()) {
    ++transaction.chunks_open;
    state_->output += fmt::format("BDAT {}\r\n", chunk.size());
    state_->output += chunk;
  } else {
    transaction.stuffing.append(state_->output, chunk);
  }
  state_->deadline = now + state_->options.timeouts.command;
}

void ClientSession::finish_body(Instant now) {
  if (state_->closed || state_->stage != ClientStage::Body) return;
  if (state_->transaction->chunked()) {
    state_->output += "BDAT 0 LAST\r\n";
  } else {
    state_->transaction->stuffing.finish(state_->output);
  }
  state_->stage = ClientStage::AfterDot;
  state_->deadline = now + state_->options.timeouts.after_dot;
}

void ClientSession::abandon() {
  state_->closed = true;
  state_->output.clear();
  state_->events.clear();
  state_->transaction.reset();
  state_->deadline.reset();
}

std::optional<Instant> ClientSession::deadline() const { return state_->deadline; }

void ClientSession::expire(Instant now) {
  if (!state_->deadline || now < *state_->deadline) return;
  state_->fail(SessionFailed::Why::TimedOut, {fmt::format("gave no answer to {} in time", to_string(state_->stage))},
               std::nullopt);
}

ClientStage ClientSession::stage() const { return state_->stage; }

std::vector<std::optional<Reply>> ClientSession::replies_so_far() const {
  if (!state_->transaction || state_->transaction->purpose != Purpose::Deliver) return {};
  return state_->transaction->replies;
}

const PeerExtensions& ClientSession::extensions() const { return state_->extensions; }

}  // namespace postern::smtp
