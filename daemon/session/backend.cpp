#include "daemon/session/backend.h"

#include <algorithm>

#include "base/text.h"
#include "delivery/balance.h"
#include "smtp/replies.h"

namespace postern::session {

/// While it lives, tasks are not concluded but marked for the next turn of the loop: nobody expects to be called back
/// from within a call.
class Backend::WithinCall {
 public:
  explicit WithinCall(Backend& backend) : backend_(backend) { ++backend_.calls_; }
  ~WithinCall() { --backend_.calls_; }
  WithinCall(const WithinCall&) = delete;
  WithinCall& operator=(const WithinCall&) = delete;

 private:
  Backend& backend_;
};

Backend::Backend(uv::Loop& loop, uv::Resolver& resolver, Journal& journal, const Backends::Options& options,
                 ShareTable& shares, delivery::BackendSettings settings,
                 std::shared_ptr<const tls::ClientContext> tls, std::function<void()> on_empty)
    : loop_(loop),
      journal_(journal),
      options_(options),
      settings_(std::move(settings)),
      tls_(std::move(tls)),
      on_empty_(std::move(on_empty)),
      timer_(loop, [this] { expired(); }) {
  BackendTarget::Borrower& borrower = *this;
  for (const auto& target : settings_.targets) {
    target_names_.push_back(delivery::to_string(target));
    targets_.push_back(BackendTarget::make(
        BackendTarget::Environment{loop, resolver, journal, options_, settings_, tls_}, target,
        shares.of(settings_.name, target_names_.back(), settings_.connections_max), borrower));
  }
}

Backend::~Backend() = default;

// --- tasks ---

void Backend::start(TaskId id, std::unique_ptr<OutboundTask> task, Instant deadline) {
  const WithinCall guard(*this);
  Running running;
  running.task = std::move(task);
  running.deadline = deadline;
  running.waits_until = std::min(deadline, loop_.now() + settings_.wait_max);
  running.order = order_for(running.task->balance_key());
  running.otherwise = smtp::replies::backend_unreachable;
  tasks_.emplace(id, std::move(running));
  watch(id, deadline);
  seek(id, BackendTarget::Freshness::Any);
}

void Backend::cancel(TaskId id) {
  const WithinCall guard(*this);
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  auto& running = found->second;
  running.task->forget();
  if (running.stage == Stage::Late) return;
  if (running.task->awaits_outcome()) return read_on(id);
  take_lease_away(id);
  erase(id);
}

void Backend::end_soon(TaskId id, smtp::Reply reply) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  found->second.otherwise = std::move(reply);
  found->second.ending = true;
  watch(id, loop_.now());
}

std::vector<std::size_t> Backend::order_for(std::string_view key) {
  std::vector<std::size_t> busy;
  for (const auto& target : targets_) busy.push_back(target->busy());
  return delivery::order_of_targets(settings_.balance, key, target_names_, busy, turn_++);
}

std::size_t Backend::home_of(const smtp::ForwardPath& to) const {
  if (settings_.balance != delivery::Balance::Hash || targets_.size() < 2) return 0;
  return delivery::order_of_targets(settings_.balance, delivery::hash_key(to), target_names_, {}, 0).front();
}

/// Asks one target after the other for a connection, from the one that is tried now.
void Backend::seek(TaskId id, BackendTarget::Freshness freshness) {
  auto& running = tasks_.at(id);
  for (; running.tried < running.order.size(); ++running.tried) {
    switch (target_of(running).lease(id, freshness)) {
      case BackendTarget::Lease::Ready:
        return begin(id);
      case BackendTarget::Lease::Dialling:
        running.stage = Stage::Dialling;
        return watch(id, running.deadline);
      case BackendTarget::Lease::Waiting:
        running.stage = Stage::Waiting;
        return watch(id, running.waits_until);
      case BackendTarget::Lease::Full:
        running.otherwise = smtp::replies::backend_busy;
        break;
      case BackendTarget::Lease::Dead:
        break;
    }
    freshness = BackendTarget::Freshness::Any;
  }
  conclude(id);
}

void Backend::begin(TaskId id) {
  auto& running = tasks_.at(id);
  auto& connection = target_of(running).connection(id);
  running.stage = Stage::Lent;
  running.otherwise = smtp::replies::backend_lost;
  watch(id, running.deadline);
  if (running.task->begin(connection, loop_.now()) == OutboundTask::Progress::Finished) return finished(id);
  connection.pump();
}

void Backend::finished(TaskId id) {
  auto& running = tasks_.at(id);
  const bool late = std::exchange(running.stage, Stage::Seeking) == Stage::Late;
  target_of(running).give_back(id);
  if (late) return conclude_late(id);
  conclude(id);
}

/// `id` may be gone: other tasks' callbacks come between an answer and this.
void Backend::conclude(TaskId id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  if (calls_ > 0) {
    found->second.ending = true;
    return watch(id, loop_.now());
  }
  const auto task = std::move(found->second.task);
  const auto target = target_name(found->second);
  const auto otherwise = std::move(found->second.otherwise);
  erase(id);
  task->conclude(target, otherwise);
}

void Backend::conclude_late(TaskId id) {
  if (const auto found = tasks_.find(id); found != tasks_.end()) {
    found->second.task->conclude(target_name(found->second), found->second.otherwise);
  }
  erase(id);
}

std::string Backend::target_name(const Running& running) const {
  if (running.order.empty()) return settings_.name;
  const auto tried = running.order[std::min(running.tried, running.order.size() - 1)];
  return fmt::format("{} {}", settings_.name, target_names_[tried]);
}

void Backend::erase(TaskId id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  deadlines_.erase({found->second.timer, id});
  tasks_.erase(found);
  if (retired_ && tasks_.empty()) on_empty_();
}

void Backend::take_lease_away(TaskId id) {
  auto& running = tasks_.at(id);
  if (running.stage == Stage::Seeking) return;
  running.stage = Stage::Seeking;
  running.task->on_lost(nullptr);
  target_of(running).drop(id);
}

/// The answer has been given, or nobody wants it: what the backend still says of the message is worth a log line.
void Backend::read_on(TaskId id) {
  tasks_.at(id).stage = Stage::Late;
  watch(id, loop_.now() + options_.late_max);
}

// --- what the targets say ---

void Backend::on_leased(TaskId id) { begin(id); }

void Backend::on_dialling(TaskId id) {
  auto& running = tasks_.at(id);
  running.stage = Stage::Dialling;
  watch(id, running.deadline);
}

void Backend::on_turned_away(TaskId id) {
  auto& running = tasks_.at(id);
  running.stage = Stage::Seeking;
  ++running.tried;
  seek(id, BackendTarget::Freshness::Any);
}

void Backend::on_event(TaskId id, const smtp::ClientEvent& event) {
  if (tasks_.at(id).task->on_event(event) == OutboundTask::Progress::Finished) finished(id);
}

void Backend::on_room(TaskId id) { tasks_.at(id).task->on_room(); }

void Backend::on_lost(TaskId id, const Loss& loss) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  auto& running = found->second;
  running.task->on_lost(&loss.failed);
  if (loss.was_kept && !loss.failed.answered_anything && !running.retried_fresh && !running.ending) {
    // The backend may have closed it at any time while it was idle: that says nothing about the backend.
    running.retried_fresh = true;
    running.stage = Stage::Seeking;
    return seek(id, BackendTarget::Freshness::Fresh);
  }
  // Failures to connect are the target's own to report: once, not for each who waited for it.
  if (loss.was_ready) {
    target_of(running).transaction_broke(loss.failed.error);
    warn(running, fmt::format("failed at {}", to_string(loss.failed.stage)), loss.failed.error.text);
  }
  if (std::exchange(running.stage, Stage::Seeking) == Stage::Late) return conclude_late(id);
  if (running.ending) return;
  if (!running.task->may_start_again()) return conclude(id);
  ++running.tried;
  seek(id, BackendTarget::Freshness::Any);
}

/// Each transaction has recipient lines that say the same: this one is for who looks after the backend.
void Backend::warn(const Running& running, std::string_view trouble, std::string_view why) const {
  const std::string topic = fmt::format("backend {}: {}", target_name(running), trouble);
  journal_.tell({.level = observe::Level::Warning,
                 .message = why.empty() ? topic : fmt::format("{}: {}", topic, why),
                 .addresses = running.task->addresses(),
                 .topic = topic});
}

void Backend::on_greeted() {
  offered_.reset();
  for (const auto& target : targets_) {
    if (!target->last_offered()) continue;
    offered_ = offered_ ? smtp::common(*offered_, *target->last_offered()) : target->last_offered();
  }
}

void Backend::on_empty() {
  if (retired_) on_empty_();
}

// --- time ---

void Backend::watch(TaskId id, Instant when) {
  auto& running = tasks_.at(id);
  deadlines_.erase({running.timer, id});
  running.timer = when;
  deadlines_.emplace(when, id);
  timer_.start_at(deadlines_.begin()->first);
}

void Backend::expired() {
  const Instant now = loop_.now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const TaskId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    out_of_time(id);
  }
  if (!deadlines_.empty()) timer_.start_at(deadlines_.begin()->first);
}

void Backend::out_of_time(TaskId id) {
  auto& running = tasks_.at(id);
  if (running.stage == Stage::Late) {
    take_lease_away(id);
    return conclude_late(id);
  }
  if (!running.ending && running.task->awaits_outcome()) {
    warn(running, "no answer to the final dot in time");
    read_on(id);
    // A copy: the callback may cancel what it is called for.
    const auto otherwise = running.otherwise;
    return running.task->conclude(target_name(running), otherwise);
  }
  if (!running.ending && running.stage == Stage::Waiting) {
    warn(running, "no connection was free in time");
    running.otherwise = smtp::replies::backend_busy;
  }
  take_lease_away(id);
  conclude(id);
}

// --- the end, and what is known ---

void Backend::retire() {
  retired_ = true;
  for (const auto& target : targets_) target->close_idle();
}

bool Backend::empty() const {
  return tasks_.empty() &&
         std::all_of(targets_.begin(), targets_.end(), [](const auto& target) { return target->empty(); });
}

bool Backend::full() const {
  bool any_usable = false;
  for (const auto& target : targets_) {
    if (!target->usable()) continue;
    if (!target->full()) return false;
    any_usable = true;
  }
  return any_usable;
}

void Backend::add_status(std::vector<TargetStatus>& to) const {
  for (const auto& target : targets_) to.push_back(target->status());
}

}  // namespace postern::session
