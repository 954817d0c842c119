// Makes new generations of configuration and certificates and publishes them: at start, on SIGHUP, for the control
// socket, and by itself when certificate files change. Whatever is wrong leaves the running generation as it is
// (DESIGN promise 3).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/instant.h"
#include "certs/loader.h"
#include "config/config.h"
#include "control/protocol.h"
#include "daemon/app/shared.h"
#include "daemon/app/sinks.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/watch.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

/// Why posternd cannot start; each line is for the operator.
struct StartFailure {
  std::vector<std::string> lines;
};

/// What `postern status` says of the running generations.
struct GenerationFacts {
  std::uint64_t config_generation = 0;
  std::uint64_t map_version = 0;
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

  /// Reads everything for the first time, blocking, and publishes it. Nothing else runs yet.
  tl::expected<config::Config, StartFailure> start();

  /// From here on certificate files are watched, and reload() may be called. On the control loop.
  void watch();
  void stop();

  /// Configuration and certificates. `done` is called on the control loop.
  void reload(std::function<void(control::ReloadReply)> done);

  GenerationFacts facts() const;

 private:
  void reload_certificates();
  void submit(std::function<void()> work, std::function<void()> done);
  void schedule_sweep();

  // On the loading thread:
  control::ReloadReply load_everything();
  bool load_certificates();
  std::vector<std::string> publish_configuration(const config::Config& next, const certs::LoadOutcome& loaded);
  void publish_certificates(const certs::LoadOutcome& loaded);
  void publish(std::shared_ptr<session::TlsGeneration> generation, const certs::LoadOutcome& loaded);
  void report(const certs::LoadOutcome& loaded);
  void free_retired();

  std::string config_path_;
  Shared& shared_;
  StderrJournal& journal_;
  uv::Loop& control_loop_;
  std::function<void()> on_published_;

  // Only one of these runs at a time: start() before the pool is used, then jobs of the pool, which has one thread.
  config::Config config_;
  std::vector<Endpoint> bound_;
  certs::Loader loader_;
  std::uint64_t config_generation_ = 0;
  std::vector<std::shared_ptr<const void>> retired_;  // generations that loops may still use; freed here, never there

  std::vector<std::string> missing_defaults_;         // already reported

  mutable std::mutex facts_mutex_;
  GenerationFacts facts_;

  // On the control loop:
  bool watching_ = false;
  bool certificates_requested_ = false;  // a look at the certificates is queued or running
  bool look_again_ = false;
  Instant look_began_{};
  std::unique_ptr<uv::DirectoryWatch> watch_;
  std::unique_ptr<uv::Timer> sweep_timer_;

  uv::WorkPool loading_pool_{{.name = "loading", .threads = 1, .queue_max = 64, .nice = 5}};  // last: joined first
};

}  // namespace postern::app
