// From one posternd to the next, without a moment in which nobody serves. Both ends of the conversation:
//
//   the new one   "prepared"   configuration, certificates and sockets are there
//   the old one   "yours"      the ledger's file, the score and the lock on state_dir are closed
//   the new one   "ready"      it serves
//   the old one   "main"       the service manager knows whom to look after; it accepts no more, and its sessions end
//
// Whoever ends before its turn leaves the other as it was. What the old one's last sessions have for the ledger it tells
// the new one (ledger_heir.h).
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/descriptor.h"
#include "base/result.h"
#include "daemon/uv/loop.h"

namespace postern::app {

/// The old one's end, on its control loop.
class Successor {
 public:
  struct Events {
    std::function<void()> prepared;       ///< it waits for give()
    std::function<void(pid_t)> ready;     ///< its process id; release() lets it go on
    std::function<void()> failed;         ///< it has ended, or taken too long; nothing comes after this
  };
  /// `descriptor`: a seqpacket socket, whose other end the new process has and nobody else.
  Successor(uv::Loop& loop, Descriptor descriptor, Events events);
  ~Successor();

  void give();
  void release();

 private:
  void listen();
  void tell(std::function<void()> event);
  void heard(std::optional<pid_t> ready);

  uv::Loop& loop_;
  Descriptor descriptor_;
  Events events_;
  uv::Timer timer_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  // for what waits in the loop
  std::thread thread_;  // waits for what it says
};

/// The new one's end; it has no loop yet, and waits.
class Predecessor {
 public:
  /// Nothing: there is none. Takes the descriptors that the environment names.
  static std::optional<Predecessor> of_environment();

  /// Everything is prepared: waits until what is shared is ours.
  Result<void> take_over();
  /// It serves: waits until the predecessor has made it known. If that has ended meanwhile, so be it.
  void ready();

  /// Where its last sessions tell what concerns the ledger.
  Descriptor take_ledger() { return std::move(ledger_); }

 private:
  Predecessor(int handover, int ledger) : handover_(handover), ledger_(ledger) {}
  bool exchange(const std::string& said, const std::string& expected, int seconds);

  Descriptor handover_, ledger_;
};

}  // namespace postern::app
