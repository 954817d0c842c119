#include "daemon/session/backend.h"

#include <algorithm>

#include "base/text.h"
#include "daemon/session/outbound_check.h"
#include "smtp/replies.h"

namespace postern::session {

namespace {

/// The task of our own that greets a new backend; callers count from 1.
constexpr TaskId greeting = 0;

}  // namespace

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
                 delivery::BackendSettings settings, std::shared_ptr<const tls::ClientContext> tls,
                 std::function<void()> on_empty)
    : loop_(loop),
      journal_(journal),
      options_(options),
      settings_(std::move(settings)),
      tls_(std::move(tls)),
      on_empty_(std::move(on_empty)),
      timer_(loop, [this] { expired(); }) {
  BackendTarget::Borrower& borrower = *this;
  for (const auto& target : settings_.targets) {
    targets_.push_back(std::make_shared<BackendTarget>(
        BackendTarget::Environment{loop, resolver, journal, options_, settings_, tls_}, target, borrower));
  }
  greet();
}

Backend::~Backend() = default;

// --- tasks ---

void Backend::start(TaskId id, std::unique_ptr<OutboundTask> task, Instant deadline) {
  const WithinCall guard(*this);
  Running running;
  running.task = std::move(task);
  running.deadline = deadline;
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

/// Asks one target after the other for a connection, from the one that is tried now.
void Backend::seek(TaskId id, BackendTarget::Freshness freshness) {
  auto& running = tasks_.at(id);
  for (; running.target < targets_.size(); ++running.target) {
    switch (targets_[running.target]->lease(id, freshness)) {
      case BackendTarget::Lease::Ready:
        return begin(id);
      case BackendTarget::Lease::Dialling:
        running.stage = Stage::Dialling;
        return;
      case BackendTarget::Lease::Waiting:
        running.stage = Stage::Waiting;
        return watch(id, std::min(running.deadline, loop_.now() + options_.wait_max));
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
  auto& connection = targets_[running.target]->connection(id);
  running.stage = Stage::Lent;
  running.otherwise = smtp::replies::backend_lost;
  watch(id, running.deadline);
  if (running.task->begin(connection, loop_.now()) == OutboundTask::Progress::Finished) return finished(id);
  connection.pump();
}

void Backend::finished(TaskId id) {
  auto& running = tasks_.at(id);
  const bool late = std::exchange(running.stage, Stage::Seeking) == Stage::Late;
  targets_[running.target]->give_back(id);
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
  const auto tried = std::min(running.target, targets_.size() - 1);
  return targets_.empty() ? settings_.name : fmt::format("{} {}", settings_.name, targets_[tried]->name());
}

void Backend::erase(TaskId id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  deadlines_.erase({found->second.timer, id});
  tasks_.erase(found);
  if (id == greeting) greet_later();
  if (retired_ && tasks_.empty()) on_empty_();
}

void Backend::take_lease_away(TaskId id) {
  auto& running = tasks_.at(id);
  if (running.stage == Stage::Seeking) return;
  running.stage = Stage::Seeking;
  running.task->on_lost(nullptr);
  targets_[running.target]->drop(id);
}

/// The answer has been given, or nobody wants it: what the backend still says of the message is worth a log line.
void Backend::read_on(TaskId id) {
  tasks_.at(id).stage = Stage::Late;
  watch(id, loop_.now() + options_.late_max);
}

// --- what the targets say ---

void Backend::on_leased(TaskId id) { begin(id); }

void Backend::on_turn(TaskId id) {
  tasks_.at(id).stage = Stage::Seeking;
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
    warn(running, fmt::format("failed at {}: {}", to_string(loss.failed.stage), loss.failed.error.text));
  }
  if (std::exchange(running.stage, Stage::Seeking) == Stage::Late) return conclude_late(id);
  if (running.ending) return;
  if (!running.task->may_start_again()) return conclude(id);
  ++running.target;
  seek(id, BackendTarget::Freshness::Any);
}

void Backend::warn(const Running& running, std::string_view trouble) const {
  journal_.note(observe::Level::Warning, fmt::format("backend {}: {}", target_name(running), trouble));
}

void Backend::on_greeted(const smtp::PeerExtensions& extensions) { offered_ = extensions; }

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
    if (tasks_.contains(id)) {
      out_of_time(id);
    } else if (!offered_) {
      greet();
    }
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

// --- the first greeting ---

/// What the backend offers has to be known before the first client asks for it.
void Backend::greet() {
  const auto& timeouts = settings_.timeouts;
  start(greeting, std::make_unique<OutboundGreeting>(), loop_.now() + 2 * timeouts.connect + timeouts.command);
}

void Backend::greet_later() {
  if (offered_ || retired_ || targets_.empty()) return;
  Instant when = loop_.now() + options_.backoff_max;
  for (const auto& target : targets_) {
    if (const auto retry_at = target->retry_at()) when = std::min(when, *retry_at);
  }
  deadlines_.emplace(when, greeting);
  timer_.start_at(deadlines_.begin()->first);
}

// --- the end, and what is known ---

void Backend::retire() {
  retired_ = true;
  cancel(greeting);
  std::erase_if(deadlines_, [](const auto& each) { return each.second == greeting; });
  for (const auto& target : targets_) target->close_idle();
}

bool Backend::empty() const {
  return tasks_.empty() &&
         std::all_of(targets_.begin(), targets_.end(), [](const auto& target) { return target->empty(); });
}

void Backend::add_status(std::vector<TargetStatus>& to) const {
  for (const auto& target : targets_) to.push_back(target->status());
}

}  // namespace postern::session
