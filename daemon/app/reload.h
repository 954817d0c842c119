// Makes new generations of configuration and certificates and publishes them: at start, on SIGHUP, for the control
// socket, and by itself when certificate files change. Whatever is wrong leaves the running generation as it is
// (DESIGN promise 3).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "certs/ticket_keeper.h"
#include "config/config.h"
#include "control/protocol.h"
#include "daemon/app/certificate_map.h"
#include "daemon/app/expiry.h"
#include "daemon/app/sandbox.h"
#include "daemon/app/shared.h"
#include "daemon/app/sinks.h"
#include "daemon/app/tlsa_gate.h"
#include "daemon/app/user_files.h"
#include "daemon/session/policy_memory.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/watch.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

/// Why posternd cannot start; each line is for the operator.
struct StartFailure {
  std::vector<std::string> lines;
};

/// What `postern status` and the metrics say of the running generations.
struct GenerationFacts {
  std::uint64_t config_generation = 0;
  std::uint64_t map_version = 0;
  std::uint64_t pinned_version = 0;  ///< 0: none
  std::string held_back;             ///< why a newer map is not live
  std::uint64_t reloads_taken = 0;    ///< of the configuration, since the start
  std::uint64_t reloads_refused = 0;
  std::uint64_t looks_failed = 0;     ///< loads of certificates that found new faults
  WallTime published_at{};            ///< the last change of configuration or certificates
  std::vector<Expiring> expiring;     ///< the served certificates that end next, `expiring_max` at most
  std::uint64_t names = 0;
  std::uint64_t certificates = 0;
  std::vector<std::string> faults;
};

class Reloader {
 public:
  /// `on_published` is called on the control loop after each publication.
  Reloader(std::string config_path, Shared& shared, StderrJournal& journal, uv::Loop& control_loop,
           std::function<void()> on_published);
  ~Reloader();

  enum class Reading {
    AsConfigured,
    Everything,  ///< also what `certificates.load = "lazy"` would read later
  };
  /// Reads for the first time, blocking, and publishes it. Nothing else runs yet.
  tl::expected<config::Config, StartFailure> start(Reading reading);

  /// After start(): enters the sandbox. Of this process there must be no thread but the caller's, besides resting pools.
  /// `own_paths`: unix sockets that are removed in the end.
  void confine_process(const std::vector<std::string>& own_paths);

  /// From here on certificate files are watched, and the requests below may be made. On the control loop.
  void watch();
  void stop();
  /// The last call, when the process is about to end: leaves the certificates to the kernel, which takes their memory back
  /// at once. Freeing 10^5 of them one by one takes seconds, for which a restart would have to wait.
  void abandon();

  enum class Asker {
    Tool,    ///< what it asks for ends a pin
    Signal,
  };
  /// Configuration and certificates. `done` is called on the control loop.
  void reload(Asker asker, const control::ReloadRequest& request, std::function<void(control::ReloadReply)> done);

  /// Answers the requests about the certificate map, on the control loop.
  void answer(const control::CertificatesRequest& request, std::function<void(control::Reply)> done);
  void answer(const control::ExplainRequest& request, std::function<void(control::Reply)> done);
  void answer(const control::VersionsRequest& request, std::function<void(control::Reply)> done);
  void answer(const control::RollbackRequest& request, std::function<void(control::Reply)> done);

  GenerationFacts facts() const;

 private:
  /// What a look at certificates means for the control loop.
  struct Looked {
    bool published = false;
    bool found_unseen = false;  ///< a sweep found what no event had told
    std::optional<std::vector<std::string>> directories;  ///< to be watched from now on, where they are others
    std::optional<WallTime> look_again;
    std::vector<std::string> look_again_at;
  };

  void look_at(const std::string& folder, const std::optional<std::set<std::string>>& names);
  void sweep();
  void start_look();
  void look_ended(const Looked& looked);
  void begin_history();
  void prove_keys();
  bool submit(std::function<void()> work, std::function<void()> done);
  void ask(std::function<control::Reply()> work, std::function<void(control::Reply)> done);
  void schedule_sweep();
  void say_once_that_watches_are_short();

  // On the loading thread:
  control::ReloadReply load_everything(Asker asker, const control::ReloadRequest& request);
  void take_configuration(config::Config& next, CertificateMap::Trial trial, Asker asker,
                          const control::ReloadRequest& request, control::ReloadReply& reply);
  void load_certificates_only(control::ReloadReply& reply);
  Looked load_certificates(const CertificateLook& where);
  bool prove_some_keys();
  bool load_users();
  bool settle(const MapNews& news);
  std::shared_ptr<const certs::Snapshot> pinned_or(std::shared_ptr<const certs::Snapshot> loaded);
  control::Reply roll_back(std::uint64_t version);
  std::vector<std::string> publish_configuration(const config::Config& next,
                                                 const std::shared_ptr<const certs::Snapshot>& snapshot);
  void publish_certificates(const std::shared_ptr<const certs::Snapshot>& snapshot);
  bool look_at_anchors();
  void publish(std::shared_ptr<session::TlsGeneration> generation, const std::shared_ptr<const certs::Snapshot>& snapshot);
  void keep_policies(config::Config& next, std::vector<std::string>& warnings);
  void report(const certs::LoadOutcome& loaded);
  void report(const UserFiles::Outcome& users);
  void look_at_ticket_keys();
  Reach reach(const config::Config& config) const;
  std::vector<std::string> watched_directories() const;
  void report_change(std::string_view what, const certs::Changes& changes, std::uint64_t version);
  void set_held_back(const std::string& why);
  void free_retired();

  std::string config_path_;
  std::shared_ptr<const certs::Anchors> anchors_;
  std::shared_ptr<const session::ChainJudge> chain_judge_;  // asks them; null: there are none
  Shared& shared_;
  StderrJournal& journal_;
  uv::Loop& control_loop_;
  std::function<void()> on_published_;

  // Only one of these runs at a time: start() before the pool is used, then jobs of the pool, which has one thread.
  config::Config config_;
  std::vector<std::string> config_folders_;  // in which its files were looked for
  std::vector<Endpoint> bound_;
  std::unique_ptr<CertificateMap> map_;
  std::unique_ptr<session::PolicyMemory> policy_memory_;
  UserFiles user_files_{shared_.files};
  certs::TicketKeeper ticket_keeper_{shared_.files, uv::monotonic_now()};
  std::uint64_t config_generation_ = 0;
  std::vector<std::shared_ptr<const void>> retired_;  // generations that loops may still use; freed here, never there
  std::vector<std::string> missing_defaults_;         // already reported

  mutable std::mutex facts_mutex_;
  GenerationFacts facts_;
  std::vector<std::string> user_faults_;  // that stand

  // On the control loop:
  bool watching_ = false;
  bool looking_ = false;               // a look at the certificates is queued or running
  std::map<std::string, std::optional<std::set<std::string>>> changed_in_;  // folders to be looked at next: see FolderChange
  bool sweep_wanted_ = false;
  std::set<std::string> again_in_;     // folders in which something is gone: see LoadOutcome::look_again
  bool short_of_watches_ = false;      // and that has been said
  Duration sweep_took_{};
  std::shared_ptr<TlsaGate> gate_;
  std::unique_ptr<uv::DirectoryWatch> watch_;
  std::unique_ptr<uv::Timer> sweep_timer_, again_timer_;

  uv::WorkPool loading_pool_{{.name = "loading", .threads = 1, .queue_max = 64, .nice = 5}};  // last: joined first
};

}  // namespace postern::app
