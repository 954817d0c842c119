// Is there such a recipient? And: is anybody there at all?
#pragma once

#include <functional>
#include <optional>

#include "daemon/session/outbound_task.h"

namespace postern::session {

/// MAIL, RCPT, RSET. Towards LMTP the sender is `<>`, so that the answer is about the recipient alone.
class OutboundCheck final : public OutboundTask {
 public:
  OutboundCheck(smtp::ForwardPath to, smtp::MailParameters parameters, std::function<void(const smtp::Reply&)> done);

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

/// Connects, so that the backend's extensions are known before the first message. It wants nothing of the session.
class OutboundGreeting final : public OutboundTask {
 public:
  Progress begin(BackendConnection&, Instant) override { return Progress::Finished; }
  Progress on_event(const smtp::ClientEvent&) override { return Progress::Finished; }
  void on_lost(const smtp::SessionFailed*) override {}
  void conclude(const std::string&, const smtp::Reply&) override {}
  void forget() override {}
};

}  // namespace postern::session
