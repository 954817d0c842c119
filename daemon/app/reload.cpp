#include "daemon/app/reload.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "base/freed_memory.h"
#include "base/sanitizers.h"
#include "daemon/session/certificate_report.h"

namespace postern::app {

namespace {

constexpr Duration burst_quiet = std::chrono::milliseconds(50);  // certbot and friends touch several files a renewal
constexpr Duration sweep_interval_min = std::chrono::seconds(1);
// A sweep of many files takes a while: it gets at most one part in this many of the loading thread's time; and a smaller
// one when every folder is watched, so that it finds only what a link or a mount further up has changed.
constexpr int sweep_share = 20;
constexpr int sweep_share_watched = 100;
// What takes the loading thread longer has needed much memory, most of it for itself.
constexpr Duration long_work = std::chrono::milliseconds(200);

Duration cpu_time_of_this_thread() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

Reloader::Reloader(std::string config_path, Shared& shared, StderrJournal& journal, uv::Loop& control_loop,
                   std::function<void()> on_published)
    : config_path_(std::move(config_path)),
      shared_(shared),
      journal_(journal),
      control_loop_(control_loop),
      on_published_(std::move(on_published)) {}

Reloader::~Reloader() = default;

bool Reloader::submit(std::function<void()> work, std::function<void()> done) {
  const bool queued = loading_pool_.submit(
      [this, work = std::move(work)] {
        free_retired();
        const Duration began = cpu_time_of_this_thread();
        work();
        if (cpu_time_of_this_thread() - began > long_work) give_back_freed_memory();
      },
      control_loop_, std::move(done));
  // The queue holds at most one look at the certificates and what the few control connections ask for.
  if (!queued) journal_.note(observe::Level::Error, "too many reloads are waiting: this one was dropped");
  return queued;
}

void Reloader::reload(Asker asker, const control::ReloadRequest& request,
                      std::function<void(control::ReloadReply)> done) {
  auto reply = std::make_shared<control::ReloadReply>();
  auto directories = std::make_shared<std::vector<std::string>>();
  submit(
      [this, asker, request, reply, directories] {
        *reply = load_everything(asker, request);
        *directories = watched_directories();
      },
      [this, reply, directories, done = std::move(done)] {
        if (watching_) watch_->set(*directories);
        on_published_();
        done(std::move(*reply));
      });
}

void Reloader::ask(std::function<control::Reply()> work, std::function<void(control::Reply)> done) {
  auto reply = std::make_shared<control::Reply>();
  submit([reply, work = std::move(work)] { *reply = work(); },
         [this, reply, done = std::move(done)] {
           on_published_();  // a rollback publishes; for the others it costs next to nothing
           done(std::move(*reply));
         });
}

void Reloader::answer(const control::CertificatesRequest& request, std::function<void(control::Reply)> done) {
  ask([this, request] {
    return session::list_certificates(map_->loader(), *map_->live(), request, uv::wall_time());
  }, std::move(done));
}

void Reloader::answer(const control::ExplainRequest& request, std::function<void(control::Reply)> done) {
  ask([this, request]() -> control::Reply {
    auto reply = session::explain_name(map_->loader(), *map_->live(), request, uv::wall_time());
    if (auto* explained = std::get_if<control::ExplainReply>(&reply)) {
      const auto settings = shared_.settings.current();
      const auto tls = shared_.tls.current();
      for (const auto& [address, listener] : settings->listeners) {
        if (listener.tls == session::ListenerTls::None) continue;
        explained->defaults.push_back(
            session::default_certificate(address.text(), listener.default_certificate, *tls->default_snapshot));
      }
    }
    return reply;
  }, std::move(done));
}

void Reloader::answer(const control::VersionsRequest&, std::function<void(control::Reply)> done) {
  ask([this]() -> control::Reply {
    control::VersionsReply reply;
    const auto live = map_->live()->version();
    for (const auto& summary : map_->history().list()) reply.versions.push_back(session::map_version(summary, live));
    reply.pinned_version = map_->pinned();
    return reply;
  }, std::move(done));
}

void Reloader::answer(const control::RollbackRequest& request, std::function<void(control::Reply)> done) {
  ask([this, version = request.version] { return roll_back(version); }, std::move(done));
}

void Reloader::look_at(const std::string& folder, const std::optional<std::set<std::string>>& names) {
  auto& known = changed_in_.try_emplace(folder, std::set<std::string>()).first->second;
  if (!names) known.reset();
  if (known) known->insert(names->begin(), names->end());
}

void Reloader::sweep() {
  sweep_wanted_ = true;
  start_look();
}

/// One look at a time; what comes meanwhile is in the next one.
void Reloader::start_look() {
  if (looking_ || !watching_ || (changed_in_.empty() && !sweep_wanted_)) return;
  looking_ = true;
  CertificateLook where;
  where.everywhere = std::exchange(sweep_wanted_, false);
  for (auto& [folder, names] : std::exchange(changed_in_, {})) {
    if (!where.everywhere) where.folders.push_back({folder, std::move(names)});
  }
  const bool sweeping = where.everywhere;
  const Instant began = uv::monotonic_now();
  auto looked = std::make_shared<Looked>();
  const bool queued = submit(
      [this, looked, where = std::move(where)] { *looked = load_certificates(where); },
      [this, looked, sweeping, began] {
        looking_ = false;
        if (!watching_) return;
        if (sweeping) sweep_took_ = uv::monotonic_now() - began;
        look_ended(*looked);
        if (sweeping) schedule_sweep();
        start_look();
      });
  if (!queued) {
    looking_ = false;
    schedule_sweep();
  }
}

void Reloader::look_ended(const Looked& looked) {
  if (looked.published) on_published_();
  if (looked.directories) watch_->set(*looked.directories);
  if (looked.found_unseen) {
    watch_->renew();
  } else {
    watch_->retry();
  }
  say_once_that_watches_are_short();
  if (!looked.look_again) return;
  again_in_.insert(looked.look_again_at.begin(), looked.look_again_at.end());
  const auto left = std::max(std::chrono::seconds(0), *looked.look_again - uv::wall_time());
  again_timer_->start_at(control_loop_.now() + left + std::chrono::milliseconds(100));
}

void Reloader::say_once_that_watches_are_short() {
  if (!watch_->out_of_watches() || std::exchange(short_of_watches_, true)) return;
  journal_.note(observe::Level::Warning,
                fmt::format("{} folders with certificates cannot be watched: raise fs.inotify.max_user_watches (or "
                            "max_user_instances); until then their changes are found by a slower look at all files",
                            watch_->unwatched()));
}

void Reloader::watch() {
  watching_ = true;
  watch_ = std::make_unique<uv::DirectoryWatch>(control_loop_, burst_quiet, [this](const uv::DirectoryChanges& changes) {
    if (changes.lost) sweep_wanted_ = true;
    for (const auto& [folder, names] : changes.directories) look_at(folder, names);
    start_look();
  });
  watch_->set(watched_directories());
  say_once_that_watches_are_short();
  sweep_timer_ = std::make_unique<uv::Timer>(control_loop_, [this] { sweep(); });
  again_timer_ = std::make_unique<uv::Timer>(control_loop_, [this] {
    for (const auto& folder : std::exchange(again_in_, {})) look_at(folder, std::nullopt);
    start_look();
  });
  gate_ = std::make_shared<TlsaGate>(control_loop_, config_.start.dns_servers, shared_.settings, journal_);
  submit([this, gate = gate_] { map_->set_gate([gate](const auto& renewed, const auto& served) { return gate->ask(renewed, served); }); },
         [] {});
  begin_history();
  prove_keys();
  sweep();  // what has changed between the first load and the first watch
}

void Reloader::begin_history() {
  submit(
      [this] {
        if (const auto stored = policy_memory_->commit(); !stored) {
          journal_.note(observe::Level::Error, stored.error().text + "; a restart will not know of policies that changed");
        }
        const auto changes = map_->begin_history(uv::wall_time());
        if (!changes) {
          journal_.note(observe::Level::Error, changes.error().text + "; versions of the certificate map are not kept");
        } else if (!changes->empty()) {
          report_change("certificates since the last run", *changes, map_->newest()->version());
        }
      },
      [] {});
}

/// Those that the start believed; then what it found out can be kept. Piece by piece, so that nothing else waits long for
/// the loading thread.
void Reloader::prove_keys() {
  struct Proven {
    bool published = false, all = false;
  };
  auto proven = std::make_shared<Proven>();
  submit(
      [this, proven] {
        proven->published = prove_some_keys();
        proven->all = !map_->has_keys_to_prove();
      },
      [this, proven] {
        if (proven->published) on_published_();
        if (!proven->all && watching_) prove_keys();
      });
}

void Reloader::schedule_sweep() {
  const int share = watch_->unwatched() == 0 ? sweep_share_watched : sweep_share;
  sweep_timer_->start_at(control_loop_.now() + std::max(sweep_interval_min, sweep_took_ * share));
}

void Reloader::stop() {
  watching_ = false;
  if (gate_) gate_->stop();
  watch_.reset();
  sweep_timer_.reset();
  again_timer_.reset();
}

void Reloader::abandon() {
  loading_pool_.stop();  // which may be looking at them
  map_->stop();
  if constexpr (!address_sanitizer) (void)map_.release();  // which would call it a leak
}

GenerationFacts Reloader::facts() const {
  std::unique_lock lock(facts_mutex_);
  GenerationFacts facts = facts_;
  facts.faults.insert(facts.faults.end(), user_faults_.begin(), user_faults_.end());
  lock.unlock();
  for (const certs::Fault& fault : shared_.credentials.faults()) facts.faults.push_back(fault.source + ": " + fault.text);
  return facts;
}

}  // namespace postern::app
