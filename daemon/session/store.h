// The embedded mail store of `postern store`: an LMTP server (RFC 2033) that writes Maildirs. It takes every recipient
// whose address makes a folder name. `250` for a recipient means: the message is on the disk, in `new`.
//
// It is small on purpose: quick starts, tests and pods without a store of their own use it. No reading, no quota.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/instant.h"
#include "base/result.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"

namespace postern::session {

/// Whether a peer may speak to the store: one on a unix socket (which has the unspecified address), on loopback, or in
/// one of the networks.
bool may_deliver(const IpAddress& peer, const std::vector<Network>& allowed);

class Store {
 public:
  struct Options {
    std::string directory;         ///< holds the Maildirs; made when it is missing
    std::string hostname;          ///< in the greeting
    std::vector<Network> allowed;  ///< TCP peers that may speak to us, besides those on loopback
    std::size_t connections_max = 500;
    unsigned writers = 4;  ///< threads that write and sync
    /// One line for each recipient's copy and for each failure. Called on the loop's thread.
    std::function<void(std::string_view line)> log;
  };

  /// Serves each of `sockets`, from now on. An error when the directory cannot be used.
  static Result<std::unique_ptr<Store>> start(uv::Loop& loop, std::vector<uv::Bound> sockets, Options options);
  /// Only after shut_down() has called back, or when the loop has ended for good.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Stops listening. Connections between messages get `421`; a message whose data has begun may be finished within
  /// `grace`. Then `done`, once.
  void shut_down(Duration grace, std::function<void()> done);

 private:
  struct State;
  explicit Store(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;  // shared with callbacks that come back from the writers, which hold it weakly
};

}  // namespace postern::session
