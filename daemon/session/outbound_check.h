// Is there such a recipient?
#pragma once

#include <functional>
#include <optional>

#include "daemon/session/outbound_task.h"
#include "delivery/balance.h"
#include "delivery/settings.h"
#include "proxy/client_identity.h"

namespace postern::session {

/// MAIL, RCPT, RSET.
class OutboundCheck final : public OutboundTask {
 public:
  /// `client` is told to the backend as `identity` and the backend's own offer allow.
  OutboundCheck(smtp::ReversePath from, smtp::ForwardPath to, smtp::MailParameters parameters,
                delivery::Identity identity, proxy::ClientIdentity client,
                std::function<void(const smtp::Reply&)> done);

  std::vector<std::string> addresses() const override { return {from_.text(), to_.text()}; }
  std::string balance_key() const override { return delivery::hash_key(to_); }
  Progress begin(BackendConnection& connection, Instant now) override;
  Progress on_event(const smtp::ClientEvent& event) override;
  void on_lost(const smtp::SessionFailed*) override {}
  void conclude(const std::string& target, const smtp::Reply& otherwise) override;
  void forget() override { done_ = nullptr; }

 private:
  smtp::ReversePath from_;
  smtp::ForwardPath to_;
  smtp::MailParameters parameters_;
  delivery::Identity identity_;
  proxy::ClientIdentity client_;
  std::function<void(const smtp::Reply&)> done_;
  std::optional<smtp::Reply> reply_;
};

}  // namespace postern::session
