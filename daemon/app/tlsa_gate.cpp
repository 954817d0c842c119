#include "daemon/app/tlsa_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "mtasts/tlsa.h"
#include "tls/public_key.h"

namespace postern::app {

namespace {

using mtasts::TlsaAtServer;
using mtasts::TlsaHold;

constexpr std::size_t names_max = 100;          // of one certificate
constexpr std::chrono::minutes forgotten_after{10};  // nobody asks any more: it is served, or its files are others

TlsaAtServer judged(const TlsaAsker::Said& said, const std::vector<std::string>& chain) {
  TlsaAtServer made;
  made.server = said.address.empty() ? said.server : fmt::format("{} ({})", said.server, said.address);
  if (!said.answer) return made;
  made.ttl = std::chrono::seconds(said.answer->ttl_seconds);
  bool usable = false, covers = false;
  for (const dns::TlsaRecord& record : said.answer->tlsa) {
    if (!mtasts::is_usable(record)) continue;
    usable = true;
    covers = covers || mtasts::matched_certificate(record, chain);
  }
  // An alias into another zone, of which this server knows nothing, has a TTL and no record.
  const bool alias = said.answer->tlsa.empty() && said.answer->ttl_seconds > 0;
  if (!alias) made.says = covers ? TlsaAtServer::Says::Covers : usable ? TlsaAtServer::Says::Lacks : TlsaAtServer::Says::None;
  return made;
}

/// An address that gives no answer is left out when another one of the same server did: not everybody has IPv6.
std::vector<TlsaAtServer> judged(const std::vector<TlsaAsker::Said>& said, const std::vector<std::string>& chain) {
  std::vector<TlsaAtServer> servers;
  for (const auto& each : said) {
    const bool answers_elsewhere = !each.answer && std::any_of(said.begin(), said.end(), [&](const auto& other) {
      return other.server == each.server && other.answer.has_value();
    });
    if (!answers_elsewhere) servers.push_back(judged(each, chain));
  }
  return servers;
}

std::vector<std::string> der_of(const tls::Chain& chain) {
  std::vector<std::string> made;
  for (const auto& certificate : chain) {
    made.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(certificate.get())), CRYPTO_BUFFER_len(certificate.get()));
  }
  return made;
}

}  // namespace

TlsaGate::TlsaGate(uv::Loop& loop, std::vector<Endpoint> dns_servers, const Publisher<session::RunSettings>& settings,
                   session::Journal& journal)
    : loop_(loop),
      settings_(settings),
      journal_(journal),
      asker_(std::make_unique<TlsaAsker>(loop, std::move(dns_servers))),
      timer_(std::make_unique<uv::Timer>(loop, [this] { look(); })) {}

void TlsaGate::stop() {
  timer_.reset();
  asker_.reset();
}

/// The names of the certificate under which mail is sent here.
std::vector<DnsName> TlsaGate::mx_names(const tls::LeafFacts& leaf) const {
  const auto mx = settings_.current()->mx;
  std::vector<DnsName> names;
  for (const DnsName& name : leaf.names) {
    if (names.size() < names_max && mx->has_host(name)) names.push_back(name);
  }
  if (leaf.wildcards.empty()) return names;
  for (const auto& [domain, hosts] : mx->all()) {
    for (const DnsName& host : *hosts) {
      const bool known = names.size() >= names_max || std::find(names.begin(), names.end(), host) != names.end();
      if (!known && leaf.covers(host)) names.push_back(host);
    }
  }
  return names;
}

std::optional<TlsaGate::Held> TlsaGate::begin(const tls::Credential& renewed, const tls::Credential& served,
                                              WallTime now) const {
  const auto names = mx_names(renewed.leaf);
  if (names.empty()) return std::nullopt;
  Held made;
  if (renewed.deferred) {
    const auto whole = renewed.deferred->read(renewed);
    if (!whole) return std::nullopt;  // it cannot be served either, and the loader says so
    made.chain = der_of((*whole)->chain);
  } else {
    made.chain = der_of(renewed.chain);
  }
  if (made.chain.empty()) return std::nullopt;
  if (const auto key = tls::public_key_info_of_der(made.chain.front())) made.record = mtasts::tlsa_of_key(*key).text();
  made.source = renewed.source;
  for (const DnsName& name : names) made.names.push_back({name, TlsaHold(now, served.leaf.not_after)});
  return made;
}

std::optional<std::string> TlsaGate::ask(const tls::Credential& renewed, const tls::Credential& served) {
  const WallTime now = uv::wall_time();
  const std::lock_guard lock(mutex_);
  auto found = held_.find(renewed.leaf.fingerprint);
  if (found == held_.end()) {
    auto begun = begin(renewed, served, now);
    if (!begun) return std::nullopt;
    found = held_.emplace(renewed.leaf.fingerprint, std::move(*begun)).first;
    loop_.post([self = shared_from_this()] { self->look(); });
  }
  Held& held = found->second;
  held.asked_at = now;
  for (const Name& name : held.names) {
    if (name.hold.standing() != TlsaHold::Standing::Held) continue;
    return fmt::format("a renewed certificate waits for its TLSA records ({} TLSA {}), until {} at the latest: {}",
                       mtasts::tlsa_owner(name.name), held.record, rfc3339(name.hold.deadline()), name.hold.why());
  }
  return std::nullopt;
}

/// Begins the looks that are due.
void TlsaGate::look() {
  if (!timer_) return;
  const WallTime now = uv::wall_time();
  std::optional<WallTime> next;
  const std::lock_guard lock(mutex_);
  std::erase_if(held_, [now](const auto& each) { return each.second.asked_at + forgotten_after < now; });
  for (auto& [fingerprint, held] : held_) {
    for (std::size_t number = 0; number < held.names.size(); ++number) {
      Name& name = held.names[number];
      if (name.looking || name.hold.standing() != TlsaHold::Standing::Held) continue;
      if (name.hold.next_look() > now) {
        next = std::min(next.value_or(name.hold.next_look()), name.hold.next_look());
        continue;
      }
      name.looking = true;
      asker_->ask(name.name, [this, leaf = fingerprint, number](const std::vector<TlsaAsker::Said>& said) {
        looked(leaf, number, said);
      });
    }
  }
  if (next) timer_->start_at(loop_.now() + (*next - now));
}

void TlsaGate::looked(const tls::Digest& fingerprint, std::size_t number, const std::vector<TlsaAsker::Said>& said) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(fingerprint);
    if (found == held_.end()) return;
    Held& held = found->second;
    Name& name = held.names[number];
    name.hold.looked(judged(said, held.chain), uv::wall_time());
    name.looking = false;
    tell(held, name);
  }
  look();
}

/// The loader says why a certificate is held, and that another one is served; here is said what let it go.
void TlsaGate::tell(const Held& held, const Name& name) {
  if (name.hold.standing() == TlsaHold::Standing::Held) return;
  if (name.hold.standing() == TlsaHold::Standing::Free) {
    return journal_.note(observe::Level::Info, fmt::format("{}: {} may be served with its new key: {}", held.source,
                                                           name.name.text(), name.hold.why()));
  }
  journal_.note(observe::Level::Error,
                fmt::format("{}: {} is served with its new key although senders that follow DANE will refuse it: {}; publish "
                            "{} TLSA {} now",
                            held.source, name.name.text(), name.hold.why(), mtasts::tlsa_owner(name.name), held.record));
}

}  // namespace postern::app
