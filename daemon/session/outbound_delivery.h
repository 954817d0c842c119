// One message on its way to one backend: the envelope, then the body as fast as the socket takes it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/session/backends.h"
#include "daemon/session/outbound_task.h"
#include "delivery/balance.h"

namespace postern::session {

class OutboundDelivery final : public OutboundTask {
 public:
  struct Callbacks {
    std::function<void(Delivered)> done;  ///< at most once
    /// What was found after `done`, or when nobody waited any more.
    std::function<void(const smtp::Envelope&, const Delivered&)> late;
    std::function<void(const Error&)> body_failed;  ///< the attempt cannot be finished: take the connection away, soon
  };
  /// `client` is told to the backend as `identity` and the backend's own offer allow.
  OutboundDelivery(smtp::Envelope envelope, std::unique_ptr<BodySource> body, delivery::Identity identity,
                   proxy::ClientIdentity client, Callbacks callbacks);

  Progress begin(BackendConnection& connection, Instant now) override;
  Progress on_event(const smtp::ClientEvent& event) override;
  void on_room() override { pull(); }
  void on_lost(const smtp::SessionFailed* failed) override;
  std::vector<std::string> addresses() const override;
  std::string balance_key() const override { return delivery::hash_key(envelope_.recipients.front()); }
  bool may_start_again() const override { return body_ == Body::Untouched || body_ == Body::Reading; }
  bool awaits_outcome() const override { return connection_ != nullptr && body_ == Body::Sent; }
  void conclude(const std::string& target, const smtp::Reply& otherwise) override;
  void forget() override { callbacks_.done = nullptr; }

 private:
  enum class Body { Untouched, Reading, Sent, Failed };

  void pull();
  void flush();
  void on_piece(Result<std::string_view> piece);

  smtp::Envelope envelope_;
  std::unique_ptr<BodySource> source_;
  delivery::Identity identity_;
  proxy::ClientIdentity client_;
  Callbacks callbacks_;
  std::vector<std::optional<smtp::Reply>> known_;  // what the backend has said of each recipient
  BackendConnection* connection_ = nullptr;        // during an attempt
  Body body_ = Body::Untouched;
  bool awaiting_piece_ = false;
  bool pulling_ = false;
  std::size_t held_octets_ = 0;  // of the body, since the connection was flushed
};

}  // namespace postern::session
