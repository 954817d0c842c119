#include "daemon/session/relaying.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::session {

namespace {

using delivery::PassThrough;

constexpr std::size_t postfix_header_octets_max = 536;
constexpr std::size_t exim_header_octets_max = 232;

/// Whether the backend is told more of a client under TLS than of one in clear.
bool tells_tls(const PassThrough& settings) {
  return settings.identity == PassThrough::Identity::ProxyV2 && settings.profile == PassThrough::Profile::Postfix;
}

}  // namespace

Relaying::Relaying(Surroundings surroundings, std::shared_ptr<const RunSettings> settings,
                   const delivery::BackendSettings* decided, RelayedClient client, smtp::TlsState tls,
                   std::string hostname)
    : surroundings_(std::move(surroundings)),
      settings_(std::move(settings)),
      decided_(decided),
      client_(std::move(client)),
      hostname_(std::move(hostname)),
      machine_(options(tls)),
      timer_(surroundings_.loop, [this] {
        machine_.expire(surroundings_.loop.now());
        surroundings_.wake();
      }) {}

Relaying::~Relaying() {
  if (link_ != nullptr) link_->close({});
}

relay::RelayOptions Relaying::options(smtp::TlsState tls) const {
  using relay::OfferPolicy;
  relay::RelayOptions made;
  const auto backends = settings_->routes->reachable(decided_);
  made.offers = surroundings_.backends.offers(backends);
  made.hostname = hostname_;
  made.policy.own = client_.offers;
  made.policy.message_octets_max = settings_->smtp.limits.message_octets_max;
  if (tls == smtp::TlsState::Offered) made.policy.starttls = OfferPolicy::Starttls::Offered;
  if (!backends.empty()) made.policy.pass_extensions = backends.front()->pass_through->pass_extensions;
  for (const auto* backend : backends) {
    const auto& theirs = backend->pass_through->pass_extensions;
    std::erase_if(made.policy.pass_extensions, [&theirs](const std::string& mine) {
      return std::none_of(theirs.begin(), theirs.end(), [&mine](const auto& one) { return equals_ignoring_case(one, mine); });
    });
  }
  if (decided_ == nullptr) return made;
  made.backend = decided_->name;
  const PassThrough& settings = *decided_->pass_through;
  if (settings.connect == PassThrough::Connect::Early) made.timing = relay::Timing::Early;
  const bool may_log_in = settings.authentication == PassThrough::Authentication::Passed && tls == smtp::TlsState::Active;
  if (may_log_in) made.policy.authentication = OfferPolicy::Authentication::Passed;
  return made;
}

void Relaying::tls_started(std::shared_ptr<const RunSettings> settings, const delivery::BackendSettings* decided,
                           RelayedClient client, std::string hostname) {
  const bool same = decided_ != nullptr && decided != nullptr && decided->name == decided_->name;
  const bool keeps = same && !tells_tls(*decided->pass_through);
  settings_ = std::move(settings);
  decided_ = decided;
  client_ = std::move(client);
  hostname_ = std::move(hostname);
  machine_.tls_started(options(smtp::TlsState::Active),
                       keeps ? relay::Relay::Link::Keep : relay::Relay::Link::Renew);
}

relay::Route Relaying::route(const smtp::ForwardPath& to) const {
  const auto route = settings_->routes->route(to);
  if (!route) return tl::unexpected(route.error());
  return route->backend->name;
}

const delivery::BackendSettings* Relaying::backend() const {
  const auto* linked = settings_->routes->find(machine_.backend());
  return linked != nullptr ? linked : decided_;
}

std::optional<relay::Action> Relaying::next() {
  while (auto action = machine_.next()) {
    if (const auto* connect = std::get_if<relay::Connect>(&*action)) {
      dial(*connect);
    } else if (const auto* disconnect_now = std::get_if<relay::Disconnect>(&*action)) {
      disconnect(*disconnect_now);
    } else if (auto* learnt = std::get_if<relay::Learnt>(&*action)) {
      surroundings_.backends.learnt(learnt->backend, std::move(learnt->offers));
    } else {
      return action;
    }
  }
  return std::nullopt;
}

void Relaying::flush() {
  if (link_ != nullptr) link_->send(machine_.take_output());
  watch_time();
}

void Relaying::leave() {
  machine_.leave();
  while (auto action = machine_.next()) {
    if (const auto* last = std::get_if<relay::Disconnect>(&*action)) disconnect(*last);
  }
  timer_.stop();
}

void Relaying::named(const ClientDnsName& name) {
  client_.name = name;
  if (const auto connect = std::exchange(waiting_for_name_, std::nullopt)) dial(*connect);
}

void Relaying::dial(const relay::Connect& connect) {
  const auto* backend = settings_->routes->find(connect.backend);
  if (!client_.name && backend->pass_through->identity == PassThrough::Identity::Xclient) {
    // It decides by this name, and takes what it is told first for the truth.
    waiting_for_name_ = connect;
    return;
  }
  if (connect.attempt == 0) targets_ = surroundings_.backends.targets(*backend);
  if (connect.attempt > 0 && target_) surroundings_.backends.target_failed(*target_);
  if (connect.attempt >= targets_.size()) {
    return machine_.connect_failed("no target is left to be tried", surroundings_.loop.now());
  }
  target_ = targets_[connect.attempt];
  greeted_ = false;
  link_ = &surroundings_.backends.dial(*target_, backend->timeouts, *this);
}

void Relaying::disconnect(const relay::Disconnect& disconnect) {
  waiting_for_name_.reset();
  if (link_ != nullptr) std::exchange(link_, nullptr)->close(disconnect.last_words);
}

relay::BackendOptions Relaying::identity(const delivery::BackendSettings& backend) const {
  const PassThrough& settings = *backend.pass_through;
  relay::BackendOptions made;
  made.hostname = hostname_;
  made.timeouts = {backend.timeouts.command, backend.timeouts.command, backend.timeouts.after_dot};
  if (settings.identity == PassThrough::Identity::Xclient) {
    proxy::ClientIdentity identity;
    identity.address = client_.source.address;
    identity.port = client_.source.port;
    tell_name(*client_.name, identity);
    identity.destination_address = client_.destination.address;
    identity.destination_port = client_.destination.port;
    made.xclient = std::move(identity);
    return made;
  }
  proxy::Header header;
  header.source = client_.source;
  header.destination = client_.destination;
  if (tells_tls(settings)) {
    header.authority = client_.server_name;
    header.alpn = client_.alpn;
    header.tls = client_.tls;
    header.unique_id = client_.id;
  }
  const bool exim = settings.profile == PassThrough::Profile::Exim;
  made.preamble = settings.identity == PassThrough::Identity::ProxyV1
                      ? proxy::render_v1(header)
                      : proxy::render_v2(header, exim ? exim_header_octets_max : postfix_header_octets_max);
  return made;
}

void Relaying::on_link_connected() {
  machine_.connected(identity(*backend()), surroundings_.loop.now());
  surroundings_.wake();
}

void Relaying::on_link_bytes(std::string_view bytes) {
  if (!std::exchange(greeted_, true) && target_) surroundings_.backends.target_works(*target_);
  machine_.receive(bytes, surroundings_.loop.now());
  surroundings_.wake();
}

void Relaying::on_link_lost(const std::string& why) {
  link_ = nullptr;
  machine_.connection_lost(why, surroundings_.loop.now());
  surroundings_.wake();
}

void Relaying::watch_time() {
  if (const auto due = machine_.deadline()) {
    timer_.start_at(*due);
  } else {
    timer_.stop();
  }
}

}  // namespace postern::session
