#include "daemon/session/inbound.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <variant>

#include "certs/chooser.h"
#include "smtp/replies.h"
#include "smtp/trace.h"

namespace postern::session {

namespace {

constexpr std::size_t unsent_octets_max = 64 * 1024;  // replies a client does not fetch, before it is not read any more
constexpr Duration last_words_within = std::chrono::seconds(5);  // for the client to take our last replies

smtp::Smuggling smuggling_for(const smtp::SmtpSettings& settings, const IpAddress& client) {
  const bool exempt = std::any_of(settings.smuggling_exempt.begin(), settings.smuggling_exempt.end(),
                                  [&](const Network& network) { return network.contains(client); });
  return exempt ? smtp::Smuggling::Normalize : settings.smuggling;
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
  services_.counters.sessions_open.fetch_add(1, std::memory_order_relaxed);
  services_.counters.sessions_total.fetch_add(1, std::memory_order_relaxed);
  switch (services_.settings.get()->listeners.at(listener_).tls) {
    case ListenerTls::None: start_smtp(smtp::TlsState::Unavailable); break;
    case ListenerTls::Starttls: start_smtp(smtp::TlsState::Offered); break;
    case ListenerTls::Implicit: start_tls(); break;
  }
  pump();
}

Inbound::~Inbound() = default;

void Inbound::start_smtp(smtp::TlsState tls) {
  const RunSettings& settings = *services_.settings.get();
  smtp::ServerOptions options;
  options.hostname = settings.listeners.at(listener_).hostname_at(record_.local.address);
  options.tls = tls;
  options.extensions = extensions();
  options.smuggling = smuggling_for(settings.smtp, peer_.address);
  options.strict = settings.smtp.strict;
  options.limits = settings.smtp.limits;
  options.timeouts = settings.smtp.timeouts;
  smtp_.emplace(std::move(options), services_.loop.now());
  if (shutting_down_) smtp_->shut_down();
}

smtp::Extensions Inbound::extensions() const {
  smtp::Extensions offered;
  offered.smtputf8 = services_.backends.all_offer_smtputf8();
  return offered;
}

void Inbound::start_tls() {
  const auto generation = services_.tls.get();
  const auto settings = services_.settings.get();
  const ListenerSettings& listener = settings->listeners.at(listener_);
  auto chooser = std::make_shared<certs::Chooser>(generation->snapshot, listener_.text(),
                                                  listener.default_certificate_at(record_.local.address),
                                                  generation->default_snapshot);
  stream_ = tls::Stream::server(generation->contexts.at(listener_), std::move(chooser));
  handshake_began_ = services_.loop.now();
  handshake_deadline_ = handshake_began_ + settings->smtp.timeouts.handshake;
}

void Inbound::pump() {
  if (pumping_ || phase_ != Phase::Talking) return;
  pumping_ = true;
  while (handle_smtp_events() && stream_ && handle_one_stream_event()) {
  }
  pumping_ = false;
  if (phase_ != Phase::Talking) return;
  flush();
  update_reading();
  rearm_timer();
}

bool Inbound::wants_input() const {
  const bool handshaking = stream_ && !stream_->established();
  return phase_ == Phase::Talking && (handshaking || smtp_->wants_input());
}

/// True when more plaintext is welcome.
bool Inbound::handle_smtp_events() {
  while (phase_ == Phase::Talking && smtp_) {
    const auto event = smtp_->next();
    if (!event) break;
    std::visit([this](const auto& e) { handle(e); }, *event);
  }
  return wants_input();
}

bool Inbound::handle_one_stream_event() {
  const auto event = stream_->next();
  if (event) std::visit([this](const auto& e) { handle(e); }, *event);
  return event.has_value() && phase_ == Phase::Talking;
}

void Inbound::handle(const smtp::SenderOffered& event) {
  transaction_ = Transaction::make(services_.settings.get(), event.from, event.parameters, transaction_facts(),
                                   services_.journal, services_.loop.now());
  smtp_->answer(event.number, smtp::replies::sender_ok, services_.loop.now());
}

void Inbound::handle(const smtp::RecipientOffered& event) {
  assert(transaction_);
  const auto route = transaction_->settings().routes->route(event.to);
  if (!route) {
    transaction_->refuse(event.to, "", route.error(), services_.loop.now());
    smtp_->answer(event.number, route.error(), services_.loop.now());
    return;
  }
  services_.backends.check(
      *route, transaction_->parameters(),
      [&directory = services_.directory, id = id_, number = event.number, asked = event.to,
       transaction = transaction_](const Checked& checked) {
        Inbound* session = directory.find(id);
        if (session != nullptr && session->transaction_ == transaction) {
          session->recipient_checked(number, asked, checked);
        }
      });
}

void Inbound::recipient_checked(smtp::EventNumber number, const smtp::ForwardPath& asked, const Checked& checked) {
  if (phase_ != Phase::Talking) return;
  if (checked.reply.positive()) {
    transaction_->accept(asked, checked.backend, checked.to);
    ++record_.recipients;
  } else {
    transaction_->refuse(asked, checked.backend, checked.reply, services_.loop.now());
  }
  smtp_->answer(number, checked.reply.positive() ? smtp::replies::recipient_ok : checked.reply, services_.loop.now());
  pump();
}

void Inbound::handle(const smtp::BodyOffered& event) {
  assert(transaction_);
  const RunSettings& settings = transaction_->settings();
  auto message = Message::make(services_.loop, services_.spill_pool, {settings.spill_at, settings.spill_dir});
  message->on_relief([&directory = services_.directory, id = id_] {
    if (Inbound* session = directory.find(id)) session->pump();
  });

  smtp::TraceFacts trace;
  trace.client_name = smtp_->client_name();
  trace.client_address = peer_.address;
  trace.by = settings.listeners.at(listener_).hostname_at(record_.local.address);
  trace.protocol = smtp_->protocol_name();
  trace.transaction = transaction_->id();
  trace.for_path = transaction_->only_recipient();
  trace.tls_version = record_.tls_version;
  trace.tls_cipher = record_.tls_cipher;
  trace.server_name = record_.sni;
  trace.time = uv::wall_time();
  transaction_->begin_message(std::move(message), smtp::received_field(trace));
  smtp_->answer(event.number, smtp::replies::start_input, services_.loop.now());
}

void Inbound::handle(const smtp::BodyChunk& event) { transaction_->append(event.bytes); }

void Inbound::handle(const smtp::MessageComplete& event) {
  record_.octets += event.octets;
  transaction_->message()->finish(
      [&directory = services_.directory, id = id_, number = event.number](const Result<void>& written) {
        if (Inbound* session = directory.find(id)) session->message_written(number, written);
      });
}

void Inbound::message_written(smtp::EventNumber number, const Result<void>& written) {
  if (phase_ != Phase::Talking) return;
  if (!written) return outcome_known(number, transaction_->fail_locally(written.error(), services_.loop.now()));
  transaction_->hand_off(services_.backends, services_.loop,
                         [&directory = services_.directory, &counters = services_.counters,
                          &journal = services_.journal, id = id_, number,
                          transaction = transaction_->id()](const smtp::Reply& reply) {
                           if (reply.positive()) counters.messages_taken.fetch_add(1, std::memory_order_relaxed);
                           Inbound* session = directory.find(id);
                           if (session != nullptr && session->phase_ == Phase::Talking) {
                             session->outcome_known(number, reply);
                           } else {
                             journal.note(observe::Level::Warning,
                                          transaction + ": the client was gone before it could be told: " + reply.text);
                           }
                         });
}

void Inbound::outcome_known(smtp::EventNumber number, const smtp::Reply& reply) {
  if (reply.positive()) ++record_.messages;
  transaction_.reset();
  smtp_->answer(number, reply, services_.loop.now());
  pump();
}

void Inbound::handle(const smtp::TransactionEnded& event) {
  if (transaction_ && event.refusal) transaction_->refuse_message(*event.refusal, services_.loop.now());
  transaction_.reset();
}

void Inbound::handle(const smtp::TlsRequested&) {
  flush();
  start_tls();
}

void Inbound::handle(const smtp::SessionClosing& event) { close_politely(std::string(smtp::to_string(event.why))); }

void Inbound::handle(const tls::Established&) {
  handshake_deadline_.reset();
  record_handshake();
  if (smtp_) {
    const auto settings = services_.settings.get();
    smtp_->tls_started(settings->listeners.at(listener_).hostname_at(record_.local.address), extensions(),
                       services_.loop.now());
  } else {
    start_smtp(smtp::TlsState::Active);
  }
}

void Inbound::handle(const tls::Plaintext& event) { smtp_->receive(event.bytes, services_.loop.now()); }

void Inbound::handle(const tls::PeerClosed&) {
  peer_ended_ = true;
  if (!smtp_) return close_now("TLS closed before the greeting");
  smtp_->end_of_input();
  handle_smtp_events();
}

void Inbound::handle(const tls::TlsFailed& event) {
  if (event.during_handshake) record_handshake();
  record_.tls_error = event.reason;
  close_politely(event.during_handshake ? "TLS handshake failed" : "TLS failed");
}

void Inbound::record_handshake() {
  record_.handshake = services_.loop.now() - handshake_began_;
  if (const tls::ClientHello* hello = stream_->hello()) record_.sni = hello->raw_server_name;
  const tls::Choice& choice = stream_->choice();
  if (choice.credential) {
    record_.sni_match = tls::to_string(choice.match);
    record_.certificate = choice.credential->leaf.subject + " (" + choice.credential->source + ")";
  }
  if (!stream_->established()) return;
  record_.tls = true;
  record_.tls_version = stream_->facts().version;
  record_.tls_cipher = stream_->facts().cipher;
  record_.resumed = stream_->facts().resumed;
  stream_->forget_handshake();
}

void Inbound::flush() {
  flush_replies();
  flush_records();
}

void Inbound::flush_replies() {
  if (!smtp_ || (stream_ && !stream_->established())) return;
  std::string replies = smtp_->take_output();
  if (!stream_) {
    socket_->send(std::move(replies));
  } else if (!replies.empty()) {
    stream_->send(replies);
  }
}

void Inbound::flush_records() {
  if (stream_) socket_->send(stream_->take_output());
}

void Inbound::update_reading() {
  const bool congested = transaction_ && transaction_->message() != nullptr && transaction_->message()->congested();
  const bool want = wants_input() && !congested && !peer_ended_ && socket_->unsent() <= unsent_octets_max;
  if (want == reading_) return;
  reading_ = want;
  if (want) {
    socket_->start_reading();
  } else {
    socket_->stop_reading();
  }
}

void Inbound::rearm_timer() {
  const auto next = handshake_deadline_ ? handshake_deadline_ : smtp_->deadline();
  if (next) {
    timer_.start_at(*next);
  } else {
    timer_.stop();
  }
}

void Inbound::on_timer() {
  if (phase_ != Phase::Talking) return;
  if (handshake_deadline_) {
    record_handshake();
    record_.tls_error = "the handshake took too long";
    return close_now("TLS handshake timed out");
  }
  smtp_->expire(services_.loop.now());
  pump();
}

void Inbound::on_bytes(std::string_view bytes) {
  if (phase_ != Phase::Talking) return;
  if (stream_) {
    stream_->receive(bytes);
  } else {
    smtp_->receive(bytes, services_.loop.now());
  }
  pump();
}

void Inbound::on_drained() {
  if (phase_ == Phase::Talking) update_reading();
}

void Inbound::on_end() {
  if (phase_ != Phase::Talking) return;
  peer_ended_ = true;
  if (stream_ && !stream_->established()) {
    record_handshake();
    record_.tls_error = "the client closed the connection";
    return close_now("TLS handshake failed");
  }
  smtp_->end_of_input();
  pump();
}

void Inbound::on_failure(const Error& error) {
  if (phase_ != Phase::Talking) return socket_->close();
  if (stream_ && !stream_->established()) {
    record_handshake();
    record_.tls_error = error.text;
  }
  close_now("connection lost: " + error.text);
}

void Inbound::shut_down() {
  shutting_down_ = true;
  if (phase_ != Phase::Talking) return;
  if (!smtp_ || (stream_ && !stream_->established())) return close_now("shutting down");
  smtp_->shut_down();
  pump();
}

void Inbound::close_unless_awaiting_outcome() {
  if (phase_ != Phase::Talking) return socket_->close();
  if (!smtp_ || !smtp_->awaiting_outcome()) close_now("shutting down");
}

void Inbound::close_politely(std::string outcome) {
  if (phase_ != Phase::Talking) return;
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
  phase_ = Phase::Closing;
  record_.outcome = std::move(outcome);
  transaction_.reset();
  timer_.stop();
}

void Inbound::on_closed() {
  finish_record();
  services_.counters.sessions_open.fetch_sub(1, std::memory_order_relaxed);
  services_.directory.closed(id_);  // destroys this session
}

void Inbound::finish_record() {
  if (smtp_) record_.client_name = smtp_->client_name();
  record_.total = services_.loop.now() - accepted_at_;
  services_.journal.record(record_);
}

observe::RecipientRecord Inbound::transaction_facts() {
  observe::RecipientRecord facts;
  facts.transaction = services_.ids.next();
  facts.session = record_.id;
  facts.peer = peer_;
  facts.client_name = smtp_->client_name();
  facts.tls_version = record_.tls_version;
  facts.tls_cipher = record_.tls_cipher;
  facts.sni = record_.sni;
  return facts;
}

}  // namespace postern::session
