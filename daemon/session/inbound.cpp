#include "daemon/session/inbound.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace postern::session {

namespace {

// Replies that a client does not fetch, before more stay in the SMTP machine and no more commands are read.
constexpr std::size_t unsent_octets_max = 16 * 1024;
constexpr Duration last_words_within = std::chrono::seconds(5);  // for the client to take our last replies

smtp::Smuggling smuggling_for(const smtp::SmtpSettings& settings, const IpAddress& client) {
  return any_contains(settings.smuggling_exempt, client) ? smtp::Smuggling::Normalize : settings.smuggling;
}

}  // namespace

Inbound::Inbound(InboundServices& services, SessionId id, int descriptor, const Endpoint& listener)
    : services_(services),
      id_(id),
      socket_(uv::Socket::adopt(services.loop, descriptor, *this)),
      peer_(socket_->peer()),
      listener_(listener),
      accepted_at_(services.loop.now()),
      timer_(services.loop, [this] { on_timer(); }) {
  record_.id = services_.ids.next();
  record_.peer = peer_;
  record_.local = socket_->local();
  ++services_.counters.sessions_open;
  ++services_.counters.sessions_total;
  if (services_.settings.get()->listeners.at(listener_).proxy_protocol == ProxyProtocol::Required) {
    await_proxy_header();
  } else {
    begin();
  }
  pump();
}

void Inbound::begin() {
  const auto settings = services_.settings.get();
  const ListenerSettings& listener = settings->listeners.at(listener_);
  hostname_ = listener.hostname_at(record_.local.address);
  if (settings->score.enabled) score_ = std::make_shared<SessionScore>(services_.scores);
  ask_for_name();
  switch (listener.tls) {
    case ListenerTls::None: return start_smtp(smtp::TlsState::Unavailable);
    case ListenerTls::Starttls: return start_smtp(smtp::TlsState::Offered);
    case ListenerTls::Implicit: return start_tls();
  }
}

Inbound::~Inbound() = default;

/// Nobody waits for it but who has to say it: see named().
void Inbound::ask_for_name() {
  const auto settings = services_.settings.get();
  if (!settings->reverse_dns) return named({});
  if (const auto known = services_.reverse_dns.known(peer_.address)) return named(*known);
  const auto answered = [&directory = services_.directory, id = id_, score = score_,
                         asked = peer_.address](const ClientDnsName& name) {
    if (score) score->named(name);  // a session that was short is over by now
    Inbound* session = directory.find(id);
    if (session == nullptr || session->phase_ != Phase::Talking || session->peer_.address != asked) return;
    session->named(name);
    session->pump();
  };
  const bool asked = services_.reverse_dns.look_up(peer_.address, settings->reverse_dns_within, answered);
  if (!asked) named({ClientDnsName::Standing::NotNow, std::nullopt, std::nullopt});
}

void Inbound::named(const ClientDnsName& name) {
  dns_name_ = name;
  if (name.name) record_.dns_name = name.name->text();
  if (transaction_) transaction_->name_client(name);
  if (relaying_) relaying_->named(name);
  if (const auto body = std::exchange(body_waiting_for_name_, std::nullopt)) handle(*body);
}

void Inbound::start_smtp(smtp::TlsState tls) {
  tls_state_ = tls;
  auto settings = services_.settings.get();
  if (authority(*settings) == smtp::Authority::Self) return start_session(std::nullopt);
  start_relaying(std::move(settings), tls);
  relaying_->machine().begin();
  if (!relaying_->greets_client()) start_session(std::nullopt);
}

/// `greeting` is a backend's; nothing: our own.
void Inbound::start_session(std::optional<smtp::Reply> greeting) {
  const RunSettings& settings = *services_.settings.get();
  smtp::ServerOptions options;
  options.greeting = std::move(greeting);
  if (relaying_) options.authority = smtp::Authority::Backend;
  options.hostname = hostname_;
  options.tls = tls_state_;
  options.extensions = extensions();
  options.smuggling = smuggling_for(settings.smtp, peer_.address);
  options.strict = settings.smtp.strict;
  if (may_name_clients()) {
    options.xclient = proxy::xclient_attributes;
    options.xforward = proxy::xforward_attributes;
  }
  options.limits = settings.smtp.limits;
  options.timeouts = settings.smtp.timeouts;
  options.tally = &services_.counters.smtp;
  smtp_.emplace(std::move(options), services_.loop.now());
  if (shutting_down_) smtp_->shut_down();
}

smtp::Extensions Inbound::extensions() const {
  const auto settings = services_.settings.get();
  if (settings->offer) return *settings->offer;
  const auto behind = services_.backends.capabilities(settings->routes->reachable(session_backend(*settings)));
  smtp::Extensions offered;
  offered.chunking = true;  // the text is the same as behind DATA, whatever the backend takes it by
  offered.limits = true;
  offered.smtputf8 = behind.smtputf8;
  offered.binarymime = settings->binarymime && behind.binary_mime;
  offered.dsn = behind.dsn;
  offered.requiretls = behind.require_tls;
  offered.prdr = true;  // whatever stands behind: it is we who join what backends say
  return offered;
}

void Inbound::pump() {
  if (pumping_ || phase_ != Phase::Talking) return;
  pumping_ = true;
  do {
    while (handle_smtp_events() && stream_ && handle_one_stream_event()) {
    }
  } while (make_room_for_replies() || tell_end_of_input());
  pumping_ = false;
  if (phase_ != Phase::Talking) return;
  // The answers before the 421 are still the client's.
  if (turned_away_ && checks_open_ == 0) return close_politely("too many unknown recipients");
  flush();
  update_reading();
  rearm_timer();
}

bool Inbound::wants_input() const {
  const bool handshaking = stream_ && !stream_->established();
  return phase_ == Phase::Talking && !turned_away_ &&
         (handshaking ? !handshake_in_pool_ : proxy_deadline_ || (smtp_ && smtp_->wants_input()));
}

/// True when replies that kept commands waiting have left.
bool Inbound::make_room_for_replies() {
  if (phase_ != Phase::Talking || !smtp_ || !smtp_->output_full() || socket_->unsent() > unsent_octets_max) return false;
  flush();
  return true;
}

/// Once everything that came before the end has been read: commands that stand before it are worked off, however long
/// the answers to others take.
bool Inbound::tell_end_of_input() {
  if (!peer_ended_ || end_told_ || !smtp_ || !wants_input()) return false;
  end_told_ = true;
  smtp_->end_of_input();
  return true;
}

/// True when more plaintext is welcome.
bool Inbound::handle_smtp_events() {
  while (phase_ == Phase::Talking && !turned_away_) {
    if (const auto event = smtp_ ? smtp_->next() : std::nullopt) {
      std::visit([this](const auto& e) { handle(e); }, *event);
    } else if (!relaying_ || !handle_relay_action()) {
      break;
    }
  }
  return wants_input();
}

void Inbound::handle(const smtp::SessionClosing& event) {
  // Many clients send QUIT behind the final dot, before they have the answer: they are no less orderly.
  if (event.why == smtp::SessionClosing::Why::Quit) {
    settle_reply(Received::Surely);
    if (score_) score_->ended(SessionScore::End::Quit);
  }
  close_politely(std::string(smtp::to_string(event.why)));
}

void Inbound::flush() {
  if (relaying_) relaying_->flush();
  if (socket_->unsent() <= unsent_octets_max) flush_replies();  // else they wait for on_drained()
  flush_records();
}

void Inbound::flush_replies() {
  if (!smtp_ || (stream_ && !stream_->established())) return;
  std::string replies = smtp_->take_output();
  if (!stream_) {
    transmit(std::move(replies));
  } else if (!replies.empty()) {
    stream_->send(replies);
  }
}

void Inbound::flush_records() {
  if (stream_) transmit(stream_->take_output());
}

void Inbound::transmit(std::string bytes) {
  services_.counters.octets_sent += bytes.size();
  socket_->send(std::move(bytes));
}

void Inbound::update_reading() {
  const bool spilling = transaction_ && transaction_->message() != nullptr && transaction_->message()->congested();
  const bool congested = spilling || (relaying_ && relaying_->congested());
  const bool want = wants_input() && !congested && !peer_ended_ && socket_->unsent() <= unsent_octets_max;
  socket_->read_at_most(smtp_ && smtp_->reads_text() ? uv::Loop::read_octets_max : smtp::command_read_octets_max);
  if (want == reading_) return;
  reading_ = want;
  if (want) {
    socket_->start_reading();
  } else {
    socket_->stop_reading();
  }
}

void Inbound::rearm_timer() {
  auto next = handshake_deadline_ ? handshake_deadline_ : proxy_deadline_;
  if (!next && smtp_) next = smtp_->deadline();
  if (next) {
    timer_.start_at(*next);
  } else {
    timer_.stop();
  }
}

void Inbound::on_bytes(std::string_view bytes) {
  services_.counters.octets_received += bytes.size();
  if (phase_ != Phase::Talking) return;
  if (proxy_deadline_) return read_proxy_header(bytes);
  settle_reply(Received::Surely);
  if (stream_) {
    stream_->receive(bytes);
  } else if (smtp_) {
    smtp_->receive(bytes, services_.loop.now());
  }
  pump();
}

void Inbound::on_drained() {
  pump();  // commands may wait because the replies did
}

void Inbound::on_end() {
  if (phase_ != Phase::Talking) return;
  // Many clients close without a QUIT once they have their answer.
  settle_reply(socket_->acknowledged() ? Received::Surely : Received::Perhaps);
  peer_ended_ = true;
  if (stream_ && !stream_->established()) {
    record_handshake();
    record_.tls_error = "the client closed the connection";
    if (score_) score_->gave_up(*stream_, record_.tls_error, SessionScore::End::Closed);
    return close_now("TLS handshake failed");
  }
  if (!smtp_) return close_now("peer closed before the greeting");
  pump();
}

void Inbound::on_failure(const Error& error) {
  if (phase_ != Phase::Talking) return socket_->close();
  settle_reply(Received::Perhaps);
  if (stream_ && !stream_->established()) {
    record_handshake();
    record_.tls_error = error.text;
    if (score_) score_->gave_up(*stream_, record_.tls_error, SessionScore::End::Reset);
  }
  if (score_) score_->ended(SessionScore::End::Reset);
  close_now("connection lost: " + error.text);
}

void Inbound::shut_down() {
  shutting_down_ = true;
  if (phase_ != Phase::Talking) return;
  if (smtp_) smtp_->shut_down();
  // Who has not been greeted yet, or has a handshake under way, hears of it then, for a sender whose handshake is cut off may
  // come back in clear. Both have a time limit.
  pump();
}

void Inbound::close_unless_awaiting_outcome() {
  if (phase_ != Phase::Talking) return socket_->close();
  if (!smtp_ || !smtp_->awaiting_outcome()) close_now("shutting down");
}

void Inbound::close_politely(std::string outcome) {
  if (phase_ != Phase::Talking) return;
  if (answered_ && socket_->acknowledged()) settle_reply(Received::Surely);  // our last words are not, yet
  flush_replies();
  if (stream_ && stream_->established()) stream_->close();
  flush_records();
  end(std::move(outcome));
  socket_->close_when_sent(last_words_within);
}

void Inbound::close_now(std::string outcome) {
  end(std::move(outcome));
  socket_->close();
}

void Inbound::end(std::string outcome) {
  if (score_) score_->ended(peer_ended_ ? SessionScore::End::Closed : SessionScore::End::Ours);
  phase_ = Phase::Closing;
  record_.outcome = std::move(outcome);
  settle_reply(socket_->acknowledged() ? Received::Surely : Received::Perhaps);
  if (transaction_) transaction_->abandoned();
  transaction_.reset();
  if (relaying_) relaying_->leave();
  timer_.stop();
}

void Inbound::on_closed() {
  finish_record();
  --services_.counters.sessions_open;
  services_.directory.closed(id_);  // destroys this session
}

void Inbound::finish_record() {
  record_ = view().record;
  services_.journal.record(record_);
  const bool greeted = smtp_ && !smtp_->client_name().empty();
  if (score_) score_->finish(record_, dns_name_, greeted ? SessionScore::Hello::Said : SessionScore::Hello::Missing);
  if (refusals_ > refusals_told_max) {
    services_.journal.note(observe::Level::Info, fmt::format("{}: {}: {} more commands were refused", record_.id,
                                                             peer_.text(), refusals_ - refusals_told_max));
  }
}

SessionView Inbound::view() const {
  SessionView made{record_, "idle"};
  if (smtp_) made.record.client_name = smtp_->client_name();
  made.record.total = services_.loop.now() - accepted_at_;
  if (phase_ == Phase::Closing) {
    made.doing = "closing";
  } else if (stream_ && !stream_->established()) {
    made.doing = "handshake";
  } else if (smtp_ && smtp_->awaiting_outcome()) {
    made.doing = "delivery";
  } else if (smtp_ && smtp_->in_transaction()) {
    made.doing = "transaction";
  }
  return made;
}

bool mentions(const SessionView& view, std::string_view text) {
  const auto& record = view.record;
  const std::string peer = record.peer.text(), local = record.local.text();
  for (const std::string_view where : {std::string_view(record.id), std::string_view(peer), std::string_view(local),
                                       std::string_view(record.client_name), std::string_view(record.sni), view.doing}) {
    if (where.find(text) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace postern::session
