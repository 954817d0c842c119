// What a connection to a backend is wanted for. A task is lent a connection whose session is idle, again and again
// until one attempt has come to an end; it is concluded exactly once.
#pragma once

#include <string>
#include <vector>

#include "base/instant.h"
#include "daemon/session/backend_connection.h"
#include "smtp/client_session.h"
#include "smtp/reply.h"

namespace postern::session {

class OutboundTask {
 public:
  virtual ~OutboundTask() = default;

  enum class Progress {
    Goes,
    Finished,  ///< the answer is there: the connection goes back, conclude() follows
  };

  /// The paths that a backend's reply may name: the log may have to hide them.
  virtual std::vector<std::string> addresses() const { return {}; }

  /// What Balance::Hash goes by.
  virtual std::string balance_key() const { return {}; }

  /// Starts an attempt. The connection is lent until begin() or on_event() return Finished, or on_lost(). The caller
  /// pumps it; a task may flush() it.
  virtual Progress begin(BackendConnection& connection, Instant now) = 0;

  /// Every event but PeerReady and SessionFailed.
  virtual Progress on_event(const smtp::ClientEvent& event) = 0;

  /// The socket has room for more.
  virtual void on_room() {}

  /// The attempt has ended with the connection. `failed` says what is known; null: the connection was taken away.
  virtual void on_lost(const smtp::SessionFailed* failed) = 0;

  /// Whether another attempt is safe: nothing of this one can have been delivered.
  virtual bool may_start_again() const { return true; }

  /// True from the final dot on: the connection is worth reading to its end, even when nobody waits any more.
  virtual bool awaits_outcome() const { return false; }

  /// Tells whoever wanted it what was found; `otherwise` is the answer where nothing was. `target` was the last to be
  /// tried. A second time: what came too late to be told.
  virtual void conclude(const std::string& target, const smtp::Reply& otherwise) = 0;

  /// Nobody waits any more.
  virtual void forget() = 0;
};

}  // namespace postern::session
