// One connection to a pass-through backend: a socket, how it is dialled, and how it ends. It carries bytes; what they
// mean is lib/relay's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "daemon/session/address_queue.h"
#include "daemon/session/host_addresses.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "delivery/settings.h"

namespace postern::session {

class RelayLink final : private uv::SocketHandler {
 public:
  /// Who uses the link, until it has failed or was closed: then nothing more comes.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_link_connected() = 0;
    virtual void on_link_bytes(std::string_view bytes) = 0;
    /// What had to wait has left.
    virtual void on_link_drained() = 0;
    /// The end, also of an attempt to connect. The link closes by itself.
    virtual void on_link_lost(const std::string& why) = 0;
  };

  /// `closed` is the last that comes from it, never within a call: the link may then be destroyed.
  RelayLink(uv::Loop& loop, Owner& owner, const delivery::BackendTimeouts& timeouts,
            std::function<void(RelayLink&)> closed);
  ~RelayLink() override;

  /// Once. Nothing comes of it within the call. `host` has the addresses of a target that is a host name.
  void dial(const delivery::Target& target, HostAddresses* host);

  void send(std::string bytes);
  std::size_t unsent() const { return socket_ ? socket_->unsent() : 0; }

  /// No more is read. With `last_words` they are sent first; without, even what waits to be sent is dropped.
  void close(std::string last_words);

 private:
  enum class Phase { Dialling, Open, Closing };

  void on_connected() override;
  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_end() override;
  void on_failure(const Error& error) override;
  void on_closed() override;

  void connect_next();
  void lose(const std::string& why);
  void expired();

  uv::Loop& loop_;
  Owner* owner_;
  delivery::BackendTimeouts timeouts_;
  std::function<void(RelayLink&)> closed_;
  std::shared_ptr<RelayLink*> alive_;      // for an answer of the resolver that comes too late
  AddressQueue addresses_;                 // still to be tried
  bool looked_up_ = false;                 // they are those of a name: what fails says at which
  std::unique_ptr<uv::Socket> socket_;
  uv::Timer timer_;                        // of dialling, and of octets that the backend does not take
  Phase phase_ = Phase::Dialling;
};

}  // namespace postern::session
