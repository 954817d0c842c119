#include "daemon/session/backend_target.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"

namespace postern::session {

namespace {

// When there is no place for a look, or the last one was useless.
constexpr Duration look_again_after = std::chrono::seconds(1);

delivery::PoolLimits pool_limits(const delivery::BackendSettings& backend) {
  return {backend.waiting_max, backend.idle_max, backend.age_max};
}

smtp::PeerRole role_of(const delivery::BackendSettings& backend) {
  return backend.protocol == delivery::Protocol::Lmtp ? smtp::PeerRole::Store : smtp::PeerRole::Mta;
}

/// TLS to a backend is always verified.
smtp::Privacy privacy_of(const delivery::BackendSettings& backend, const delivery::Target& target) {
  if (backend.tls.mode != delivery::BackendTls::Mode::Off) return smtp::Privacy::Tls;
  return delivery::is_local(target) ? smtp::Privacy::Local : smtp::Privacy::Open;
}

BackendConnection::Settings connection_settings(const BackendTarget::Environment& environment,
                                                const delivery::Target& target) {
  const auto& backend = environment.backend;
  BackendConnection::Settings made;
  made.session.dialect = backend.protocol == delivery::Protocol::Lmtp ? smtp::Dialect::Lmtp : smtp::Dialect::Smtp;
  made.session.hostname = environment.options.hostname;
  made.session.timeouts = {backend.timeouts.connect, backend.timeouts.command, backend.timeouts.after_dot};
  made.session.privacy = privacy_of(backend, target);
  made.connect_max = backend.timeouts.connect;
  made.tls = backend.tls.mode;
  made.tls_context = environment.tls;
  made.key_pool = environment.options.key_pool;
  made.tls_name = backend.tls.name;
  const auto* host = std::get_if<delivery::HostTarget>(&target);
  if (!made.tls_name && host != nullptr) made.tls_name = host->host;
  return made;
}

}  // namespace

std::shared_ptr<BackendTarget> BackendTarget::make(const Environment& environment, delivery::Target target,
                                                   std::shared_ptr<delivery::ConnectionShares> shares,
                                                   Borrower& borrower) {
  std::shared_ptr<BackendTarget> made(
      new BackendTarget(environment, std::move(target), std::move(shares), borrower));
  made->look();
  return made;
}

BackendTarget::BackendTarget(const Environment& environment, delivery::Target target,
                             std::shared_ptr<delivery::ConnectionShares> shares, Borrower& borrower)
    : environment_(environment),
      target_(std::move(target)),
      name_(delivery::to_string(target_)),
      borrower_(borrower),
      pool_(pool_limits(environment.backend), std::move(shares),
            [this, &loop = environment.loop] {
              // Other workers call this: the target's own reference count decides whether it is still there.
              loop.post([weak = weak_from_this()] {
                if (const auto self = weak.lock()) self->look_at_shares();
              });
            }),
      idle_timer_(environment.loop, [this] { expire_idle(); }),
      look_timer_(environment.loop, [this] { look(); }),
      health_({environment.options.backoff_first, environment.options.backoff_max}) {
  if (const auto* named = std::get_if<delivery::HostTarget>(&target_)) {
    addresses_.emplace(environment.loop, environment.resolver, named->host, environment.backend.timeouts.connect,
                       [this] { leave_old_addresses(); });
  }
}

BackendTarget::~BackendTarget() = default;

// --- leases ---

BackendTarget::Lease BackendTarget::lease(TaskId task, Freshness freshness) {
  using Dialling = delivery::Pool::Dialling;
  const Instant now = environment_.loop.now();
  const bool may_dial = health_.may_dial(now);
  if (!usable()) return Lease::Dead;
  const auto lease = freshness == Freshness::Fresh && may_dial
                         ? pool_.lease_fresh(now)
                         : pool_.lease(may_dial ? Dialling::Allowed : Dialling::Forbidden, now);
  if (const auto* reuse = std::get_if<delivery::Pool::Reuse>(&lease)) {
    lend(reuse->connection, task);
    return Lease::Ready;
  }
  if (const auto* fresh = std::get_if<delivery::Pool::Dial>(&lease)) {
    dial_for(fresh->connection, task);
    return Lease::Dialling;
  }
  if (const auto* wait = std::get_if<delivery::Pool::Wait>(&lease)) {
    waiting_.emplace(wait->waiter, task);
    return Lease::Waiting;
  }
  return Lease::Full;
}

void BackendTarget::lend(delivery::ConnectionId id, TaskId task) {
  connections_.at(id).holder = task;
  lent_.emplace(task, id);
  // Connections may be kept for so long that nobody would notice where the name has moved.
  if (addresses_) addresses_->refresh();
}

BackendConnection& BackendTarget::connection(TaskId task) { return *connections_.at(lent_.at(task)).connection; }

void BackendTarget::give_back(TaskId task) {
  const auto id = lent_.at(task);
  lent_.erase(task);
  auto& kept = connections_.at(id);
  kept.holder.reset();
  health_.transaction_answered();
  if (!kept.connection->session().idle()) return retire(id, Farewell::None);
  if (kept.connection->session().bound_to_client()) return retire(id, Farewell::Quit);
  release(id, environment_.loop.now());
}

void BackendTarget::drop(TaskId task) {
  if (const auto lent = lent_.find(task); lent != lent_.end()) {
    const auto id = lent->second;
    lent_.erase(lent);
    return retire(id, Farewell::None);
  }
  const auto waiting =
      std::find_if(waiting_.begin(), waiting_.end(), [task](const auto& each) { return each.second == task; });
  if (waiting == waiting_.end()) return;
  pool_.stop_waiting(waiting->first);
  waiting_.erase(waiting);
}

/// The connection is idle: it goes to who waits, to the pool, or away.
void BackendTarget::release(delivery::ConnectionId id, Instant idle_since) {
  const bool worn = pool_.worn_out(id, environment_.loop.now()) || has_moved(connections_.at(id));
  if (closing_ || worn || pool_.wanted_elsewhere()) return retire(id, Farewell::Quit);
  const auto waiter = pool_.give_back(id, idle_since);
  if (!waiter) {
    connections_.at(id).has_rested = true;
    return watch_idle();
  }
  const auto task = take_waiter(*waiter);
  lend(id, task);
  borrower_.on_leased(task);
}

TaskId BackendTarget::take_waiter(delivery::WaiterId waiter) {
  const auto found = waiting_.find(waiter);
  const auto task = found->second;
  waiting_.erase(found);
  return task;
}

/// Connections for those who wait, as far as there is room.
void BackendTarget::serve_waiters() {
  while (health_.may_dial(environment_.loop.now())) {
    const auto passed = pool_.dial_for_waiter(environment_.loop.now());
    if (!passed) return;
    const auto task = take_waiter(passed->waiter);
    dial_for(passed->connection, task);
    borrower_.on_dialling(task);
  }
  if (!serves()) turn_waiters_away();
}

void BackendTarget::turn_waiters_away() {
  std::vector<TaskId> tasks;
  for (const auto waiter : pool_.dismiss_waiters()) tasks.push_back(take_waiter(waiter));
  for (const auto task : tasks) borrower_.on_turned_away(task);
}

/// Somebody may want a place of ours, or there may be one for us.
void BackendTarget::look_at_shares() {
  if (const auto spare = pool_.spare()) retire(*spare, Farewell::Quit);
  serve_waiters();
}

/// Whether a connection stands that a task can be given, or wait for.
bool BackendTarget::serves() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& each) { return each.second.ready && !each.second.closing; });
}

void BackendTarget::transaction_broke(const Error& why) {
  if (health_.transaction_broke(environment_.loop.now(), why.text)) note_pause();
}

// --- dialling ---

BackendTarget::Kept& BackendTarget::dial(delivery::ConnectionId id) {
  BackendConnection::Owner& owner = *this;
  auto& kept = connections_[id];
  kept.attempt = health_.dialled();
  kept.connection = std::make_unique<BackendConnection>(environment_.loop, owner, id,
                                                        connection_settings(environment_, target_));
  return kept;
}

void BackendTarget::dial_for(delivery::ConnectionId id, TaskId task) {
  auto& kept = dial(id);
  lend(id, task);
  connect(*kept.connection, id);
}

void BackendTarget::connect(BackendConnection& connection, delivery::ConnectionId id) {
  if (const auto* path = std::get_if<delivery::UnixTarget>(&target_)) return connection.connect_unix(path->path);
  if (const auto* endpoint = std::get_if<Endpoint>(&target_)) return connection.connect_to(*endpoint);
  addresses_->find([weak = weak_from_this(), id](const HostAddresses::Found& found) {
    if (const auto self = weak.lock()) self->resolved(id, found);
  });
}

void BackendTarget::resolved(delivery::ConnectionId id, const HostAddresses::Found& found) {
  const auto dialling = connections_.find(id);
  if (dialling == connections_.end()) return;
  auto& connection = *dialling->second.connection;
  if (!found) return connection.cannot_connect(found.error());
  std::vector<Endpoint> endpoints;
  for (const auto& address : *found) endpoints.push_back({address, std::get<delivery::HostTarget>(target_).port});
  connection.connect_any(std::move(endpoints));
}

/// Whether DNS has another address by now.
bool BackendTarget::has_moved(const Kept& kept) const {
  return addresses_ && kept.connection->peer() && !addresses_->has(kept.connection->peer()->address);
}

/// Idle connections to them; the others follow when they are given back.
void BackendTarget::leave_old_addresses() {
  std::vector<delivery::ConnectionId> old;
  for (const auto& [id, kept] : connections_) {
    if (kept.ready && !kept.holder && !kept.closing && has_moved(kept)) old.push_back(id);
  }
  for (const auto id : old) retire(id, Farewell::Quit);
}

void BackendTarget::greeted(delivery::ConnectionId id, const smtp::PeerExtensions& extensions) {
  if (auto why = unusable(extensions)) {
    return failed(id, {smtp::SessionFailed::Why::Refused, smtp::ClientStage::Hello, std::move(*why), {}, {}});
  }
  auto& kept = connections_.at(id);
  kept.ready = true;
  const bool needed = kept.look != Look::Curious || pool_.waiting() > 0;
  kept.look = Look::None;
  note_answer();
  offered_ = smtp::capabilities_of(extensions, role_of(environment_.backend), privacy_of(environment_.backend, target_));
  borrower_.on_greeted();
  if (kept.holder) return borrower_.on_leased(*kept.holder);
  if (!needed) return retire(id, Farewell::Quit);
  release(id, environment_.loop.now());
  serve_waiters();
}

/// To a backend that believes our address and is told nothing of the client, every stranger's mail would be ours.
std::optional<Error> BackendTarget::unusable(const smtp::PeerExtensions& extensions) const {
  using delivery::Identity;
  const auto identity = environment_.backend.identity;
  const bool missing = (identity == Identity::Xclient && extensions.xclient.empty()) ||
                       (identity == Identity::Xforward && extensions.xforward.empty());
  if (!missing) return std::nullopt;
  const std::string_view verb = identity == Identity::Xclient ? "XCLIENT" : "XFORWARD";
  return Error{fmt::format("does not offer {} to us, which identity = \"{}\" needs (Postfix: smtpd_authorized_{}_hosts; "
                           "Dovecot: login_trusted_networks)",
                           verb, to_lower_ascii(verb), to_lower_ascii(verb))};
}

void BackendTarget::alive(delivery::ConnectionId id) {
  auto& kept = connections_.at(id);
  kept.look = Look::None;
  note_answer();
  release(id, kept.idle_since);
}

// --- health ---

void BackendTarget::note_answer() {
  if (!health_.answered()) return;
  environment_.journal.tell({.level = observe::Level::Info,
                             .message = fmt::format("backend {}: {} answers again", environment_.backend.name, name_),
                             .topic = health_topic(),
                             .matter = "up"});
  look_later();
}

void BackendTarget::note_pause() {
  environment_.journal.tell({.level = observe::Level::Warning,
                             .message = fmt::format("backend {}: {}: {}; not tried again for {}", environment_.backend.name,
                                                    name_, health_.last_failure(), readable(health_.pause())),
                             .topic = health_topic(),
                             .matter = "down"});
  look_later();
}

/// Every worker finds out by itself; the log says it once.
std::string BackendTarget::health_topic() const { return fmt::format("health {} {}", environment_.backend.name, name_); }

/// At the target, when nothing else shows how it is.
void BackendTarget::look() {
  if (closing_) return;
  const Instant now = environment_.loop.now();
  const bool down = health_.state() != delivery::Health::State::Up;
  const auto idle = down ? std::nullopt : pool_.take_idle();
  if (idle) {
    auto& kept = connections_.at(idle->connection);
    kept.look = Look::Useful;
    kept.idle_since = idle->since;
    kept.connection->session().probe(now);
    kept.connection->pump();
  } else if ((down || pool_.open() == 0) && health_.may_dial(now)) {
    const auto id = pool_.try_dial(now);
    if (!id) return look_timer_.start_at(now + look_again_after);
    auto& kept = dial(*id);
    kept.look = down || !offered_ ? Look::Useful : Look::Curious;
    connect(*kept.connection, *id);
  }
  look_later();
}

void BackendTarget::look_later() {
  const auto& interval = environment_.backend.health_interval;
  if (closing_) return;
  if (const auto retry_at = health_.retry_at()) return look_timer_.start_at(*retry_at);
  if (interval > Duration::zero()) look_timer_.start_at(environment_.loop.now() + interval);
}

// --- events of connections ---

void BackendTarget::on_event(delivery::ConnectionId id, smtp::ClientEvent event) {
  if (const auto* ready = std::get_if<smtp::PeerReady>(&event)) return greeted(id, ready->extensions);
  if (std::holds_alternative<smtp::PeerAlive>(event)) return alive(id);
  if (auto* lost = std::get_if<smtp::SessionFailed>(&event)) return failed(id, std::move(*lost));
  if (const auto holder = connections_.at(id).holder) borrower_.on_event(*holder, event);
}

void BackendTarget::on_room(delivery::ConnectionId id) {
  if (const auto holder = connections_.at(id).holder) borrower_.on_room(*holder);
}

void BackendTarget::failed(delivery::ConnectionId id, smtp::SessionFailed failed) {
  using Why = smtp::SessionFailed::Why;
  const auto& kept = connections_.at(id);
  const auto holder = kept.holder;
  const bool no_answer_to_look =
      kept.look != Look::None && failed.why != Why::PeerClosed && failed.why != Why::Refused;
  // A backend may close what is idle: that says nothing, but a look at it needs another connection then.
  const bool look_again = kept.ready && kept.look != Look::None && !no_answer_to_look;
  const Borrower::Loss loss{std::move(failed), kept.has_rested, kept.ready};
  if (holder) lent_.erase(*holder);
  const bool unwell = !loss.was_ready || no_answer_to_look;
  if (unwell && health_.failed(kept.attempt, environment_.loop.now(), loss.failed.error.text)) note_pause();
  if (!loss.was_ready && addresses_) addresses_->doubt();
  retire(id, Farewell::None);
  if (holder) borrower_.on_lost(*holder, loss);
  if (look_again) look();
}

void BackendTarget::on_closed(delivery::ConnectionId id) {
  connections_.erase(id);
  if (connections_.empty()) borrower_.on_empty();
}

void BackendTarget::retire(delivery::ConnectionId id, Farewell farewell) {
  auto& kept = connections_.at(id);
  if (std::exchange(kept.closing, true)) return;
  kept.holder.reset();
  if (!kept.ready) {
    health_.abandoned(kept.attempt);
    if (health_.retry_at()) look_later();
  }
  if (farewell == Farewell::Quit) {
    kept.connection->quit();
  } else {
    kept.connection->drop();
  }
  pool_.lost(id);
  serve_waiters();
}

// --- idle connections ---

void BackendTarget::watch_idle() {
  if (const auto deadline = pool_.deadline()) idle_timer_.start_at(*deadline);
}

void BackendTarget::expire_idle() {
  for (const auto id : pool_.expire(environment_.loop.now())) retire(id, Farewell::Quit);
  watch_idle();
}

void BackendTarget::close_idle() {
  closing_ = true;
  std::vector<delivery::ConnectionId> idle;
  for (const auto& [id, kept] : connections_) {
    if (!kept.holder && !kept.closing) idle.push_back(id);
  }
  for (const auto id : idle) retire(id, Farewell::Quit);
  idle_timer_.stop();
  look_timer_.stop();
}

// --- what is known ---

TargetStatus BackendTarget::status() const {
  TargetStatus made;
  made.backend = environment_.backend.name;
  made.target = name_;
  made.open = pool_.open();
  made.idle = pool_.idle();
  made.waiting = pool_.waiting();
  made.failures = health_.failures();
  made.last_failure = health_.last_failure();
  made.up = health_.state() == delivery::Health::State::Up;
  if (const auto since = health_.down_since()) made.down_for = environment_.loop.now() - *since;
  return made;
}

}  // namespace postern::session
