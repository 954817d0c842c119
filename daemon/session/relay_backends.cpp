#include "daemon/session/relay_backends.h"

#include <algorithm>
#include <utility>

#include "proxy/header.h"
#include "relay/backend_session.h"

namespace postern::session {

namespace {

constexpr Duration failed_target_rests = std::chrono::seconds(10);
constexpr Duration probe_again_after = std::chrono::seconds(30);

std::string local_preamble(const delivery::PassThrough& settings) {
  proxy::Header header;
  header.command = proxy::Header::Command::Local;
  using Identity = delivery::PassThrough::Identity;
  switch (settings.identity) {
    case Identity::ProxyV1: return proxy::render_v1(header);
    case Identity::ProxyV2: return proxy::render_v2(header, proxy::header_octets_max);
    case Identity::Xclient: break;
  }
  return {};
}

}  // namespace

/// A connection of our own, to hear what a backend offers before the first client asks.
class RelayBackends::Probe final : private RelayLink::Owner {
 public:
  Probe(RelayBackends& backends, const delivery::BackendSettings& backend)
      : backends_(backends),
        name_(backend.name),
        preamble_(local_preamble(*backend.pass_through)),
        timer_(backends.loop_, [this] { expired(); }) {
    link_ = &backends_.dial(backends_.targets(backend).front(), backend.timeouts, *this);
    timeouts_ = {backend.timeouts.command, backend.timeouts.command, backend.timeouts.after_dot};
  }
  ~Probe() override {
    if (link_ != nullptr) link_->close({});
  }

  bool done() const { return link_ == nullptr; }

 private:
  void on_link_connected() override {
    session_.emplace(relay::BackendOptions{preamble_, std::nullopt, {}, timeouts_}, backends_.loop_.now());
    pump();
  }

  void on_link_bytes(std::string_view bytes) override {
    session_->receive(bytes, backends_.loop_.now());
    pump();
  }

  void on_link_drained() override {}
  void on_link_lost(const std::string&) override { end(); }

  void expired() {
    session_->expire(backends_.loop_.now());
    pump();
  }

  void pump() {
    const Instant now = backends_.loop_.now();
    while (const auto event = session_->next()) {
      if (std::holds_alternative<relay::Greeted>(*event)) {
        session_->send("EHLO " + backends_.hostname_, {relay::Asked::For::ReplayedHello, 0, smtp::Verb::Ehlo, {}}, now);
      } else if (const auto* replied = std::get_if<relay::Replied>(&*event)) {
        if (replied->reply.positive()) backends_.learnt(name_, relay::offers_of(replied->reply));
        return end();
      } else {
        return end();
      }
    }
    link_->send(session_->take_output());
    if (const auto due = session_->deadline()) timer_.start_at(*due);
  }

  void end() {
    timer_.stop();
    if (link_ != nullptr) std::exchange(link_, nullptr)->close("QUIT\r\n");
  }

  RelayBackends& backends_;
  std::string name_;
  std::string preamble_;
  relay::BackendTimeouts timeouts_;
  RelayLink* link_ = nullptr;
  std::optional<relay::BackendSession> session_;
  uv::Timer timer_;
};

RelayBackends::RelayBackends(uv::Loop& loop, uv::Resolver& resolver, std::string hostname)
    : loop_(loop),
      resolver_(resolver),
      hostname_(std::move(hostname)),
      probe_timer_(loop, [this] { probe_unknown(); }),
      empty_timer_(loop, [this] { tell_if_empty(); }) {}

RelayBackends::~RelayBackends() = default;

void RelayBackends::configure(std::shared_ptr<const delivery::RouteTable> routes) {
  routes_ = std::move(routes);
  const auto is_configured = [this](const std::string& name) {
    const auto* backend = routes_->find(name);
    return backend != nullptr && backend->pass_through;
  };
  std::erase_if(offers_, [&](const auto& entry) { return !is_configured(entry.first); });
  failed_.clear();
  probes_.clear();
  std::erase_if(hosts_, [this](const auto& entry) {
    return std::none_of(routes_->backends().begin(), routes_->backends().end(), [&entry](const auto& backend) {
      return std::any_of(backend.targets.begin(), backend.targets.end(),
                         [&entry](const auto& target) { return delivery::to_string(target) == entry.first; });
    });
  });
  probe_unknown();
}

void RelayBackends::probe_unknown() {
  if (on_shut_down_) return;
  bool any = false;
  for (const auto& backend : routes_->backends()) {
    if (!backend.pass_through || offers_.contains(backend.name)) continue;
    any = true;
    auto& probe = probes_[backend.name];
    if (!probe || probe->done()) probe = std::make_unique<Probe>(*this, backend);
  }
  if (any) {
    probe_timer_.start_at(loop_.now() + probe_again_after);
  } else {
    probes_.clear();
  }
}

/// Null: it may be tried.
const RelayBackends::Failure* RelayBackends::resting(const std::string& target) const {
  const auto failed = failed_.find(target);
  return failed == failed_.end() || failed->second.rests_until <= loop_.now() ? nullptr : &failed->second;
}

std::vector<delivery::Target> RelayBackends::targets(const delivery::BackendSettings& backend) const {
  auto ordered = backend.targets;
  std::stable_partition(ordered.begin(), ordered.end(), [this](const delivery::Target& target) {
    return resting(delivery::to_string(target)) == nullptr;
  });
  return ordered;
}

RelayLink& RelayBackends::dial(const delivery::Target& target, const delivery::BackendTimeouts& timeouts,
                               RelayLink::Owner& owner) {
  auto made = std::make_unique<RelayLink>(loop_, owner, timeouts, [this](RelayLink& link) { link_closed(link); });
  RelayLink& link = *made;
  links_[&link] = std::move(made);
  link.dial(target, host_of(target, timeouts.connect));
  return link;
}

HostAddresses* RelayBackends::host_of(const delivery::Target& target, Duration connect_max) {
  const auto* named = std::get_if<delivery::HostTarget>(&target);
  if (named == nullptr) return nullptr;
  // A session has its connection for itself: nothing follows from a change but where the next one goes.
  return &hosts_.try_emplace(delivery::to_string(target), loop_, resolver_, named->host, connect_max, [] {}).first->second;
}

void RelayBackends::link_closed(RelayLink& link) {
  links_.erase(&link);
  if (on_shut_down_) empty_timer_.start_at(loop_.now());
}

void RelayBackends::target_failed(const delivery::Target& target) {
  const auto name = delivery::to_string(target);
  const Instant now = loop_.now();
  failed_.try_emplace(name, Failure{now, now}).first->second.rests_until = now + failed_target_rests;
  if (const auto host = hosts_.find(name); host != hosts_.end()) host->second.doubt();
}

void RelayBackends::target_works(const delivery::Target& target) { failed_.erase(delivery::to_string(target)); }

std::vector<TargetStatus> RelayBackends::status() const {
  std::vector<TargetStatus> made;
  for (const auto& backend : routes_->backends()) {
    if (!backend.pass_through) continue;
    for (const auto& target : backend.targets) {
      TargetStatus status;
      status.backend = backend.name;
      status.target = delivery::to_string(target);
      if (const Failure* failure = resting(status.target)) {
        status.up = false;
        status.down_for = loop_.now() - failure->since;
      }
      made.push_back(std::move(status));
    }
  }
  return made;
}

void RelayBackends::learnt(const std::string& backend, relay::Offers offers) { offers_[backend] = std::move(offers); }

relay::Offers RelayBackends::offers(const std::vector<const delivery::BackendSettings*>& backends) const {
  std::vector<relay::Offers> all;
  for (const auto* backend : backends) {
    const auto known = offers_.find(backend->name);
    all.push_back(known != offers_.end() ? known->second : relay::modest_offers());
  }
  return relay::common_offers(all);
}

void RelayBackends::shut_down(std::function<void()> done) {
  on_shut_down_ = std::move(done);
  probes_.clear();
  probe_timer_.stop();
  empty_timer_.start_at(loop_.now());
}

void RelayBackends::tell_if_empty() {
  if (links_.empty() && on_shut_down_) std::exchange(on_shut_down_, nullptr)();
}

}  // namespace postern::session
