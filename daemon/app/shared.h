// What the whole process shares: immutable generations behind Publishers, and a few tables that lock for themselves.
#pragma once

#include <algorithm>
#include <memory>
#include <thread>

#include "base/shared_view.h"
#include "certs/credential_cache.h"
#include "certs/settings.h"
#include "daemon/app/loader_process.h"
#include "daemon/app/sandbox.h"
#include "daemon/app/score_keeper.h"
#include "daemon/session/budget.h"
#include "daemon/session/catch_all_table.h"
#include "daemon/session/connection_limits.h"
#include "daemon/session/harvest_table.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "daemon/session/share_table.h"
#include "daemon/storage/ledger.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

struct Shared {
  /// `loader_`: what reads files that this process may not; null: this process reads them itself.
  explicit Shared(session::Journal& journal_, std::shared_ptr<LoaderFiles> loader_ = nullptr)
      : journal(journal_), loader(std::move(loader_)) {
    if (loader) files = loader;
  }

  session::Journal& journal;
  FileFence fence;  ///< of this process, which nobody changes once there are workers
  std::shared_ptr<LoaderFiles> loader;
  /// Certificates, keys, lists of users: what the configuration names.
  std::shared_ptr<certs::FileSource> files = certs::make_local_file_source();
  Publisher<session::RunSettings> settings;
  Publisher<session::TlsGeneration> tls;
  session::ConnectionTable connections;
  session::HarvestTable harvest;
  session::MessageBudgets budgets;
  std::unique_ptr<storage::StoredLedger> ledger;  ///< before there are workers, and as long as there are
  std::unique_ptr<ScoreKeeper> score;  ///< likewise
  std::shared_ptr<session::ShareTable> backend_shares = std::make_shared<session::ShareTable>();
  std::shared_ptr<session::CatchAllTable> catch_alls = std::make_shared<session::CatchAllTable>();
  uv::WorkPool web_pool{{.name = "web", .threads = 1, .queue_max = 256, .nice = 0}};
  uv::WorkPool spill_pool{{.name = "spill", .threads = 2, .queue_max = 4096, .nice = 0}};
  /// RSA operations. Signing threads at normal priority would give the loops of a two-core machine a p99 of 7 ms instead
  /// of 0.06 ms. What waits is done within the time that a handshake has, also with RSA-4096.
  uv::WorkPool key_pool{
      {.name = "keys", .threads = std::max(1u, std::thread::hardware_concurrency()), .queue_max = 1024, .nice = 10}};
  /// Chains and keys of certificates that are loaded lazily. Not the reloader's thread, which may be at a long load.
  uv::WorkPool credential_pool{{.name = "credentials", .threads = 2, .queue_max = 1024, .nice = 0}};
  /// Whether chains lead to a trust anchor, for the score: nobody waits for it.
  uv::WorkPool trust_pool{{.name = "trust", .threads = 1, .queue_max = 1024, .nice = 10}};
  certs::CredentialCache credentials{certs::SourceSettings().cache};

  /// See WorkPool::rest().
  void rest_pools() {
    for (uv::WorkPool* pool : {&web_pool, &spill_pool, &key_pool, &credential_pool, &trust_pool}) pool->rest();
  }

  /// Before the workers' loops are destroyed: what the pools finish is posted there.
  void stop_pools() {
    web_pool.stop();
    spill_pool.stop();
    key_pool.stop();
    credential_pool.stop();
    trust_pool.stop();
  }
};

}  // namespace postern::app
