#include "daemon/session/backend_target.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"

namespace postern::session {

namespace {

constexpr Duration connection_age_max = std::chrono::minutes(10);
constexpr std::size_t waiters_max = 1000;

delivery::PoolLimits pool_limits(const BackendTarget::Environment& environment) {
  const std::size_t workers = std::max(environment.options.worker_count, 1u);
  delivery::PoolLimits limits;
  limits.connections_max = std::max<std::size_t>(environment.backend.connections_max / workers, 1);
  limits.waiters_max = waiters_max;
  limits.idle_max = environment.backend.idle_max;
  limits.age_max = connection_age_max;
  return limits;
}

BackendConnection::Settings connection_settings(const BackendTarget::Environment& environment,
                                                const delivery::Target& target) {
  const auto& backend = environment.backend;
  BackendConnection::Settings made;
  made.session.dialect = backend.protocol == delivery::Protocol::Lmtp ? smtp::Dialect::Lmtp : smtp::Dialect::Smtp;
  made.session.hostname = environment.options.hostname;
  made.session.timeouts = {backend.timeouts.connect, backend.timeouts.command, backend.timeouts.after_dot};
  made.connect_max = backend.timeouts.connect;
  made.tls = backend.tls.mode;
  made.tls_context = environment.tls;
  made.tls_name = backend.tls.name;
  const auto* host = std::get_if<delivery::HostTarget>(&target);
  if (!made.tls_name && host != nullptr) made.tls_name = host->host;
  return made;
}

}  // namespace

BackendTarget::BackendTarget(const Environment& environment, delivery::Target target, Borrower& borrower)
    : environment_(environment),
      target_(std::move(target)),
      name_(delivery::to_string(target_)),
      borrower_(borrower),
      pool_(pool_limits(environment)),
      idle_timer_(environment.loop, [this] { expire_idle(); }),
      backoff_(environment.options.backoff_first) {}

BackendTarget::~BackendTarget() = default;

// --- leases ---

BackendTarget::Lease BackendTarget::lease(TaskId task, Freshness freshness) {
  const Instant now = environment_.loop.now();
  const bool backing_off = retry_at_ && now < *retry_at_;
  const auto lease = backing_off                     ? pool_.lease_kept()
                     : freshness == Freshness::Fresh ? pool_.lease_fresh(now)
                                                     : pool_.lease(now);
  if (const auto* reuse = std::get_if<delivery::Pool::Reuse>(&lease)) {
    lend(reuse->connection, task);
    return Lease::Ready;
  }
  if (const auto* fresh = std::get_if<delivery::Pool::Dial>(&lease)) {
    dial(fresh->connection, task);
    return Lease::Dialling;
  }
  if (const auto* wait = std::get_if<delivery::Pool::Wait>(&lease)) {
    waiting_.emplace(wait->waiter, task);
    return Lease::Waiting;
  }
  return backing_off && pool_.open() == 0 ? Lease::Dead : Lease::Full;
}

void BackendTarget::lend(delivery::ConnectionId id, TaskId task) {
  connections_.at(id).holder = task;
  lent_.emplace(task, id);
}

BackendConnection& BackendTarget::connection(TaskId task) { return *connections_.at(lent_.at(task)).connection; }

void BackendTarget::give_back(TaskId task) {
  const auto id = lent_.at(task);
  lent_.erase(task);
  auto& kept = connections_.at(id);
  kept.holder.reset();
  kept.has_served = true;
  if (!kept.connection->session().idle()) return retire(id, Farewell::None);
  release(id);
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
void BackendTarget::release(delivery::ConnectionId id) {
  const Instant now = environment_.loop.now();
  if (closing_ || pool_.worn_out(id, now)) return retire(id, Farewell::Quit);
  const auto waiter = pool_.give_back(id, now);
  if (!waiter) return watch_idle();
  const auto task = waiting_.at(*waiter);
  waiting_.erase(*waiter);
  lend(id, task);
  borrower_.on_leased(task);
}

void BackendTarget::wake(std::optional<delivery::WaiterId> waiter) {
  const auto found = waiter ? waiting_.find(*waiter) : waiting_.end();
  if (found == waiting_.end()) return;  // dropped while others were woken
  const auto task = found->second;
  waiting_.erase(found);
  borrower_.on_turn(task);
}

// --- dialling ---

void BackendTarget::dial(delivery::ConnectionId id, TaskId task) {
  BackendConnection::Owner& owner = *this;
  auto& kept = connections_[id];
  kept.connection = std::make_unique<BackendConnection>(environment_.loop, owner, id,
                                                        connection_settings(environment_, target_));
  lend(id, task);
  if (const auto* path = std::get_if<delivery::UnixTarget>(&target_)) return kept.connection->connect_unix(path->path);
  if (const auto* endpoint = std::get_if<Endpoint>(&target_)) return kept.connection->connect_any({*endpoint});

  const auto& host = std::get<delivery::HostTarget>(target_);
  environment_.resolver.addresses(host.host, [weak = weak_from_this(), id](const Result<uv::Resolved>& found) {
    if (const auto self = weak.lock()) self->resolved(id, found);
  });
}

void BackendTarget::resolved(delivery::ConnectionId id, const Result<uv::Resolved>& found) {
  const auto dialling = connections_.find(id);
  if (dialling == connections_.end()) return;
  auto& connection = *dialling->second.connection;
  if (!found) return connection.cannot_connect(found.error());
  if (found->addresses.empty()) return connection.cannot_connect({"its name has no address"});
  std::vector<Endpoint> endpoints;
  for (const auto& address : found->addresses) {
    endpoints.push_back({address, std::get<delivery::HostTarget>(target_).port});
  }
  connection.connect_any(endpoints);
}

void BackendTarget::greeted(delivery::ConnectionId id, const smtp::PeerExtensions& extensions) {
  auto& kept = connections_.at(id);
  kept.ready = true;
  if (retry_at_) {
    environment_.journal.note(observe::Level::Info,
                              fmt::format("backend {}: {} answers again", environment_.backend.name, name_));
  }
  retry_at_.reset();
  backoff_ = environment_.options.backoff_first;
  borrower_.on_greeted(extensions);
  if (kept.holder) return borrower_.on_leased(*kept.holder);
  release(id);
}

void BackendTarget::back_off(const Error& error) {
  ++failures_;
  last_failure_ = error.text;
  environment_.journal.note(observe::Level::Warning,
                            fmt::format("backend {}: {}: {}; not tried again for {}", environment_.backend.name, name_,
                                        error.text, readable(backoff_)));
  retry_at_ = environment_.loop.now() + backoff_;
  backoff_ = std::min(backoff_ * 2, environment_.options.backoff_max);
}

// --- events of connections ---

void BackendTarget::on_event(delivery::ConnectionId id, smtp::ClientEvent event) {
  if (const auto* ready = std::get_if<smtp::PeerReady>(&event)) return greeted(id, ready->extensions);
  if (auto* lost = std::get_if<smtp::SessionFailed>(&event)) return failed(id, std::move(*lost));
  if (const auto holder = connections_.at(id).holder) borrower_.on_event(*holder, event);
}

void BackendTarget::on_room(delivery::ConnectionId id) {
  if (const auto holder = connections_.at(id).holder) borrower_.on_room(*holder);
}

void BackendTarget::failed(delivery::ConnectionId id, smtp::SessionFailed failed) {
  const auto& kept = connections_.at(id);
  const auto holder = kept.holder;
  const Borrower::Loss loss{std::move(failed), kept.has_served, kept.ready};
  if (holder) lent_.erase(*holder);
  if (!loss.was_ready) back_off(loss.failed.error);
  retire(id, Farewell::None);
  if (holder) borrower_.on_lost(*holder, loss);
  // Nobody is left whose end they could await.
  if (!loss.was_ready && pool_.open() == 0) {
    for (const auto waiter : pool_.dismiss_waiters()) wake(waiter);
  }
}

void BackendTarget::on_closed(delivery::ConnectionId id) {
  connections_.erase(id);
  if (connections_.empty()) borrower_.on_empty();
}

void BackendTarget::retire(delivery::ConnectionId id, Farewell farewell) {
  auto& kept = connections_.at(id);
  if (std::exchange(kept.closing, true)) return;
  kept.holder.reset();
  if (farewell == Farewell::Quit) {
    kept.connection->quit();
  } else {
    kept.connection->drop();
  }
  wake(pool_.lost(id));
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
    if (kept.ready && !kept.holder && !kept.closing) idle.push_back(id);
  }
  for (const auto id : idle) retire(id, Farewell::Quit);
  idle_timer_.stop();
}

// --- what is known ---

std::optional<Instant> BackendTarget::retry_at() const { return retry_at_; }

TargetStatus BackendTarget::status() const {
  TargetStatus made;
  made.backend = environment_.backend.name;
  made.target = name_;
  made.open = pool_.open();
  made.idle = pool_.idle();
  made.failures = failures_;
  made.last_failure = last_failure_;
  return made;
}

}  // namespace postern::session
