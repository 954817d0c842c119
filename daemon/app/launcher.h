// The launcher: a child that keeps the rights with which posternd was started, outside of its sandbox, and can do one
// thing with them: start the same program with the same words again, with listening sockets that it is given. posternd,
// which talks to strangers, could neither regain root's rights nor run a program.
#pragma once

#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "daemon/app/invocation.h"
#include "daemon/app/listening_sockets.h"

namespace postern::app {

/// What ties a posternd to the one that replaces it: the environment names the descriptors.
inline constexpr const char* predecessor_variable = "POSTERN_PREDECESSOR";

class Launcher {
 public:
  /// Forks: this process must have one thread only. The child ends with the Launcher.
  static Result<Launcher> start(const Invocation& invocation);

  /// Starts it with these sockets (LISTEN_FDS) and with two more descriptors, named by predecessor_variable. That it ends
  /// is seen at their other ends.
  Result<void> launch(const std::vector<ListeningSockets::Passed>& sockets, int handover, int ledger);

 private:
  explicit Launcher(int descriptor) : descriptor_(descriptor) {}

  Descriptor descriptor_;
};

}  // namespace postern::app
