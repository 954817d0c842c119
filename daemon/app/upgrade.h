// The old posternd's side of an upgrade, on its control loop: see handover.h.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>

#include "daemon/app/handover.h"
#include "daemon/app/launcher.h"
#include "daemon/app/listening_sockets.h"
#include "daemon/app/shared.h"
#include "daemon/app/state_lock.h"
#include "daemon/session/journal.h"
#include "daemon/storage/ledger.h"
#include "daemon/uv/loop.h"

namespace postern::app {

class Upgrade {
 public:
  struct Parts {
    uv::Loop& loop;
    session::Journal& journal;
    Shared& shared;
    ListeningSockets& sockets;
    StateLock& lock;
    std::optional<Launcher> launcher;       ///< nothing: no upgrade is possible
    std::function<void(pid_t)> step_down;   ///< the new one serves: this one is to end
  };
  explicit Upgrade(Parts parts) : parts_(std::move(parts)) {}

  /// Starts a new posternd, unless one is starting. Whatever becomes of it is logged.
  void start();

  /// This posternd is to end, and no other to take its place; one that serves already stays.
  void abandon();

 private:
  void hand_over();
  void went_well(pid_t successor);
  void failed();
  void take_back();

  Parts parts_;
  std::shared_ptr<storage::LedgerHeir> heir_;
  std::unique_ptr<Successor> successor_;
  bool handed_over_ = false;
};

}  // namespace postern::app
