// One backend of the configuration: its targets, and the tasks that are under way with it. Decides which target a task
// tries next and when it has had enough time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/session/backend_target.h"
#include "daemon/session/outbound_task.h"
#include "daemon/session/share_table.h"

namespace postern::session {

class Backend final : private BackendTarget::Borrower {
 public:
  /// `on_empty`: the last task has ended or the last connection has closed; comes from within, so do not destroy here.
  Backend(uv::Loop& loop, uv::Resolver& resolver, Journal& journal, const Backends::Options& options,
          ShareTable& shares, delivery::BackendSettings settings, std::shared_ptr<const tls::ClientContext> tls,
          std::function<void()> on_empty);
  ~Backend() override;

  const delivery::BackendSettings& settings() const { return settings_; }

  /// Connections that are made from now on use it.
  void use_tls(std::shared_ptr<const tls::ClientContext> context) { tls_ = std::move(context); }

  /// Begins a task under a number of the caller's. It is concluded when it has its answer, at `deadline`, or when there
  /// is no target left to try; never within the call.
  void start(TaskId id, std::unique_ptr<OutboundTask> task, Instant deadline);

  /// Nobody waits for the task any more. A connection on which a final dot was sent is read to its end.
  void cancel(TaskId id);

  /// The attempt of this task cannot be finished: it is concluded with `reply` at the next turn of the loop.
  void end_soon(TaskId id, smtp::Reply reply);

  /// Finishes what is under way, keeps no connection.
  void retire();
  bool empty() const;

  /// What every target offered at its last greeting, as far as there was one; nothing before the first.
  const std::optional<smtp::Capabilities>& offered() const { return offered_; }

  /// The number of the target that a task with this key is for, where recipients are spread over targets; else 0.
  std::size_t home_of(const smtp::ForwardPath& to) const;

  /// Whether a task that is started now has to be refused because too many wait already. (A dead backend is another
  /// matter: its refusal says so.)
  bool full() const;

  void add_status(std::vector<TargetStatus>& to) const;

 private:
  class WithinCall;

  enum class Stage {
    Seeking,  ///< has no lease
    Dialling,
    Waiting,  ///< in line for a connection
    Lent,     ///< has a connection
    Late,     ///< has one still, but the task was concluded, or nobody waits
  };

  struct Running {
    std::unique_ptr<OutboundTask> task;
    Instant deadline{};      // of the task as a whole
    Instant timer{};         // what is in deadlines_: `deadline`, or the end of waiting in line before it
    Instant waits_until{};   // in line, at all targets together
    std::vector<std::size_t> order;  // of targets
    std::size_t tried = 0;           // → order: the one that is tried
    Stage stage = Stage::Seeking;
    bool retried_fresh = false;
    smtp::Reply otherwise;  // the answer, if no attempt brings another
    bool ending = false;    // to be concluded at the next turn of the loop
  };

  void on_leased(TaskId id) override;
  void on_dialling(TaskId id) override;
  void on_turned_away(TaskId id) override;
  void on_event(TaskId id, const smtp::ClientEvent& event) override;
  void on_room(TaskId id) override;
  void on_lost(TaskId id, const Loss& loss) override;
  void on_greeted() override;
  void on_empty() override;

  std::vector<std::size_t> order_for(std::string_view key);
  BackendTarget& target_of(const Running& running) const { return *targets_[running.order[running.tried]]; }
  void seek(TaskId id, BackendTarget::Freshness freshness);
  void begin(TaskId id);
  void finished(TaskId id);
  void conclude(TaskId id);
  void conclude_late(TaskId id);
  std::string target_name(const Running& running) const;
  void warn(const Running& running, std::string_view trouble, std::string_view why = {}) const;
  void erase(TaskId id);
  void take_lease_away(TaskId id);
  void read_on(TaskId id);
  void watch(TaskId id, Instant when);
  void expired();
  void out_of_time(TaskId id);

  uv::Loop& loop_;
  Journal& journal_;
  const Backends::Options& options_;
  const delivery::BackendSettings settings_;
  std::shared_ptr<const tls::ClientContext> tls_;
  std::function<void()> on_empty_;
  std::vector<std::shared_ptr<BackendTarget>> targets_;
  std::vector<std::string> target_names_;
  std::size_t turn_ = 0;  // counts tasks
  std::unordered_map<TaskId, Running> tasks_;
  std::set<std::pair<Instant, TaskId>> deadlines_;
  uv::Timer timer_;
  std::optional<smtp::Capabilities> offered_;
  unsigned calls_ = 0;  // from outside that have not returned
  bool retired_ = false;
};

}  // namespace postern::session
