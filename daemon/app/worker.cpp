#include "daemon/app/worker.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "daemon/uv/sockaddr.h"
#include "smtp/replies.h"

namespace postern::app {

namespace {

using Verdict = session::ConnectionTable::Verdict;

std::string_view limit_reached(Verdict verdict) {
  switch (verdict) {
    case Verdict::TooMany: return "limits.connections";
    case Verdict::TooManyFromAddress: return "limits.connections_per_address";
    case Verdict::TooManyFromNetwork: return "limits.connections_per_network";
    case Verdict::Admitted: break;
  }
  return "";
}

}  // namespace

Worker::Worker(Options options, Shared& shared, std::vector<uv::Bound> sockets)
    : options_(std::move(options)),
      shared_(shared),
      journal_(shared.journal, counters_),
      settings_(shared.settings),
      tls_(shared.tls),
      resolver_(loop_, {.servers = options_.dns_servers}),
      dns_(loop_, {.servers = options_.dns_servers, .sources = uv::Resolver::Options::Sources::Dns}),
      reverse_dns_(loop_, dns_),
      backends_(loop_, resolver_, journal_, {.hostname = options_.hostname,
                                               .shares = shared.backend_shares,
                                               .catch_alls = shared.catch_alls,
                                               .key_pool = &shared.key_pool}),
      relay_backends_(loop_, resolver_, options_.hostname),
      ids_(options_.number),
      score_feed_(loop_, *shared.score),
      trust_(loop_, shared.trust_pool, tls_),
      scores_{score_feed_, trust_, settings_},
      handshakes_{loop_, shared.key_pool, shared.credential_pool, shared.credentials, journal_, counters_},
      services_{.loop = loop_,
                .spill_pool = shared.spill_pool,
                .budgets = shared.budgets,
                .handshakes = handshakes_,
                .settings = settings_,
                .tls = tls_,
                .backends = backends_,
                .relay_backends = relay_backends_,
                .ledger = *shared.ledger,
                .harvest = shared.harvest,
                .reverse_dns = reverse_dns_,
                .scores = scores_,
                .journal = journal_,
                .counters = counters_,
                .ids = ids_,
                .directory = *this},
      web_services_{loop_, shared.web_pool, handshakes_, settings_, tls_, journal_, ids_, *this},
      lag_timer_(loop_, [this] { measure_lag(); }) {
  lag_due_ = uv::monotonic_now();
  lag_timer_.start_at(lag_due_);
  configure_backends();
  for (uv::Bound& socket : sockets) {
    const Endpoint listener = socket.endpoint;
    acceptors_.push_back(std::make_unique<uv::Acceptor>(
        loop_, std::move(socket), [this, listener](int descriptor) { accepted(descriptor, listener); },
        [this, listener](const Error& error) {
          const std::string topic = listener.text() + ": connections cannot be accepted";
          shared_.journal.tell({.level = observe::Level::Error, .message = topic + ": " + error.text, .topic = topic});
        }));
  }
}

Worker::~Worker() = default;

void Worker::start() {
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::refresh() {
  loop_.post([this] {
    (void)tls_.get();
    configure_backends();
  });
}

void Worker::configure_backends() {
  const auto settings = settings_.get();
  backends_.configure(settings->routes, settings->backend_tls);
  auto checks = settings->recipient_checks;
  checks.entries_max /= options_.count;
  // The lists are pinned with the whole generation, so that they are freed where it is: not here.
  backends_.configure_checks(checks, {settings, &settings->users});
  relay_backends_.configure(settings->routes);
}

void Worker::ask(std::function<void(WorkerReport)> reply, std::size_t sessions_max, const std::string& text) {
  loop_.post([this, reply = std::move(reply), sessions_max, text] { reply(report(sessions_max, text)); });
}

WorkerReport Worker::report(std::size_t sessions_max, const std::string& text) const {
  WorkerReport made;
  made.counters = counters_;
  for (const auto& acceptor : acceptors_) {
    made.counters.accept_failures += acceptor->troubles().failures;
    made.counters.shed += acceptor->troubles().shed;
  }
  made.backends = backends_.status();
  for (auto& target : relay_backends_.status()) made.backends.push_back(std::move(target));
  if (sessions_max == 0) return made;
  for (const auto& [id, session] : sessions_) {
    auto view = session->view();
    if (!text.empty() && !session::mentions(view, text)) continue;
    if (++made.sessions_matching <= sessions_max) made.sessions.push_back(std::move(view));
  }
  return made;
}

void Worker::measure_lag() {
  constexpr Duration interval = std::chrono::seconds(1);
  const Instant now = uv::monotonic_now();
  counters_.loop_lag.count(now - lag_due_);
  lag_due_ = now + interval;
  lag_timer_.start_at(lag_due_);
}

void Worker::close_the_door() {
  loop_.post([this] {
    for (const auto& acceptor : acceptors_) acceptor->shut();
  });
}

void Worker::open_the_door() {
  loop_.post([this] {
    for (const auto& acceptor : acceptors_) {
      if (const auto opened = acceptor->open(); !opened) journal_.note(observe::Level::Error, opened.error().text);
    }
  });
}

void Worker::bring_score(std::function<void()> done) {
  loop_.post([this, done = std::move(done)]() mutable {
    score_feed_.bring();
    shared_.score->after_what_was_brought(std::move(done));
  });
}

session::Inbound* Worker::find(session::SessionId id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void Worker::closed(session::SessionId id) {
  const auto found = sessions_.find(id);
  shared_.connections.leave(found->second->peer_address());
  sessions_.erase(found);
  continue_shut_down();
}

session::Web* Worker::find_web(session::WebId id) {
  const auto found = webs_.find(id);
  return found == webs_.end() ? nullptr : found->second.get();
}

void Worker::web_closed(session::WebId id) {
  const auto found = webs_.find(id);
  shared_.connections.leave(found->second->peer_address());
  webs_.erase(found);
  continue_shut_down();
}

bool Worker::readdress(const IpAddress& from, const IpAddress& to) {
  auto limits = settings_.get()->connection_limits;
  ++limits.connections;  // for a moment it is counted twice
  const auto verdict = shared_.connections.enter(to, limits);
  if (verdict != Verdict::Admitted) return false;
  shared_.connections.leave(from);
  return true;
}

void Worker::accepted(int descriptor, const Endpoint& listener) {
  const IpAddress from = uv::peer_of(descriptor).address;
  const auto settings = settings_.get();
  auto limits = settings->connection_limits;
  if (settings->listeners.at(listener).proxy_protocol == session::ProxyProtocol::Required) {
    // A load balancer is no client: those behind it are counted when it has said who they are.
    limits.connections_per_address = limits.connections_per_network = limits.connections;
  }
  const auto verdict = shared_.connections.enter(from, limits);
  if (verdict != Verdict::Admitted) return turn_away(descriptor, from, listener, verdict);
  const session::SessionId id = next_session_++;
  // Either is in its directory before it starts to talk.
  if (settings->listeners.at(listener).protocol != session::ListenerProtocol::Smtp) {
    auto& place = webs_[id];
    place = std::make_unique<session::Web>(web_services_, id, descriptor, listener);
    return;
  }
  auto& place = sessions_[id];
  place = std::make_unique<session::Inbound>(services_, id, descriptor, listener);
}

void Worker::turn_away(int descriptor, const IpAddress& from, const Endpoint& listener, Verdict why) {
  session::count_word(counters_.limits_hit, limit_reached(why));
  const smtp::Reply reply = why == Verdict::TooMany ? smtp::replies::too_busy : smtp::replies::too_many_connections;
  const auto settings = settings_.get();
  const session::ListenerSettings& turned = settings->listeners.at(listener);
  if (turned.protocol == session::ListenerProtocol::Smtp && turned.tls != session::ListenerTls::Implicit) {
    // One try: a client that cannot even take this line learns it from the close.
    const std::string line = smtp::render(reply);
    (void)::send(descriptor, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  ::close(descriptor);
  shared_.journal.note(observe::Level::Info,
                       fmt::format("{}: connection from {} turned away: {} reached", listener.text(), from.text(),
                                   limit_reached(why)));
}

void Worker::shut_down(Duration drain, std::function<void()> done) {
  loop_.post([this, drain, done = std::move(done)]() mutable { start_shut_down(drain, std::move(done)); });
}

void Worker::start_shut_down(Duration drain, std::function<void()> done) {
  shutting_down_ = true;
  on_shut_down_ = std::move(done);
  for (auto& acceptor : acceptors_) acceptor->close();
  drain_timer_ = std::make_unique<uv::Timer>(loop_, [this] {
    for (auto& [id, session] : sessions_) session->close_unless_awaiting_outcome();
  });
  drain_timer_->start_at(loop_.now() + drain);
  for (auto& [id, session] : sessions_) session->shut_down();
  for (auto& [id, web] : webs_) web->shut_down();
  continue_shut_down();
}

void Worker::continue_shut_down() {
  if (!shutting_down_ || !sessions_.empty() || !webs_.empty() || !on_shut_down_) return;
  drain_timer_.reset();
  score_feed_.bring();
  backends_.shut_down([this, done = std::exchange(on_shut_down_, nullptr)] {
    relay_backends_.shut_down([this, done] {
      loop_.stop();
      done();
    });
  });
}

}  // namespace postern::app
