#include "daemon/app/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "base/text.h"
#include "config/from_toml.h"
#include "daemon/app/admin_answers.h"
#include "daemon/app/admin_server.h"
#include "daemon/app/control_server.h"
#include "daemon/app/generations.h"
#include "daemon/app/handover.h"
#include "daemon/app/ledger_heir.h"
#include "daemon/app/listening_sockets.h"
#include "daemon/app/page.h"
#include "daemon/app/reload.h"
#include "daemon/app/rights.h"
#include "daemon/app/start_rights.h"
#include "daemon/app/service_manager.h"
#include "daemon/app/score_answers.h"
#include "daemon/app/shared.h"
#include "daemon/app/sinks.h"
#include "daemon/app/state_lock.h"
#include "daemon/app/status.h"
#include "daemon/app/upgrade.h"
#include "daemon/app/worker.h"
#include "daemon/storage/secret_file.h"
#include "daemon/uv/signals.h"

namespace postern::app {

namespace {

/// Owns everything of a running posternd. The control loop runs on the thread that calls run().
class Daemon {
 public:
  Daemon(std::string config_path, StderrJournal& journal, StartRights rights)
      : journal_(journal),
        run_as_(std::move(rights.run_as)),
        shared_(journal, std::move(rights.loader)),
        reloader_(std::move(config_path), shared_, journal, loop_, [this] { refresh_workers(); }),
        upgrade_({loop_, journal, shared_, sockets_, lock_, std::move(rights.launcher),
                  [this](pid_t successor) { step_down(successor); }}) {}

  Exit run() {
    const auto config = reloader_.start(Reloader::Reading::AsConfigured);
    if (!config) return failed(Exit::ConfigurationError, config.error().lines);
    log_file_ = config->run.log.file;
    if (const auto opened = open_log(); !opened) return failed(Exit::RunFailure, {opened.error().text});
    if (const auto prepared = prepare(*config); prepared != Exit::Ok) return prepared;

    const uv::Signal terminate(loop_, SIGTERM, [this] { end_on("SIGTERM"); });
    const uv::Signal interrupt(loop_, SIGINT, [this] { end_on("SIGINT"); });
    const uv::Signal hang_up(loop_, SIGHUP, [this] { reload_on_signal(); });
    const uv::Signal reopen(loop_, SIGUSR1, [this] { reopen_log(); });
    const uv::Signal replace(loop_, SIGUSR2, [this] { replace_this(); });
    // Only now: from the first greeting on, signals must do what they are for.
    for (auto& worker : workers_) worker->start();
    sample_rates();
    if (predecessor_) predecessor_->ready();
    reloader_.watch();
    journal_.note(observe::Level::Info, fmt::format("posternd {} is ready: {}, {}, {}",
                                                    POSTERN_VERSION, counted(workers_.size(), "worker"),
                                                    counted(reloader_.facts().names, "name"),
                                                    counted(reloader_.facts().certificates, "certificate")));
    say_ready();
    loop_.run();
    for (auto& worker : workers_) worker->join();
    shared_.score->stop();
    testament_.reset();
    shared_.ledger->stop();  // while the loops are there that it calls back to
    shared_.stop_pools();
    journal_.note(observe::Level::Info, "posternd has ended");
    reloader_.abandon();
    return Exit::Ok;
  }

 private:
  /// Takes what only one posternd may have, and makes the workers.
  Exit prepare(const config::Config& config) {
    if (!predecessor_) {  // it holds the lock until we have everything else
      if (const auto locked = lock_.take(config.start.state_dir); !locked) return failed(Exit::RunFailure, {locked.error().text});
    }
    if (const auto warning = check_descriptor_limit(config.run.connection_limits.connections)) {
      journal_.note(observe::Level::Warning, *warning);
    }
    const unsigned count = config.start.workers != 0 ? config.start.workers : std::max(1u, std::thread::hardware_concurrency());
    listeners_ = listening_addresses(config.run);
    using From = ListeningSockets::From;
    const auto passed = sockets_.take_passed(predecessor_ ? From::Predecessor : From::ServiceManager);
    if (!passed) return failed(Exit::RunFailure, {passed.error().text});
    auto sockets = sockets_.bind(listeners_, count);
    if (!sockets) {
      std::vector<std::string> lines;
      for (const Error& error : sockets.error()) lines.push_back(error.text);
      return failed(Exit::RunFailure, lines);
    }
    if (!config.start.control.empty()) {
      auto bound = sockets_.bind_path(config.start.control);
      if (!bound) return failed(Exit::RunFailure, {"control: " + bound.error().text});
      control_ = std::make_unique<ControlServer>(
          loop_, std::move(*bound), [this](const control::Request& request, auto reply) { handle(request, std::move(reply)); });
    }
    if (auto lines = open_admin_listeners(config.start.admin); !lines.empty()) return failed(Exit::RunFailure, lines);
    sockets_.drop_unused(journal_);
    if (predecessor_) {
      auto taken = predecessor_->take_over();
      if (taken) taken = lock_.take(config.start.state_dir);
      if (!taken) return failed(Exit::RunFailure, {taken.error().text});
    }
    if (const auto dropped = drop_rights(config.start); !dropped) return failed(Exit::RunFailure, {dropped.error().text});
    if (config.start.sandbox) enter_sandbox();
    // Whether or not it is used now: a reload may turn it on, and `postern log hash` must agree.
    const auto key = storage::secret_file(config.start.state_dir + "/addresses.key", "addresses have new digests in the log");
    if (!key) return failed(Exit::RunFailure, {key.error().text});
    journal_.set_address_key({*key});
    auto ledger = storage::StoredLedger::open(
        {.state_dir = config.start.state_dir,
         .settings = config.run.ledger,
         .note = [this](observe::Level level, std::string_view text) { journal_.note(level, text); }});
    if (!ledger) return failed(Exit::RunFailure, {ledger.error().text});
    shared_.ledger = std::move(*ledger);
    if (predecessor_) testament_ = std::make_unique<LedgerTestament>(predecessor_->take_ledger(), *shared_.ledger);
    shared_.score = std::make_unique<ScoreKeeper>(loop_, config.start.state_dir, config.run.score, journal_);
    for (unsigned i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>(Worker::Options{i, count, config.run.hostname, config.start.dns_servers}, shared_,
                                                  std::move((*sockets)[i])));
    }
    return Exit::Ok;
  }

  /// What root is needed for has been done.
  Result<void> drop_rights(const config::StartConfig& start) {
    if (!run_as_) {
      if (is_root()) journal_.note(observe::Level::Warning, "posternd runs as root: name whom it should become with user");
      return {};
    }
    if (auto given = give_folder(start.state_dir, *run_as_); !given) return given;
    for (const std::string& path : sockets_.own_paths()) {
      if (::lchown(path.c_str(), run_as_->user, run_as_->group) != 0) {
        return fail("{}: cannot be given to user {}: {}", path, run_as_->user_name, std::strerror(errno));
      }
    }
    if (auto became = become(*run_as_); !became) return became;
    journal_.note(observe::Level::Info, fmt::format("posternd runs as user {} from here on", run_as_->user_name));
    return {};
  }

  /// What is forbidden now is forbidden to the threads that are made from here on.
  void enter_sandbox() {
    journal_.rest();
    shared_.rest_pools();
    reloader_.confine_process(sockets_.own_paths());
  }

  Result<void> open_log() {
    if (log_file_.empty()) return {};
    const int descriptor = ::open(log_file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (descriptor < 0) return fail("log.file: {}: {}", log_file_, std::strerror(errno));
    if (run_as_ && is_root() && ::fchown(descriptor, run_as_->user, run_as_->group) != 0) {
      journal_.note(observe::Level::Warning, fmt::format("log.file: {}: cannot be given to user {}, who has to open it on SIGUSR1: {}",
                                                         log_file_, run_as_->user_name, std::strerror(errno)));
    }
    journal_.stay_with_standard_error();
    // In one step for all threads; a crash's last words go there too.
    ::dup3(descriptor, STDERR_FILENO, O_CLOEXEC);
    ::close(descriptor);
    return {};
  }

  void reopen_log() {
    if (const auto opened = open_log(); !opened) {
      return journal_.note(observe::Level::Error, opened.error().text + "; the log goes to the file that was open before");
    }
    journal_.note(observe::Level::Info, log_file_.empty() ? "SIGUSR1: the log goes to stderr, there is nothing to be opened"
                                                          : "the log file was opened anew");
  }

  void say_ready() {
    service_.tell(fmt::format("READY=1\nSTATUS={}, {}", counted(reloader_.facts().names, "name"),
                              counted(reloader_.facts().certificates, "certificate")));
  }

  /// Returns what went wrong.
  std::vector<std::string> open_admin_listeners(const std::vector<config::AdminListener>& listeners) {
    std::vector<std::string> wrong;
    for (const config::AdminListener& listener : listeners) {
      std::string token;
      if (!listener.token_file.empty()) {
        auto read = read_token(listener.token_file);
        if (!read) wrong.push_back(read.error().text);
        token = read.value_or("");
      }
      const auto open = [&](Result<uv::Bound> bound, const std::string& address, AdminServer::Hosts hosts) {
        if (!bound) return wrong.push_back(bound.error().text);
        admin_listeners_.push_back(address);
        admin_.push_back(std::make_unique<AdminServer>(
            loop_, std::move(*bound), AdminServer::Options{token, hosts},
            [this, within = listener.expires_within](const http::Request& request, auto reply) {
              answers_.answer(request, within, std::move(reply));
            }));
      };
      for (const Endpoint& address : listener.addresses) {
        open(sockets_.bind_alone(address), address.text(), token.empty() ? AdminServer::Hosts::Loopback : AdminServer::Hosts::Any);
      }
      for (const std::string& path : listener.sockets) open(sockets_.bind_path(path), "unix:" + path, AdminServer::Hosts::Any);
    }
    return wrong;
  }

  StatusSources sources() {
    return {.control_loop = loop_,
            .shared = shared_,
            .journal = journal_,
            .reloader = reloader_,
            .workers = workers_,
            .listeners = listeners_,
            .admin_listeners = admin_listeners_,
            .rates = rates_,
            .started = started_,
            .draining = draining_,
            .ending = shutting_down_};
  }

  Exit failed(Exit code, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) journal_.note(observe::Level::Error, line);
    return code;
  }

  void refresh_workers() {
    if (shared_.ledger) shared_.ledger->configure(shared_.settings.current()->ledger);
    if (shared_.score) shared_.score->configure(shared_.settings.current()->score);
    for (auto& worker : workers_) worker->refresh();
  }

  void handle(const control::Request& request, std::function<void(control::Reply)> reply) {
    if (const auto* reload = std::get_if<control::ReloadRequest>(&request)) {
      reloader_.reload(Reloader::Asker::Tool, *reload,
                       [reply = std::move(reply)](control::ReloadReply made) { reply(std::move(made)); });
    } else if (const auto* certificates = std::get_if<control::CertificatesRequest>(&request)) {
      reloader_.answer(*certificates, std::move(reply));
    } else if (const auto* explain = std::get_if<control::ExplainRequest>(&request)) {
      reloader_.answer(*explain, std::move(reply));
    } else if (const auto* versions = std::get_if<control::VersionsRequest>(&request)) {
      reloader_.answer(*versions, std::move(reply));
    } else if (const auto* rollback = std::get_if<control::RollbackRequest>(&request)) {
      reloader_.answer(*rollback, std::move(reply));
    } else if (const auto* sessions = std::get_if<control::SessionsRequest>(&request)) {
      const auto limit = static_cast<std::size_t>(std::clamp<std::uint64_t>(sessions->limit, 1, control::page_rows_max));
      ask_workers(sources(), {limit, sessions->text}, [limit, reply = std::move(reply)](Overview overview) {
        reply(sessions_reply(std::move(overview), limit));
      });
    } else if (std::holds_alternative<control::DrainRequest>(request)) {
      reply(drain());
    } else if (std::holds_alternative<control::UndrainRequest>(request)) {
      reply(undrain());
    } else if (const auto* level = std::get_if<control::LogLevelRequest>(&request)) {
      reply(set_log_level(*level));
    } else if (asks_score(request)) {
      answer_from_score({*shared_.score, shared_.settings, shared_.tls, workers_}, request, std::move(reply));
    } else if (const auto* page = std::get_if<control::PageRequest>(&request)) {
      answer_with_page(sources(), *page, std::move(reply));
    } else {
      ask_workers(sources(), {}, [this, reply = std::move(reply)](const Overview& overview) {
        reply(status_reply(sources(), overview));
      });
    }
  }

  /// Also the sign of life: every loop has turned.
  void sample_rates() {
    journal_.sum_up_repeats();
    if (shutting_down_) {  // the loops end one after the other, within the time limits that hold for it
      service_.tell("WATCHDOG=1");
      return rates_timer_.start_at(loop_.now() + Rates::sample_every);
    }
    ask_workers(sources(), {}, [this](const Overview& overview) {
      service_.tell("WATCHDOG=1");
      rates_.sample(overview.counters, uv::monotonic_now());
      rates_timer_.start_at(loop_.now() + Rates::sample_every);
    });
  }

  control::Reply drain() {
    const Duration notice = shared_.settings.current()->drain_notice;
    if (!std::exchange(draining_, true)) {
      journal_.note(observe::Level::Info, fmt::format("draining: connections are accepted for another {}", readable(notice)));
      door_timer_.start_at(loop_.now() + notice);
      door_closes_at_ = loop_.now() + notice;
    }
    const auto left = std::chrono::ceil<std::chrono::seconds>(std::max(Duration::zero(), door_closes_at_ - loop_.now()));
    return control::DrainReply{true, static_cast<std::uint64_t>(left.count())};
  }

  void close_the_door() {
    journal_.note(observe::Level::Info, "draining: no more connections are accepted");
    for (auto& worker : workers_) worker->close_the_door();
  }

  control::Reply undrain() {
    if (std::exchange(draining_, false)) {
      door_timer_.stop();
      for (auto& worker : workers_) worker->open_the_door();
      journal_.note(observe::Level::Info, "no longer draining: connections are accepted");
    }
    return control::DrainReply{};
  }

  control::Reply set_log_level(const control::LogLevelRequest& request) {
    const auto before = journal_.level();
    for (const auto level : {observe::Level::Error, observe::Level::Warning, observe::Level::Info, observe::Level::Debug}) {
      if (!request.level.empty() && request.level != observe::to_string(level)) continue;
      if (!request.level.empty()) journal_.set_level(level);
      return control::LogLevelReply{std::string(observe::to_string(journal_.level())), std::string(observe::to_string(before))};
    }
    return control::ErrorReply{fmt::format("unknown level \"{}\"; known are: error, warning, info, debug",
                                           escaped(request.level, 64))};
  }

  void reload_on_signal() {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(uv::monotonic_now().time_since_epoch());
    service_.tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.count()));
    reloader_.reload(Reloader::Asker::Signal, {}, [this](const control::ReloadReply& reply) {
      for (const std::string& error : reply.errors) journal_.note(observe::Level::Error, error);
      for (const std::string& warning : reply.warnings) journal_.note(observe::Level::Warning, warning);
      journal_.note(reply.configuration_taken ? observe::Level::Info : observe::Level::Error,
                    fmt::format("{}: {} added, {} removed, {} renewed",
                                reply.configuration_taken ? "configuration reloaded"
                                                          : "the configuration was not taken, the one before goes on",
                                counted(reply.added.size(), "name"), reply.removed.size(), reply.renewed.size()));
      if (!shutting_down_) say_ready();
    });
  }

  void replace_this() {
    if (shutting_down_ || draining_) {
      return journal_.note(observe::Level::Error, "SIGUSR2: no new posternd is started while this one is draining or ending");
    }
    upgrade_.start();
  }

  /// The new posternd serves.
  void step_down(pid_t successor) {
    service_.tell(fmt::format("MAINPID={}", successor));
    service_.fall_silent();
    sockets_.leave_paths();
    if (control_) control_->close();
    for (auto& admin : admin_) admin->close();
    shut_down("SIGUSR2");
  }

  void end_on(std::string_view signal) {
    upgrade_.abandon();
    shut_down(signal);
  }

  void shut_down(std::string_view signal) {
    if (shutting_down_) return;
    shutting_down_ = true;
    journal_.note(observe::Level::Info, fmt::format("{}: no new connections, sessions may end", signal));
    const Duration drain = shared_.settings.current()->drain;
    service_.tell("STOPPING=1");
    door_timer_.stop();
    reloader_.stop();
    workers_left_ = workers_.size();
    for (auto& worker : workers_) {
      worker->shut_down(drain, [this] { loop_.post([this] { worker_ended(); }); });
    }
  }

  void worker_ended() {
    if (--workers_left_ > 0) return;
    rates_timer_.stop();
    if (control_) control_->close();
    for (auto& admin : admin_) admin->close();
    sockets_.remove_paths();
    // At the next turn, when the control connections have said that they are closed.
    loop_.post([this] { loop_.stop(); });
  }

  StderrJournal& journal_;
  std::optional<RunAs> run_as_;  // whom we become
  std::optional<Predecessor> predecessor_ = Predecessor::of_environment();
  std::string log_file_;
  ServiceManager service_;
  ListeningSockets sockets_;
  const Instant started_ = uv::monotonic_now();
  uv::Loop loop_;
  Shared shared_;
  Reloader reloader_;
  StateLock lock_;
  Upgrade upgrade_;
  std::unique_ptr<LedgerTestament> testament_;  // of a predecessor
  std::vector<Endpoint> listeners_;
  std::unique_ptr<ControlServer> control_;
  AdminAnswers answers_{[this] { return sources(); }};
  std::vector<std::unique_ptr<AdminServer>> admin_;
  std::vector<std::string> admin_listeners_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Rates rates_;
  uv::Timer rates_timer_{loop_, [this] { sample_rates(); }};
  bool draining_ = false;
  Instant door_closes_at_{};
  uv::Timer door_timer_{loop_, [this] { close_the_door(); }};
  std::size_t workers_left_ = 0;
  bool shutting_down_ = false;
};

}  // namespace

namespace {

/// A message larger than the C library's thresholds would be mapped and unmapped, or the heap trimmed, each time: page
/// faults were a sixth of the cost of a message of 100 KiB. What is kept instead is bounded. And a heap grows by as much
/// as a huge page holds, not by 132 KiB: while 10^5 certificates are read, each step costs a system call (and an operator
/// may ask for huge pages, see docs/tuning.md).
void keep_freed_memory() {
  constexpr int kept_octets_max = 16 * 1024 * 1024;  // of each arena: one for a worker, more or less
  constexpr int mapped_octets_min = 4 * 1024 * 1024;
  constexpr int grown_octets = 2 * 1024 * 1024;
  ::mallopt(M_TOP_PAD, grown_octets);
  ::mallopt(M_TRIM_THRESHOLD, kept_octets_max);
  ::mallopt(M_MMAP_THRESHOLD, mapped_octets_min);
}

}  // namespace

Exit run(const std::string& config_path, const std::optional<Invocation>& invocation) {
  auto launcher = invocation ? start_launcher(*invocation) : std::nullopt;  // first of all: it keeps what we have now
  keep_freed_memory();
  // A peer that has gone is a failed write, not the end of the process, and so is a file that may grow no more.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  forbid_new_rights();
  auto rights = prepare_rights(config_path);
  StderrJournal journal;
  if (!rights) {
    journal.note(observe::Level::Error, rights.error().text);
    return Exit::ConfigurationError;
  }
  rights->launcher = std::move(launcher);
  Daemon daemon(config_path, journal, std::move(*rights));
  return daemon.run();
}

}  // namespace postern::app
