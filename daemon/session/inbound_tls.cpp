// What an inbound session does about TLS: the handshake, its record, and how it ends.
#include <memory>
#include <utility>

#include "daemon/session/inbound.h"

namespace postern::session {

void Inbound::start_tls() {
  const auto settings = services_.settings.get();
  stream_ = accept_tls(services_.handshakes, *services_.tls.get(), *settings, listener_, record_.local.address, "smtp");
  handshake_began_ = services_.loop.now();
  handshake_deadline_ = handshake_began_ + settings->smtp.timeouts.handshake;
}

/// True when there may be another at once.
bool Inbound::handle_one_stream_event() {
  if (const auto event = stream_->next()) {
    std::visit([this](const auto& e) { handle(e); }, *event);
    return phase_ == Phase::Talking;
  }
  auto operation = stream_->take_key_operation();
  if (!operation) return false;
  handshake_in_pool_ = use_key(services_.handshakes, *stream_, std::move(*operation), pool_done());
  return !handshake_in_pool_;
}

void Inbound::handle(const tls::NeedsCredential& event) {
  handshake_in_pool_ = fetch_credential(services_.handshakes, *stream_, event, pool_done());
}

Later Inbound::pool_done() {
  return [&directory = services_.directory, id = id_](const Completion& complete) {
    if (Inbound* session = directory.find(id)) session->complete_handshake(complete);
  };
}

void Inbound::complete_handshake(const Completion& complete) {
  if (phase_ != Phase::Talking) return;
  handshake_in_pool_ = false;
  complete(*stream_);
  pump();
}

void Inbound::handle(const smtp::TlsRequested&) {
  flush();
  start_tls();
}

void Inbound::handle(const tls::Established&) {
  handshake_deadline_.reset();
  hostname_ = name_over_tls();
  record_handshake();
  services_.journal.established(record_);
  if (score_) score_->established(*stream_);
  if (smtp_) {
    smtp_->tls_started(hostname_, extensions(), services_.loop.now());
    reroute_after_tls(services_.settings.get());
  } else {
    start_smtp(smtp::TlsState::Active);
  }
}

/// Before the handshake is forgotten.
std::string Inbound::name_over_tls() const {
  const auto settings = services_.settings.get();
  const ListenerSettings& listener = settings->listeners.at(listener_);
  const tls::ClientHello* hello = stream_->hello();
  const bool ours = hello != nullptr && hello->server_name && stream_->choice().match != tls::Match::Default;
  return listener.greet_as == GreetAs::Sni && ours ? hello->server_name->text()
                                                   : listener.hostname_at(record_.local.address);
}

void Inbound::handle(const tls::Plaintext& event) {
  // Until now: an alert may come instead, and what was offered is worth knowing then.
  stream_->forget_handshake();
  if (smtp_) smtp_->receive(event.bytes, services_.loop.now());
}

void Inbound::handle(const tls::PeerClosed&) {
  peer_ended_ = true;
  if (!smtp_) return close_now("TLS closed before the greeting");
}

void Inbound::handle(const tls::TlsFailed& event) {
  if (event.during_handshake) record_handshake();
  record_.tls_error = event.reason;
  if (score_) score_->broke(*stream_, event.reason, event.alert_received, event.alert_sent);
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
}

void Inbound::on_timer() {
  if (phase_ != Phase::Talking) return;
  if (proxy_deadline_) return close_now("no PROXY header in time");
  if (handshake_deadline_) {
    record_handshake();
    record_.tls_error = "the handshake took too long";
    if (score_) score_->gave_up(*stream_, record_.tls_error, SessionScore::End::Ours);
    return close_now("TLS handshake timed out");
  }
  smtp_->expire(services_.loop.now());
  pump();
}

}  // namespace postern::session
