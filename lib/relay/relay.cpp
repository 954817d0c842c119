#include "relay/relay.h"

#include <fmt/format.h>

#include <utility>

#include "smtp/replies.h"

namespace postern::relay {

namespace {

using smtp::Verb;

constexpr std::size_t chunk_octets_max = 64 * 1024;
constexpr std::size_t congested_octets = 256 * 1024;  // on their way to the backend, before the client has to wait

smtp::Reply backend_down() { return smtp::replies::backend_down; }

}  // namespace

// --- the client's side ---

void Relay::begin() {
  if (options_.timing == Timing::Early && options_.backend && link_ == LinkState::None) connect(*options_.backend, 0);
}

void Relay::handle(const smtp::CommandOffered& event, const Route* route, Instant now) {
  switch (event.verb) {
    case Verb::Ehlo:
    case Verb::Helo:
      handle_hello(event, now);
      break;
    case Verb::Mail:
      handle_mail(event, now);
      break;
    case Verb::Rcpt:
      handle_recipient(event, route, now);
      break;
    case Verb::Rset:
      begin_anew();
      [[fallthrough]];
    default:
      if (event.verb == Verb::Auth && link_ == LinkState::None && options_.backend) connect(*options_.backend, 0);
      if (link_ == LinkState::None) {
        answer_without_link(event.number, event.verb);
      } else {
        submit(event.line, {Asked::For::Client, event.number, event.verb, Asked::Limit::Command}, now);
      }
  }
  pump(now);
}

void Relay::handle_hello(const smtp::CommandOffered& event, Instant now) {
  begin_anew();
  hello_ = event;
  const Asked asked{Asked::For::Client, event.number, event.verb, Asked::Limit::Command};
  if (link_ == LinkState::Open) return submit(event.line, asked, now);
  if (link_ != LinkState::None && options_.timing == Timing::Early) {
    hello_owed_ = true;  // behind a handshake it may come before the new connection stands
    return;
  }
  if (event.verb == Verb::Helo) {
    actions_.push_back(AnswerHello{event.number, smtp::Reply{250, {}, options_.hostname}, {}});
    return;
  }
  Shown shown = shown_to_client(options_.hostname, options_.offers, options_.policy);
  actions_.push_back(AnswerHello{event.number, std::move(shown.reply), std::move(shown.passing)});
}

void Relay::handle_mail(const smtp::CommandOffered& event, Instant now) {
  begin_anew();
  if (!options_.backend) {
    mail_ = event.line;
    return answer(event.number, smtp::replies::sender_ok);
  }
  if (link_ == LinkState::None) connect(*options_.backend, 0);
  mail_sent_ = true;
  submit(event.line, {Asked::For::Client, event.number, Verb::Mail, Asked::Limit::Command}, now);
}

void Relay::handle_recipient(const smtp::CommandOffered& event, const Route* route, Instant now) {
  const Asked asked{Asked::For::Client, event.number, Verb::Rcpt, Asked::Limit::Command};
  if (fate_) return answer(event.number, *fate_);
  if (!options_.backend && route != nullptr && mail_) {
    if (!*route) return answer(event.number, route->error());
    if (!mail_sent_) {
      if (link_ != LinkState::None && backend_ != **route) quit();
      if (link_ == LinkState::None) connect(**route, 0);
      mail_sent_ = true;
      submit(*mail_, {Asked::For::ReplayedMail, 0, Verb::Mail, Asked::Limit::Command}, now);
    } else if (backend_ != **route) {
      return answer(event.number, smtp::replies::another_backend);
    }
  }
  if (link_ == LinkState::None) return answer(event.number, smtp::replies::sender_first);
  submit(event.line, asked, now);
}

void Relay::handle(const smtp::BodyOffered& event, Instant now) {
  if (fate_) {
    answer(event.number, data_refusal());
  } else if (!known_behind()) {
    answer(event.number, mail_ ? smtp::replies::no_valid_recipients : smtp::replies::sender_first);
  } else {
    submit("DATA", {Asked::For::Client, event.number, Verb::Data, Asked::Limit::Command}, now);
  }
  pump(now);
}

void Relay::handle(const smtp::BodyChunk& event, Instant now) {
  if (text_ == Text::Announced) text_ = Text::Dots;
  if (text_ == Text::None) text_ = Text::Chunks;
  if (fate_ || !known_behind()) return;
  if (text_ == Text::Dots) {
    stuffed_.clear();
    stuffing_.append(stuffed_, event.bytes);
    session_->send_text(stuffed_);
    return;
  }
  // Something is always kept back: the client's own BDAT must have a last piece, whose reply is its answer.
  chunk_ += event.bytes;
  while (chunk_.size() > chunk_octets_max) {
    std::string rest = chunk_.substr(chunk_octets_max);
    chunk_.resize(chunk_octets_max);
    send_chunk("", {Asked::For::ChunkPart, 0, Verb::Bdat, Asked::Limit::Command}, now);
    chunk_ = std::move(rest);
  }
}

/// Recipients may have been taken before the backend was lost: a 5xx would make the client's bounce of it.
smtp::Reply Relay::data_refusal() const {
  return fate_->permanent() ? smtp::Reply(smtp::replies::no_valid_recipients) : *fate_;
}

void Relay::send_chunk(std::string_view words, Asked asked, Instant now) {
  std::string text = std::exchange(chunk_, {});
  std::string line = fmt::format("BDAT {}{}", text.size(), words);
  submit(std::move(line), asked, now, std::move(text));
}

void Relay::handle(const smtp::ChunkComplete& event, Instant now) {
  if (text_ == Text::None) text_ = Text::Chunks;
  if (fate_ || !known_behind()) {
    answer(event.number, fate_.value_or(smtp::replies::sender_first));
  } else if (chunk_.empty()) {
    answer(event.number, smtp::replies::chunk_received);
  } else {
    send_chunk("", {Asked::For::Client, event.number, Verb::Bdat, Asked::Limit::Command}, now);
  }
  pump(now);
}

void Relay::handle(const smtp::MessageComplete& event, Instant now) {
  const Asked asked{Asked::For::Client, event.number, Verb::Unknown, Asked::Limit::AfterDot};
  if (fate_ || !known_behind()) {
    answer(event.number, fate_.value_or(smtp::replies::sender_first));
    begin_anew();
  } else if (text_ == Text::Dots || text_ == Text::Announced) {
    stuffed_.clear();
    stuffing_.finish(stuffed_);
    session_->send_text(stuffed_);
    session_->expect(asked, now);
    end_text();
  } else {
    send_chunk(" LAST", asked, now);
    end_text();
  }
  pump(now);
}

void Relay::handle(const smtp::TransactionEnded& event, Instant now) {
  using Why = smtp::TransactionEnded::Why;
  // RSET and EHLO reach the backend as themselves, and behind a whole chunk they may.
  const bool by_command = event.why == Why::Reset || event.why == Why::Hello;
  if (!event.refusal && (by_command || text_ == Text::None)) return;
  cut(event.refusal.value_or(smtp::replies::backend_lost));
  pump(now);
}

void Relay::answer_without_link(smtp::EventNumber number, Verb verb) {
  switch (verb) {
    case Verb::Rset: return answer(number, smtp::replies::was_reset);
    case Verb::Noop: return answer(number, smtp::replies::ok);
    case Verb::Help: return answer(number, smtp::replies::help_relayed);
    default: return answer(number, smtp::replies::backend_lost);
  }
}

void Relay::tls_started(RelayOptions options, Link link) {
  options_ = std::move(options);
  hello_.reset();
  hello_owed_ = false;
  client_greeted_ = true;
  begin_anew();
  const bool keeps = link == Link::Keep && options_.timing == Timing::Early && link_ == LinkState::Open;
  if (!keeps) quit();
  begin();
}

void Relay::leave() { quit(); }

/// A new transaction, or none.
void Relay::begin_anew() {
  mail_.reset();
  mail_sent_ = false;
  fate_.reset();
  end_text();
}

void Relay::end_text() {
  text_ = Text::None;
  stuffing_ = {};
  chunk_.clear();
}

// --- the backend's side ---

void Relay::connect(std::string backend, std::size_t attempt) {
  if (attempt == 0) last_refusal_.reset();
  backend_ = std::move(backend);
  attempt_ = attempt;
  link_ = LinkState::Opening;
  actions_.push_back(Connect{backend_, attempt});
}

void Relay::connected(BackendOptions options, Instant now) {
  if (link_ != LinkState::Opening) return;
  session_.emplace(std::move(options), now);
  pump(now);
}

void Relay::connect_failed(std::string_view why, Instant now) {
  if (link_ != LinkState::Opening) return;
  actions_.push_back(Trouble{backend_, std::string(why)});
  opening_failed(last_refusal_.value_or(backend_down()));
  pump(now);
}

void Relay::receive(std::string_view bytes, Instant now) {
  if (!session_) return;
  session_->receive(bytes, now);
  pump(now);
}

void Relay::connection_lost(std::string reason, Instant now) {
  if (!session_ && link_ == LinkState::Opening) return try_next_target(reason);
  if (!session_) return;
  session_->connection_lost(std::move(reason), now);
  pump(now);
}

std::string Relay::take_output() { return session_ ? session_->take_output() : std::string(); }

void Relay::pump(Instant now) {
  while (session_) {
    const auto event = session_->next();
    if (!event) return;
    if (const auto* greeted = std::get_if<Greeted>(&*event)) on(*greeted, now);
    if (const auto* replied = std::get_if<Replied>(&*event)) on(*replied, now);
    if (const auto* failed = std::get_if<BackendFailed>(&*event)) on(*failed);
  }
}

void Relay::on(const Greeted& event, Instant now) {
  link_ = LinkState::Hello;
  if (options_.timing == Timing::Early && !std::exchange(client_greeted_, true)) {
    actions_.push_back(Greet{event.greeting});
  } else if (hello_) {
    const auto whom = hello_owed_ ? Asked::For::Client : Asked::For::ReplayedHello;
    return session_->send(hello_->line, {whom, hello_->number, hello_->verb, Asked::Limit::Command}, now);
  }
  open_now(now);  // the client's own EHLO will go over it, and NOOP may come before
}

void Relay::on(const Replied& event, Instant now) {
  const Asked& asked = event.asked;
  switch (asked.whom) {
    case Asked::For::ReplayedHello:
      return on_hello_reply(asked, event.reply, now);
    case Asked::For::ReplayedMail:
      if (!event.reply.positive()) fate_ = event.reply;
      return;
    case Asked::For::ChunkPart:
      // A message with a hole in it must not come to its end.
      if (!event.reply.positive()) cut(event.reply);
      return;
    case Asked::For::Nobody:
      return;
    case Asked::For::Client:
      break;
  }
  if (asked.verb == Verb::Ehlo || asked.verb == Verb::Helo) return on_hello_reply(asked, event.reply, now);
  on_client_reply(asked, event.reply);
}

void Relay::on_client_reply(const Asked& asked, const smtp::Reply& reply) {
  if (asked.verb == Verb::Data && reply.intermediate()) {
    if (fate_) {
      // It has refused MAIL, and would take what comes next for a text.
      answer(asked.number, data_refusal());
      return cut(smtp::Reply(*fate_));
    }
    text_ = Text::Announced;
    return answer(asked.number, reply);
  }
  // Behind a MAIL that was refused, 503 would hide the reason.
  if (asked.verb == Verb::Rcpt && fate_) return answer(asked.number, *fate_);
  if (asked.limit == Asked::Limit::AfterDot) {
    mail_.reset();
    mail_sent_ = false;
  }
  answer(asked.number, reply);
}

void Relay::on_hello_reply(const Asked& asked, const smtp::Reply& reply, Instant now) {
  if (reply.positive() && asked.verb == Verb::Ehlo) {
    options_.offers = offers_of(reply);
    actions_.push_back(Learnt{backend_, options_.offers});
  }
  const bool opened = link_ == LinkState::Hello;
  if (asked.whom == Asked::For::Client) {
    hello_owed_ = false;
    Shown shown{reply, {}};
    if (reply.positive() && asked.verb == Verb::Ehlo) {
      shown = shown_to_client(reply.text.substr(0, reply.text.find('\n')), options_.offers, options_.policy);
    }
    actions_.push_back(AnswerHello{asked.number, std::move(shown.reply), std::move(shown.passing)});
  } else if (!reply.positive()) {
    drop_link("QUIT\r\n");
    return opening_failed(reply);
  }
  if (opened) open_now(now);
}

/// What has waited leaves as the batch that it was.
void Relay::open_now(Instant now) {
  link_ = LinkState::Open;
  waiting_octets_ = 0;
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    session_->send(waiting.line, waiting.asked, now, waiting.text);
  }
}

void Relay::on(const BackendFailed& event) {
  const bool opening = link_ == LinkState::Opening;
  drop_link();
  if (opening) {
    if (event.reply) last_refusal_ = event.reply;
    // A refusal for good is the backend's decision about this client; anything else is about this target.
    if (event.reply && event.reply->permanent()) return opening_failed(*event.reply);
    return try_next_target(event.error.text);
  }
  actions_.push_back(Trouble{backend_, event.error.text});
  smtp::Reply last_words = smtp::replies::backend_lost;
  if (event.reply && !event.reply->positive() && !event.reply->intermediate()) last_words = *event.reply;
  answer_all_open(last_words);
  if (mail_sent_ || text_ != Text::None) fate_ = last_words;
}

void Relay::try_next_target(const std::string& why) {
  actions_.push_back(Trouble{backend_, why});
  connect(std::string(backend_), attempt_ + 1);
}

/// No target took us, or one has refused.
void Relay::opening_failed(const smtp::Reply& reply) {
  link_ = LinkState::None;
  if (options_.timing == Timing::Early && !std::exchange(client_greeted_, true)) actions_.push_back(Greet{reply});
  if (std::exchange(hello_owed_, false)) actions_.push_back(AnswerHello{hello_->number, reply, {}});
  if (mail_sent_) fate_ = reply;
  answer_all_open(reply);
}

void Relay::submit(std::string line, Asked asked, Instant now, std::string text) {
  if (link_ == LinkState::Open) return session_->send(line, asked, now, text);
  waiting_octets_ += line.size() + text.size();
  waiting_.push_back({std::move(line), asked, std::move(text)});
}

void Relay::answer_asked(const Asked& asked, const smtp::Reply& reply) {
  if (asked.whom != Asked::For::Client) return;
  const bool hello = asked.verb == Verb::Ehlo || asked.verb == Verb::Helo;
  if (hello) {
    hello_owed_ = false;
    actions_.push_back(AnswerHello{asked.number, reply, {}});
  } else if (asked.verb == Verb::Rset || asked.verb == Verb::Noop) {
    answer_without_link(asked.number, asked.verb);  // which is true of them: nothing is left of the transaction
  } else {
    answer(asked.number, reply);
  }
}

/// Everything that the link owes the client, sent or waiting, in the order of the commands.
void Relay::answer_all_open(const smtp::Reply& reply) {
  waiting_octets_ = 0;
  for (const Waiting& waiting : std::exchange(waiting_, {})) answer_asked(waiting.asked, reply);
}

/// What was asked and not answered is owed still: it goes to the front of what waits.
void Relay::drop_link(std::string last_words) {
  if (link_ == LinkState::None) return;
  if (session_) {
    const auto unanswered = session_->take_unanswered();
    for (auto asked = unanswered.rbegin(); asked != unanswered.rend(); ++asked) waiting_.push_front({{}, *asked, {}});
  }
  link_ = LinkState::None;
  session_.reset();
  actions_.push_back(Disconnect{std::move(last_words)});
}

/// The transaction cannot go on, and the backend must not think that it has ended.
void Relay::cut(const smtp::Reply& reply) {
  drop_link();
  fate_ = reply;
  answer_all_open(reply);
  chunk_.clear();
}

void Relay::quit() {
  const bool orderly = link_ == LinkState::Open && session_->idle() && text_ == Text::None;
  drop_link(orderly ? session_->take_output() + "QUIT\r\n" : std::string());
  answer_all_open(smtp::replies::backend_lost);
}

std::optional<Action> Relay::next() {
  if (actions_.empty()) return std::nullopt;
  std::optional<Action> oldest(std::move(actions_.front()));
  actions_.pop_front();
  return oldest;
}

bool Relay::congested(std::size_t unsent) const {
  return waiting_octets_ + chunk_.size() + unsent + (session_ ? session_->output_octets() : 0) > congested_octets;
}

std::optional<Instant> Relay::deadline() const { return session_ ? session_->deadline() : std::nullopt; }

void Relay::expire(Instant now) {
  if (!session_) return;
  session_->expire(now);
  pump(now);
}

}  // namespace postern::relay
