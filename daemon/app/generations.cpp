#include "daemon/app/generations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace postern::app {

namespace {

session::ListenerTls tls_mode(config::ListenerTls tls) {
  switch (tls) {
    case config::ListenerTls::None: return session::ListenerTls::None;
    case config::ListenerTls::Starttls: return session::ListenerTls::Starttls;
    case config::ListenerTls::Implicit: return session::ListenerTls::Implicit;
  }
  return session::ListenerTls::None;
}

session::ListenerProtocol protocol(config::ListenerProtocol protocol) {
  switch (protocol) {
    case config::ListenerProtocol::Smtp: return session::ListenerProtocol::Smtp;
    case config::ListenerProtocol::MtaSts: return session::ListenerProtocol::MtaSts;
    case config::ListenerProtocol::Acme: return session::ListenerProtocol::Acme;
    case config::ListenerProtocol::Admin: break;  // is in no RunConfig
  }
  return session::ListenerProtocol::Smtp;
}

session::ListenerSettings listener_settings(const config::Listener& listener) {
  session::ListenerSettings made;
  made.protocol = protocol(listener.protocol);
  made.tls = tls_mode(listener.tls);
  made.hostname = listener.hostname;
  made.greet_as = listener.greet_as == config::GreetAs::Sni ? session::GreetAs::Sni : session::GreetAs::Hostname;
  made.default_certificate = listener.default_certificate;
  for (const auto& [address, local] : listener.local) {
    made.local[address] = {local.hostname, local.default_certificate};
  }
  made.webroot = listener.webroot;
  made.backend = listener.backend;
  made.trusted_proxies = listener.trusted_proxies;
  made.xclient_from = listener.xclient_from;
  const bool required = listener.proxy_protocol == config::ProxyProtocol::Required;
  if (required) made.proxy_protocol = session::ProxyProtocol::Required;
  made.origin = listener.origin;
  return made;
}

std::shared_ptr<const report::MxTable> mx_table(const std::vector<delivery::DomainSettings>& domains) {
  auto made = std::make_shared<report::MxTable>();
  for (const auto& domain : domains) {
    if (domain.name) made->add(*domain.name, domain.mx);
  }
  return made;
}

}  // namespace

std::vector<Endpoint> listening_addresses(const config::RunConfig& run) {
  std::vector<Endpoint> addresses;
  for (const config::Listener& listener : run.listeners) {
    addresses.insert(addresses.end(), listener.addresses.begin(), listener.addresses.end());
  }
  return addresses;
}

std::shared_ptr<session::RunSettings> make_run_settings(const config::RunConfig& run, std::uint64_t generation,
                                                        const std::string& spill_dir,
                                                        const session::RunSettings* previous,
                                                        const std::vector<Endpoint>& bound) {
  auto made = std::make_shared<session::RunSettings>();
  made->generation = generation;
  for (const config::Listener& listener : run.listeners) {
    for (const Endpoint& address : listener.addresses) made->listeners[address] = listener_settings(listener);
  }
  if (previous != nullptr) {
    for (const Endpoint& address : bound) made->listeners.try_emplace(address, previous->listeners.at(address));
  }
  made->smtp = run.smtp;
  made->reverse_dns = run.reverse_dns;
  made->reverse_dns_within = run.reverse_dns_within;
  made->offer = run.offer;
  made->binarymime = run.binarymime;
  made->connection_limits = {run.connection_limits.connections, run.connection_limits.connections_per_address,
                             run.connection_limits.connections_per_network};
  made->final_deadline = run.final_deadline;
  made->drain = run.drain;
  made->drain_notice = run.drain_notice;
  made->spill_at = run.spill_at;
  made->spill_dir = run.spill_dir.empty() ? spill_dir : run.spill_dir;
  made->message_memory_max = run.message_memory_max;
  made->spill_octets_max = run.spill_octets_max;
  made->ledger = run.ledger;
  made->policies = run.policies;
  made->score = run.score;
  made->mx = mx_table(run.domains);
  made->recipient_checks = run.recipient_checks;
  made->harvest = run.harvest;
  made->routes = std::make_shared<const delivery::RouteTable>(run.backends, run.domains, run.postmaster, run.routes);
  return made;
}

Result<std::shared_ptr<session::TlsGeneration>> make_tls_generation(
    const session::RunSettings& settings, tls::TlsSettings tls,
    const std::shared_ptr<const tls::TicketKeyring>& ticket_keys) {
  tls.rsa_keys = tls::RsaKeys::Outside;  // the key pool
  auto made = std::make_shared<session::TlsGeneration>();
  for (const auto& [address, listener] : settings.listeners) {
    if (listener.tls == session::ListenerTls::None) continue;
    const bool https = listener.protocol == session::ListenerProtocol::MtaSts;
    auto context =
        tls::ServerContext::make(tls, https ? tls::Application::Https : tls::Application::Smtp, ticket_keys);
    if (!context) return fail("{}: {}", address.text(), context.error().text);
    made->contexts[address] = std::move(*context);
  }
  return made;
}

std::vector<std::string> unresolved_defaults(const session::RunSettings& settings, const certs::Snapshot& snapshot) {
  std::vector<std::string> sentences;
  const auto look = [&](const std::string& origin, const std::string& key, const std::string& name) {
    if (snapshot.find_default(name) != nullptr) return;
    auto sentence = fmt::format("{}: {}: \"{}\" is neither the id of a usable [[certificate]] nor a name that a usable "
                                "certificate covers",
                                origin, key, name);
    // A [[listen]] with several addresses is wrong once.
    if (std::find(sentences.begin(), sentences.end(), sentence) == sentences.end()) {
      sentences.push_back(std::move(sentence));
    }
  };
  for (const auto& [address, listener] : settings.listeners) {
    if (listener.tls == session::ListenerTls::None) continue;
    look(listener.origin, "listen.default_certificate", listener.default_certificate);
    for (const auto& [local_address, local] : listener.local) {
      if (!local.default_certificate) continue;
      look(listener.origin, fmt::format("listen.local.{}.default_certificate", local_address.text()),
           *local.default_certificate);
    }
  }
  return sentences;
}

}  // namespace postern::app
