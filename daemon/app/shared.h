// What the whole process shares: immutable generations behind Publishers, and a few tables that lock for themselves.
#pragma once

#include <memory>

#include "base/shared_view.h"
#include "daemon/session/budget.h"
#include "daemon/session/connection_limits.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "daemon/session/share_table.h"
#include "daemon/storage/ledger.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

struct Shared {
  explicit Shared(session::Journal& journal_) : journal(journal_) {}

  session::Journal& journal;
  Publisher<session::RunSettings> settings;
  Publisher<session::TlsGeneration> tls;
  session::ConnectionTable connections;
  session::MessageBudgets budgets;
  std::unique_ptr<storage::StoredLedger> ledger;  ///< before there are workers, and as long as there are
  std::shared_ptr<session::ShareTable> backend_shares = std::make_shared<session::ShareTable>();
  uv::WorkPool web_pool{{.name = "web", .threads = 1, .queue_max = 256, .nice = 0}};
  uv::WorkPool spill_pool{{.name = "spill", .threads = 2, .queue_max = 4096, .nice = 0}};
};

}  // namespace postern::app
