#include "daemon/app/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "config/from_toml.h"
#include "daemon/app/backend_tls.h"
#include "daemon/app/generations.h"

namespace postern::app {

namespace {

constexpr Duration burst_quiet = std::chrono::milliseconds(50);  // certbot and friends touch several files a renewal
constexpr Duration sweep_interval_min = std::chrono::seconds(1);
// A sweep of many files takes a while: it gets at most one part in this many of the loading thread's time.
constexpr int sweep_share = 20;

observe::LineFormat line_format(config::LogFormat format) {
  return format == config::LogFormat::Json ? observe::LineFormat::Json : observe::LineFormat::Text;
}

observe::Level log_level(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::Error: return observe::Level::Error;
    case config::LogLevel::Warning: return observe::Level::Warning;
    case config::LogLevel::Info: return observe::Level::Info;
    case config::LogLevel::Debug: return observe::Level::Debug;
  }
  return observe::Level::Info;
}

/// Parsing certificates is work for every core: the loading pool's threads run at a lower priority than the loops.
void on_all_cores(certs::Tasks& tasks) {
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  const auto work = [&tasks, &next] {
    for (std::size_t i; (i = next.fetch_add(1)) < tasks.size();) tasks[i]();
  };
  std::vector<std::thread> helpers;
  for (std::size_t i = 1; i < std::min(cores, tasks.size()); ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
}

void append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::string rendered(const certs::Fault& fault) { return fault.source + ": " + fault.text; }

/// What differs but takes a restart to change.
std::vector<std::string> restart_warnings(const config::Config& running, const config::Config& next,
                                          const std::vector<Endpoint>& bound) {
  std::vector<std::string> warnings;
  const auto differs = [&warnings](std::string_view key) {
    warnings.push_back(fmt::format("{} has changed: it takes effect at the next restart", key));
  };
  if (running.start.workers != next.start.workers) differs("workers");
  if (running.start.state_dir != next.start.state_dir) differs("state_dir");
  if (running.start.control != next.start.control) differs("control");
  auto before = bound;
  auto after = listening_addresses(next.run);
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  if (before != after) differs("the set of listening addresses");
  return warnings;
}

}  // namespace

Reloader::Reloader(std::string config_path, Shared& shared, StderrJournal& journal, uv::Loop& control_loop,
                   std::function<void()> on_published)
    : config_path_(std::move(config_path)),
      shared_(shared),
      journal_(journal),
      control_loop_(control_loop),
      on_published_(std::move(on_published)),
      loader_(certs::make_local_file_source()) {}

Reloader::~Reloader() = default;

tl::expected<config::Config, StartFailure> Reloader::start() {
  config::Parsed parsed = config::from_toml(config_path_, config::process_environment());
  StartFailure failure;
  for (const config::Diagnostic& diagnostic : parsed.diagnostics) {
    if (diagnostic.severity == config::Diagnostic::Severity::Error) {
      failure.lines.push_back(diagnostic.rendered());
    } else {
      journal_.note(observe::Level::Warning, diagnostic.rendered());
    }
  }
  if (!parsed.config) return tl::unexpected(std::move(failure));
  config_ = std::move(*parsed.config);
  journal_.configure(log_level(config_.run.log.level), line_format(config_.run.log.format));
  bound_ = listening_addresses(config_.run);

  const certs::LoadOutcome loaded = loader_.load(config_.run.certificates, uv::wall_time(), on_all_cores);
  report(loaded);
  failure.lines = publish_configuration(config_, loaded);
  if (!failure.lines.empty()) return tl::unexpected(std::move(failure));
  return config_;
}

/// Publishes nothing unless all is well; else says why.
std::vector<std::string> Reloader::publish_configuration(const config::Config& next, const certs::LoadOutcome& loaded) {
  const auto previous = shared_.settings.current();
  auto settings =
      make_run_settings(next.run, config_generation_ + 1, config_.start.state_dir, previous.get(), bound_);
  auto errors = unresolved_defaults(*settings, *loaded.snapshot);
  if (auto backend_tls = make_backend_tls(next.run.backends)) {
    settings->backend_tls = std::move(*backend_tls);
  } else {
    append(errors, backend_tls.error());
  }
  if (!errors.empty()) return errors;
  auto generation = make_tls_generation(*settings, next.run.tls);
  if (!generation) return {generation.error().text};

  (*generation)->snapshot = (*generation)->default_snapshot = loaded.snapshot;
  missing_defaults_.clear();
  publish(std::move(*generation), loaded);
  // Settings second: a session that sees a new listener mode finds its SSL_CTX.
  retired_.push_back(shared_.settings.publish(std::move(settings)));
  const std::lock_guard lock(facts_mutex_);
  facts_.config_generation = ++config_generation_;
  return {};
}

/// The listeners' SSL_CTXs stay, only the certificates change. A default that has gone is served from the map that
/// still had it: neither a missing file nor a typing error may leave a listener without a certificate.
void Reloader::publish_certificates(const certs::LoadOutcome& loaded) {
  const auto previous = shared_.tls.current();
  auto generation = std::make_shared<session::TlsGeneration>(*previous);
  generation->snapshot = loaded.snapshot;
  auto missing = unresolved_defaults(*shared_.settings.current(), *loaded.snapshot);
  if (missing.empty()) generation->default_snapshot = loaded.snapshot;
  if (missing != missing_defaults_) {
    for (const std::string& sentence : missing) {
      journal_.note(observe::Level::Error, sentence + "; the certificate that it had before stays in use");
    }
  }
  missing_defaults_ = std::move(missing);
  publish(std::move(generation), loaded);
}

void Reloader::publish(std::shared_ptr<session::TlsGeneration> generation, const certs::LoadOutcome& loaded) {
  retired_.push_back(shared_.tls.publish(std::move(generation)));
  const std::lock_guard lock(facts_mutex_);
  facts_.map_version = loaded.snapshot->version();
  facts_.names = loaded.snapshot->name_count();
  facts_.certificates = loaded.snapshot->certificate_count();
}

void Reloader::free_retired() {
  std::erase_if(retired_, [](const auto& generation) { return generation.use_count() <= 1; });
}

void Reloader::report(const certs::LoadOutcome& loaded) {
  for (const certs::Fault& fault : loaded.faults) {
    const bool warning = fault.severity == certs::Fault::Severity::Warning;
    journal_.note(warning ? observe::Level::Warning : observe::Level::Error, rendered(fault));
  }
  std::vector<std::string> standing;
  for (const certs::Fault& fault : loaded.standing) standing.push_back(rendered(fault));
  const std::lock_guard lock(facts_mutex_);
  facts_.faults = std::move(standing);
}

control::ReloadReply Reloader::load_everything() {
  control::ReloadReply reply;
  config::Parsed parsed = config::from_toml(config_path_, config::process_environment());
  for (const config::Diagnostic& diagnostic : parsed.diagnostics) {
    const bool error = diagnostic.severity == config::Diagnostic::Severity::Error;
    (error ? reply.errors : reply.warnings).push_back(diagnostic.rendered());
  }
  // A broken configuration does not keep renewed certificates from being served.
  const config::Config& next = parsed.config ? *parsed.config : config_;
  certs::LoadOutcome loaded = loader_.load(next.run.certificates, uv::wall_time(), on_all_cores);
  if (parsed.config) {
    append(reply.warnings, restart_warnings(config_, *parsed.config, bound_));
    reply.errors = publish_configuration(*parsed.config, loaded);
    reply.configuration_taken = reply.errors.empty();
    if (!reply.configuration_taken) {  // then its sources are not taken either
      loaded = loader_.load(config_.run.certificates, uv::wall_time(), on_all_cores);
    }
  }
  report(loaded);
  if (reply.configuration_taken) {
    config_.run = std::move(parsed.config->run);
    journal_.configure(log_level(config_.run.log.level), line_format(config_.run.log.format));
  } else if (loaded.anything_changed) {
    publish_certificates(loaded);
  }
  reply.added = loaded.changes.added;
  reply.removed = loaded.changes.removed;
  reply.renewed = loaded.changes.renewed;
  reply.faults = facts().faults;
  return reply;
}

bool Reloader::load_certificates() {
  const certs::LoadOutcome loaded = loader_.load(config_.run.certificates, uv::wall_time(), on_all_cores);
  report(loaded);
  if (!loaded.anything_changed) return false;
  publish_certificates(loaded);
  journal_.note(observe::Level::Info,
                fmt::format("certificates reloaded: {} names added, {} removed, {} renewed; map version {}",
                            loaded.changes.added.size(), loaded.changes.removed.size(), loaded.changes.renewed.size(),
                            loaded.snapshot->version()));
  return true;
}

void Reloader::submit(std::function<void()> work, std::function<void()> done) {
  const bool queued = loading_pool_.submit(
      [this, work = std::move(work)] {
        free_retired();
        work();
      },
      control_loop_, std::move(done));
  // The queue holds at most one look at the certificates and what the few control connections ask for.
  if (!queued) journal_.note(observe::Level::Error, "too many reloads are waiting: this one was dropped");
}

void Reloader::reload(std::function<void(control::ReloadReply)> done) {
  auto reply = std::make_shared<control::ReloadReply>();
  auto directories = std::make_shared<std::vector<std::string>>();
  submit(
      [this, reply, directories] {
        *reply = load_everything();
        *directories = loader_.watched_directories();
      },
      [this, reply, directories, done = std::move(done)] {
        if (watching_) watch_->set(*directories);
        on_published_();
        done(std::move(*reply));
      });
}

void Reloader::reload_certificates() {
  if (certificates_requested_) {
    look_again_ = true;
    return;
  }
  certificates_requested_ = true;
  look_began_ = uv::monotonic_now();
  auto published = std::make_shared<bool>(false);
  auto directories = std::make_shared<std::vector<std::string>>();
  submit(
      [this, published, directories] {
        *published = load_certificates();
        *directories = loader_.watched_directories();
      },
      [this, published, directories] {
        certificates_requested_ = false;
        if (!watching_) return;
        watch_->set(*directories);
        if (*published) on_published_();
        if (std::exchange(look_again_, false)) return reload_certificates();
        schedule_sweep();
      });
}

void Reloader::watch() {
  watching_ = true;
  watch_ = std::make_unique<uv::DirectoryWatch>(control_loop_, burst_quiet, [this] { reload_certificates(); });
  watch_->set(loader_.watched_directories());
  sweep_timer_ = std::make_unique<uv::Timer>(control_loop_, [this] { reload_certificates(); });
  schedule_sweep();
}

void Reloader::schedule_sweep() {
  const Instant now = uv::monotonic_now();
  const Duration took = look_began_ == Instant{} ? Duration{} : now - look_began_;
  sweep_timer_->start_at(control_loop_.now() + std::max(sweep_interval_min, took * sweep_share));
}

void Reloader::stop() {
  watching_ = false;
  watch_.reset();
  sweep_timer_.reset();
}

GenerationFacts Reloader::facts() const {
  const std::lock_guard lock(facts_mutex_);
  return facts_;
}

}  // namespace postern::app
