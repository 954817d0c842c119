// What an inbound session does when an MTA behind it decides: it carries commands to session/relaying and answers back,
// and keeps the log.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/session/inbound.h"

namespace postern::session {

/// Decides, as far as it is known, who will take the mail of this session.
const delivery::BackendSettings* Inbound::session_backend(const RunSettings& settings) const {
  return settings.routes->session_backend(DnsName::parse(record_.sni), settings.listeners.at(listener_).backend);
}

smtp::Authority Inbound::authority(const RunSettings& settings) const {
  const auto* decided = session_backend(settings);
  const bool passes = decided != nullptr ? decided->pass_through.has_value() : settings.routes->domains_pass_through();
  return passes ? smtp::Authority::Backend : smtp::Authority::Self;
}

RelayedClient Inbound::relayed_client() const {
  RelayedClient client;
  client.source = peer_;
  client.destination = record_.local;
  client.id = record_.id;
  client.name = dns_name_;
  if (may_name_clients()) {
    client.offers = {fmt::format("XCLIENT {}", proxy::xclient_attributes), fmt::format("XFORWARD {}", proxy::xforward_attributes)};
  }
  if (!record_.tls) return client;
  client.server_name = record_.sni;
  client.alpn = stream_->facts().alpn;
  client.tls = proxy::TlsFacts{proxy::TlsFacts::Verified::NotAsked, record_.tls_version, record_.tls_cipher, {}};
  return client;
}

void Inbound::start_relaying(std::shared_ptr<const RunSettings> settings, smtp::TlsState tls) {
  const auto* decided = session_backend(*settings);
  Relaying::Surroundings surroundings{services_.loop, services_.relay_backends,
                                      [&directory = services_.directory, id = id_] {
                                        if (Inbound* session = directory.find(id)) session->pump();
                                      }};
  relaying_ = std::make_unique<Relaying>(std::move(surroundings), std::move(settings), decided, relayed_client(), tls,
                                         hostname_);
}

/// Behind STARTTLS the server name may have decided otherwise than the listener.
void Inbound::reroute_after_tls(std::shared_ptr<const RunSettings> settings) {
  const auto decides = authority(*settings);
  smtp_->set_authority(decides);
  if (decides == smtp::Authority::Self) {
    if (relaying_) std::exchange(relaying_, nullptr)->leave();
    return;
  }
  const auto* decided = session_backend(*settings);
  if (!relaying_) start_relaying(settings, smtp::TlsState::Active);
  relaying_->tls_started(std::move(settings), decided, relayed_client(), hostname_);
}

/// True when there was something to do.
bool Inbound::handle_relay_action() {
  const auto action = relaying_->next();
  if (action) std::visit([this](const auto& a) { handle(a); }, *action);
  return action.has_value();
}

void Inbound::handle(const smtp::CommandOffered& event) {
  const Instant now = services_.loop.now();
  if (event.from) {
    transaction_ = new_transaction(*event.from, {});
  }
  if (!event.to) return relaying_->machine().handle(event, nullptr, now);
  const relay::Route route = relaying_->route(*event.to);
  relayed_recipients_.push_back({event.number, *event.to, transaction_});
  relaying_->machine().handle(event, &route, now);
}

void Inbound::handle(const smtp::ChunkComplete& event) { relaying_->machine().handle(event, services_.loop.now()); }

void Inbound::relay_text(const smtp::BodyChunk& chunk) {
  const Instant now = services_.loop.now();
  if (writes_received_field() && transaction_ && relaying_->machine().before_text()) {
    const std::string field = received_field();
    relaying_->machine().handle(smtp::BodyChunk{field}, now);
  }
  if (transaction_) transaction_->look_at(chunk.bytes);
  relaying_->machine().handle(chunk, now);
}

void Inbound::relay_end(const smtp::MessageComplete& event) {
  record_.octets += event.octets;
  relayed_outcome_ = {event.number, event.octets};
  relaying_->machine().handle(event, services_.loop.now());
}

void Inbound::handle(const relay::Answer& action) {
  const Instant now = services_.loop.now();
  const std::string backend = relaying_->machine().backend();
  const auto asked = std::find_if(relayed_recipients_.begin(), relayed_recipients_.end(),
                                  [&action](const RelayedRecipient& r) { return r.number == action.number; });
  if (asked != relayed_recipients_.end()) {
    if (asked->transaction && action.reply.positive()) {
      asked->transaction->note_recipient(asked->to, backend);
      ++record_.recipients;
    } else if (asked->transaction) {
      asked->transaction->refuse(asked->to, backend, action.reply);
    }
    relayed_recipients_.erase(asked);
  }
  if (relayed_outcome_ && relayed_outcome_->number == action.number) {
    if (transaction_) transaction_->settle(action.reply, relayed_outcome_->octets);
    services_.counters.count_message(action.reply.code);
    services_.counters.message_octets += relayed_outcome_->octets;
    if (action.reply.positive()) ++record_.messages;
    relayed_outcome_.reset();
    transaction_.reset();
  }
  smtp_->answer(action.number, action.reply, now);
}

void Inbound::handle(const relay::AnswerHello& action) {
  smtp_->allow(action.passing);
  smtp_->answer(action.number, action.reply, services_.loop.now());
}

void Inbound::handle(const relay::Greet& action) {
  start_session(action.greeting);
  if (!action.greeting.positive()) close_politely("the backend refused the session");
}

void Inbound::handle(const relay::Trouble& action) {
  std::vector<std::string> addresses;
  if (transaction_) addresses = transaction_->addresses();
  for (const RelayedRecipient& open : relayed_recipients_) addresses.push_back(open.to.text());
  services_.journal.tell({.level = observe::Level::Warning,
                          .message = record_.id + ": backend " + action.backend + ": " + action.text,
                          .addresses = std::move(addresses),
                          .topic = "backend " + action.backend + ": " + action.text});
}

}  // namespace postern::session
