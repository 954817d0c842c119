// What the Reloader does on the loading thread.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "certs/anchors.h"
#include "daemon/app/backend_tls.h"
#include "daemon/app/confinement.h"
#include "daemon/app/generations.h"
#include "daemon/app/reload.h"

namespace postern::app {

namespace {

constexpr std::size_t faults_logged_max = 50;  // of one load; `postern certs --state failed` has them all
constexpr std::size_t names_logged_max = 5;
constexpr std::size_t expiring_max = 100;

class AnchorJudge final : public session::ChainJudge {
 public:
  explicit AnchorJudge(std::shared_ptr<const certs::Anchors> anchors) : anchors_(std::move(anchors)) {}
  bool vouch_for(const tls::Credential& credential, WallTime now) const override {
    return anchors_->vouch_for(credential, now);
  }

 private:
  const std::shared_ptr<const certs::Anchors> anchors_;
};

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

observe::Addresses log_addresses(config::LogAddresses addresses) {
  switch (addresses) {
    case config::LogAddresses::Full: return observe::Addresses::Full;
    case config::LogAddresses::Hash: return observe::Addresses::Hash;
    case config::LogAddresses::Domain: return observe::Addresses::Domain;
  }
  return observe::Addresses::Domain;
}

void configure(StderrJournal& journal, const config::LogSettings& log) {
  journal.configure(log_level(log.level), line_format(log.format), log_addresses(log.addresses));
}

void append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// Many a text begins with the file itself, which is named once.
std::string rendered(const certs::Fault& fault) {
  return fault.text.starts_with(fault.source + ": ") ? fault.text : fault.source + ": " + fault.text;
}

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
  if (running.start.user != next.start.user) differs("user");
  if (running.start.group != next.start.group) differs("group");
  if (running.start.sandbox != next.start.sandbox) differs("sandbox");
  if (running.start.dns_servers != next.start.dns_servers) differs("dns.servers");
  if (running.start.admin != next.start.admin) differs("[[listen]] with protocol = \"admin\"");
  auto before = bound;
  auto after = listening_addresses(next.run);
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  if (before != after) differs("the set of listening addresses");
  return warnings;
}

}  // namespace

tl::expected<config::Config, StartFailure> Reloader::start(Reading reading) {
  config::Parsed parsed = read_configuration(config_path_, config_folders_);
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
  configure(journal_, config_.run.log);
  bound_ = listening_addresses(config_.run);
  if (reading == Reading::Everything) config_.run.certificates.load = certs::Load::Eager;
  shared_.credentials.set_capacity(config_.run.certificates.cache);

  map_ = std::make_unique<CertificateMap>(shared_.files, config_.start.state_dir);
  policy_memory_ = std::make_unique<session::PolicyMemory>(config_.start.state_dir);
  std::vector<std::string> warnings;
  keep_policies(config_, warnings);
  for (const std::string& warning : warnings) journal_.note(observe::Level::Warning, warning);
  std::string notice;
  // Who only asks whether all is well wants to know it now.
  const auto keys = reading == Reading::Everything ? tls::KeyCheck::Whole : tls::KeyCheck::Claim;
  const MapNews news = map_->start(config_.run.certificates, uv::wall_time(), keys, notice);
  if (!notice.empty()) journal_.note(observe::Level::Warning, notice);
  if (reading == Reading::AsConfigured) {
    journal_.note(observe::Level::Info,
                  fmt::format("certificate sources: {} read and checked, {} known from the last run",
                              news.loaded.items_read_anew, news.loaded.items_remembered));
  }
  look_at_ticket_keys();
  report(news.loaded);
  failure.lines = publish_configuration(config_, pinned_or(news.loaded.snapshot));
  if (!failure.lines.empty()) return tl::unexpected(std::move(failure));
  return config_;
}

/// What senders may still hold of earlier policies goes on being served.
void Reloader::keep_policies(config::Config& next, std::vector<std::string>& warnings) {
  const auto prepared = policy_memory_->prepare(next.run.domains, *next.run.policies, next.run.certificates.declared,
                                                uv::wall_time());
  if (!prepared) warnings.push_back(prepared.error().text);
}

/// A version that was pinned stays over a restart: what it was pinned against is still there.
std::shared_ptr<const certs::Snapshot> Reloader::pinned_or(std::shared_ptr<const certs::Snapshot> loaded) {
  const auto version = map_->history().pinned();
  if (version == 0) return loaded;
  map_->went_live(loaded);
  auto restored = map_->go_back(version);
  if (!restored) {
    journal_.note(observe::Level::Error, fmt::format("the certificate map was pinned to version {}, which cannot be "
                                                     "served: {}; the certificates are those of the files",
                                                     version, restored.error().text));
    return loaded;
  }
  journal_.note(observe::Level::Warning, fmt::format("the certificate map is pinned to version {} until the next "
                                                     "`postern reload`",
                                                     version));
  return restored->snapshot;
}

/// Publishes nothing unless all is well; else says why.
std::vector<std::string> Reloader::publish_configuration(const config::Config& next,
                                                         const std::shared_ptr<const certs::Snapshot>& snapshot) {
  const auto previous = shared_.settings.current();
  auto settings =
      make_run_settings(next.run, config_generation_ + 1, config_.start.state_dir, previous.get(), bound_);
  auto errors = unresolved_defaults(*settings, *snapshot);
  if (auto backend_tls = make_backend_tls(next.run.backends, *shared_.files)) {
    settings->backend_tls = std::move(*backend_tls);
  } else {
    append(errors, backend_tls.error());
  }
  UserFiles::Outcome users = user_files_.load(next.run.backends);
  report(users);
  append(errors, users.missing);
  settings->users = std::move(users.lists);
  if (!errors.empty()) return errors;
  auto generation = make_tls_generation(*settings, next.run.tls, ticket_keeper_.keyring());
  if (!generation) return {generation.error().text};

  (*generation)->snapshot = (*generation)->default_snapshot = snapshot;
  missing_defaults_.clear();
  publish(std::move(*generation), snapshot);
  // Settings second: a session that sees a new listener mode finds its SSL_CTX.
  retired_.push_back(shared_.settings.publish(std::move(settings)));
  user_files_.forget_others(next.run.backends);
  const std::lock_guard lock(facts_mutex_);
  facts_.config_generation = ++config_generation_;
  return {};
}

/// The listeners' SSL_CTXs stay, only the certificates change. A default that has gone is served from the map that
/// still had it: neither a missing file nor a typing error may leave a listener without a certificate.
void Reloader::publish_certificates(const std::shared_ptr<const certs::Snapshot>& snapshot) {
  const auto previous = shared_.tls.current();
  auto generation = std::make_shared<session::TlsGeneration>(*previous);
  generation->snapshot = snapshot;
  auto missing = unresolved_defaults(*shared_.settings.current(), *snapshot);
  if (missing.empty()) generation->default_snapshot = snapshot;
  if (missing != missing_defaults_) {
    for (const std::string& sentence : missing) {
      journal_.note(observe::Level::Error, sentence + "; the certificate that it had before stays in use");
    }
  }
  missing_defaults_ = std::move(missing);
  publish(std::move(generation), snapshot);
}

/// True when they are others than before: what was found out about chains counts no more.
bool Reloader::look_at_anchors() {
  auto current = map_->loader().anchors();
  if (current == anchors_) return false;
  anchors_ = std::move(current);
  chain_judge_ = anchors_ ? std::make_shared<const AnchorJudge>(anchors_) : nullptr;
  return true;
}

void Reloader::publish(std::shared_ptr<session::TlsGeneration> generation,
                       const std::shared_ptr<const certs::Snapshot>& snapshot) {
  look_at_anchors();
  generation->chain_judge = chain_judge_;
  retired_.push_back(shared_.tls.publish(std::move(generation)));
  map_->went_live(snapshot);
  auto expiring = next_to_expire(*snapshot, expiring_max);
  const std::lock_guard lock(facts_mutex_);
  facts_.expiring = std::move(expiring);
  facts_.published_at = uv::wall_time();
  facts_.map_version = snapshot->version();
  facts_.pinned_version = map_->pinned();
  facts_.names = snapshot->name_count();
  facts_.certificates = snapshot->certificate_count();
}

void Reloader::free_retired() {
  std::erase_if(retired_, [](const auto& generation) { return generation.use_count() <= 1; });
}

void Reloader::report(const certs::LoadOutcome& loaded) {
  std::size_t logged = 0;
  for (const certs::Fault& fault : loaded.faults) {
    if (logged++ == faults_logged_max) {
      journal_.note(observe::Level::Error,
                    fmt::format("and {} more faults of certificates: `postern certs --state failed` and `postern "
                                "status` have them all",
                                loaded.faults.size() - faults_logged_max));
      break;
    }
    const bool warning = fault.severity == certs::Fault::Severity::Warning;
    journal_.note(warning ? observe::Level::Warning : observe::Level::Error, rendered(fault));
  }
  std::vector<std::string> standing;
  for (const certs::Fault& fault : loaded.standing) standing.push_back(rendered(fault));
  if (const auto& fault = ticket_keeper_.fault()) standing.push_back(rendered(*fault));
  if (!map_->history_problem().empty()) standing.push_back(map_->history_problem());
  if (auto problem = map_->cache_problem(); !problem.empty()) standing.push_back(std::move(problem));
  const std::lock_guard lock(facts_mutex_);
  if (!loaded.faults.empty()) ++facts_.looks_failed;
  facts_.faults = std::move(standing);
}

void Reloader::report(const UserFiles::Outcome& users) {
  for (const std::string& fault : users.faults) journal_.note(observe::Level::Error, fault);
  for (const std::string& warning : users.warnings) journal_.note(observe::Level::Warning, warning);
  for (const std::string& news : users.news) journal_.note(observe::Level::Info, news);
  const std::lock_guard lock(facts_mutex_);
  user_faults_ = users.standing;
}

void Reloader::look_at_ticket_keys() {
  const tls::TlsSettings& tls = config_.run.tls;
  const auto look = ticket_keeper_.look(tls, uv::monotonic_now());
  if (look.new_fault) journal_.note(observe::Level::Error, rendered(*look.new_fault));
  if (look.taken_from_file) journal_.note(observe::Level::Info, "ticket keys taken from " + tls.ticket_key_file);
}

Reach Reloader::reach(const config::Config& config) const {
  using enum Confinement::Certificates;
  return reach_of({config, config_folders_, {}, shared_.loader ? ReadByLoader : ReadHere});
}

void Reloader::confine_process(const std::vector<std::string>& own_paths) {
  loading_pool_.rest();
  map_->rest();
  using enum Confinement::Certificates;
  Confinement confinement{config_, config_folders_, own_paths, ReadByLoader};
  if (!shared_.loader) {
    confinement.certificates = ReadHere;
    append(confinement.read, watched_directories());  // wherever links lead now
  }
  shared_.fence = confine(reach_of(confinement), journal_);
}

std::vector<std::string> Reloader::watched_directories() const {
  auto directories = map_->loader().watched_directories();
  append(directories, ticket_keeper_.watched_directories());
  append(directories, user_files_.directories());
  return directories;
}

void Reloader::report_change(std::string_view what, const certs::Changes& changes, std::uint64_t version) {
  journal_.note(observe::Level::Info,
                fmt::format("{}: {} added, {} removed, {} renewed; map version {}", what, counted(changes.added.size(), "name"),
                            changes.removed.size(), changes.renewed.size(), version));
  std::size_t logged = 0;
  for (const certs::Worse& worse : changes.worse) {
    if (logged++ == names_logged_max) {
      journal_.note(observe::Level::Warning,
                    fmt::format("and {} more names with a worse certificate", changes.worse.size() - names_logged_max));
      break;
    }
    journal_.note(observe::Level::Warning, fmt::format("{}: {}", worse.name, worse.why));
  }
}

void Reloader::set_held_back(const std::string& why) {
  {
    const std::lock_guard lock(facts_mutex_);
    if (std::exchange(facts_.held_back, why) == why) return;
  }
  if (!why.empty()) journal_.note(observe::Level::Error, why);
}

control::ReloadReply Reloader::load_everything(Asker asker, const control::ReloadRequest& request) {
  control::ReloadReply reply;
  reply.dry_run = request.dry_run;
  if (shared_.loader) append(reply.warnings, shared_.loader->configuration_changed());
  config::Parsed parsed = read_configuration(config_path_, config_folders_);
  for (const config::Diagnostic& diagnostic : parsed.diagnostics) {
    const bool error = diagnostic.severity == config::Diagnostic::Severity::Error;
    (error ? reply.errors : reply.warnings).push_back(diagnostic.rendered());
  }
  if (parsed.config) {
    append(reply.warnings, restart_warnings(config_, *parsed.config, bound_));
    append(reply.warnings, beyond(shared_.fence, reach(*parsed.config)));
    keep_policies(*parsed.config, reply.warnings);
    take_configuration(*parsed.config, map_->attempt(parsed.config->run.certificates, uv::wall_time()), asker, request,
                       reply);
  }
  policy_memory_->discard();
  // A broken configuration does not keep renewed certificates from being served.
  if (!reply.configuration_taken && !request.dry_run) load_certificates_only(reply);
  if (!request.dry_run) {
    reply.faults = facts().faults;
    const std::lock_guard lock(facts_mutex_);
    ++(reply.configuration_taken ? facts_.reloads_taken : facts_.reloads_refused);
  }
  return reply;
}

namespace {

void tell(const MapNews& news, control::ReloadReply& reply) {
  reply.map_version = news.loaded.snapshot->version();
  reply.added = news.changes.added.strings();
  reply.removed = news.changes.removed.strings();
  reply.renewed = news.changes.renewed.strings();
  for (const certs::Worse& worse : news.changes.worse) reply.worse.push_back(fmt::format("{}: {}", worse.name, worse.why));
}

}  // namespace

void Reloader::take_configuration(config::Config& next, CertificateMap::Trial trial, Asker asker,
                                  const control::ReloadRequest& request, control::ReloadReply& reply) {
  const bool map_stays = map_->pinned() != 0 && asker == Asker::Signal;
  if (!trial.news.loss.empty() && !request.accept_loss && !map_stays) reply.errors.push_back(trial.news.loss);
  if (request.dry_run) {
    tell(trial.news, reply);
    for (const auto& fault : trial.news.loaded.standing) reply.faults.push_back(rendered(fault));
    const auto settings = make_run_settings(next.run, config_generation_ + 1, config_.start.state_dir,
                                            shared_.settings.current().get(), bound_);
    append(reply.errors, unresolved_defaults(*settings, *trial.news.loaded.snapshot));
    const UserFiles::Outcome users = user_files_.load(next.run.backends);
    append(reply.faults, users.standing);
    append(reply.errors, users.missing);
    reply.configuration_taken = reply.errors.empty();
    return;
  }
  if (!reply.errors.empty()) return;
  const auto snapshot = map_stays ? map_->live() : trial.news.loaded.snapshot;
  reply.errors = publish_configuration(next, snapshot);
  if (!reply.errors.empty()) return;
  if (!map_stays) {
    map_->unpin();
    const std::lock_guard lock(facts_mutex_);
    facts_.pinned_version = 0;
  }
  reply.configuration_taken = true;
  if (const auto stored = policy_memory_->commit(); !stored) reply.warnings.push_back(stored.error().text);
  config_.run = std::move(next.run);
  configure(journal_, config_.run.log);
  shared_.credentials.set_capacity(config_.run.certificates.cache);
  look_at_ticket_keys();
  if (map_stays) {
    reply.warnings.push_back(fmt::format("the certificate map stays pinned to version {} until `postern reload`",
                                         map_->pinned()));
  } else {
    set_held_back({});
    tell(trial.news, reply);
  }
  report(trial.news.loaded);
  if (const auto problem = map_->adopt(std::move(trial), uv::wall_time()); !problem.empty()) {
    reply.warnings.push_back(problem);
  }
  if (look_at_anchors()) publish_certificates(map_->live());
}

void Reloader::load_certificates_only(control::ReloadReply& reply) {
  const MapNews news = map_->look(config_.run.certificates, {.everywhere = true, .folders = {}}, uv::wall_time());
  look_at_ticket_keys();
  report(news.loaded);
  if (settle(news)) tell(news, reply);
  if (look_at_anchors()) publish_certificates(map_->live());
}

/// Publishes what a look has found, if it may go live.
bool Reloader::settle(const MapNews& news) {
  if (!news.loaded.anything_changed || map_->pinned() != 0) return false;
  set_held_back(news.loss);
  if (!news.loss.empty()) return false;
  publish_certificates(news.loaded.snapshot);
  return true;
}

Reloader::Looked Reloader::load_certificates(const CertificateLook& where) {
  const MapNews news = map_->look(config_.run.certificates, where, uv::wall_time());
  look_at_ticket_keys();
  report(news.loaded);
  Looked looked;
  looked.published = settle(news);
  if (looked.published) report_change("certificates reloaded", news.changes, news.loaded.snapshot->version());
  map_->keep_for_next_start();
  if (load_users()) looked.published = true;
  looked.found_unseen = where.everywhere && news.loaded.files_read > 0;
  if (news.loaded.folders_changed) looked.directories = watched_directories();
  looked.look_again = news.loaded.look_again;
  looked.look_again_at = news.loaded.look_again_at;
  return looked;
}

/// True when another map was published.
bool Reloader::prove_some_keys() {
  const auto news = map_->prove_some_keys(config_.run.certificates, uv::wall_time());
  if (!map_->has_keys_to_prove()) map_->keep_for_next_start();
  if (!news) return false;
  report(news->loaded);
  if (!settle(*news)) return false;
  report_change("private keys checked", news->changes, news->loaded.snapshot->version());
  return true;
}

/// True when other lists were published.
bool Reloader::load_users() {
  UserFiles::Outcome users = user_files_.load(config_.run.backends);
  report(users);
  const auto current = shared_.settings.current();
  if (users.lists == current->users) return false;
  auto next = std::make_shared<session::RunSettings>(*current);
  next->users = std::move(users.lists);
  retired_.push_back(shared_.settings.publish(std::move(next)));
  return true;
}

control::Reply Reloader::roll_back(std::uint64_t version) {
  const auto before = map_->live();
  auto restored = map_->go_back(version);
  if (!restored) return control::ErrorReply{restored.error().text};
  publish_certificates(restored->snapshot);
  const auto changes = difference(*before, *restored->snapshot);
  report_change("the certificate map goes back, and is pinned until the next `postern reload`", changes, version);
  control::RollbackReply reply;
  reply.version = version;
  reply.added = changes.added.strings();
  reply.removed = changes.removed.strings();
  reply.renewed = changes.renewed.strings();
  reply.missing = std::move(restored->missing);
  return reply;
}

}  // namespace postern::app
