// Is there such a recipient?
#pragma once

#include <functional>
#include <optional>

#include "daemon/session/outbound_task.h"
#include "delivery/balance.h"

namespace postern::session {

/// MAIL, RCPT, RSET. Towards LMTP the sender is `<>`, so that the answer is about the recipient alone.
class OutboundCheck final : public OutboundTask {
 public:
  OutboundCheck(smtp::ForwardPath to, smtp::MailParameters parameters, std::function<void(const smtp::Reply&)> done);

  std::string balance_key() const override { return delivery::hash_key(to_); }
  Progress begin(BackendConnection& connection, Instant now) override;
  Progress on_event(const smtp::ClientEvent& event) override;
  void on_lost(const smtp::SessionFailed*) override {}
  void conclude(const std::string& target, const smtp::Reply& otherwise) override;
  void forget() override { done_ = nullptr; }

 private:
  smtp::ForwardPath to_;
  smtp::MailParameters parameters_;
  std::function<void(const smtp::Reply&)> done_;
  std::optional<smtp::Reply> reply_;
};

}  // namespace postern::session
