// A client's ServerSession (Authority::Backend) and a Relay back to back, as daemon/session/inbound_relay.cpp holds them. The
// test plays the client and the backend; nothing here has a socket or a clock.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "relay/relay.h"
#include "smtp/server_session.h"

namespace postern::test {

class RelayedSession {
 public:
  RelayedSession(relay::RelayOptions relaying, smtp::ServerOptions session)
      : relay_(std::move(relaying)), options_(std::move(session)) {
    options_.authority = smtp::Authority::Backend;
  }
  virtual ~RelayedSession() = default;
  RelayedSession(const RelayedSession&) = delete;
  RelayedSession& operator=(const RelayedSession&) = delete;

  /// First of all. What the client is told; nothing, when it is greeted by the backend.
  std::string start() {
    relay_.begin();
    if (!relay_.greets_client()) greet(std::nullopt);
    return work();
  }

  // Each says what the client is told upon it.

  std::string client(std::string_view bytes) {
    if (session_) session_->receive(bytes, now_);
    return work();
  }
  std::string client_gone() {
    if (session_) session_->end_of_input();
    return work();
  }
  /// The handshake after STARTTLS has succeeded.
  std::string tls_started(relay::RelayOptions options, relay::Relay::Link link) {
    tls_requested = false;
    session_->tls_started(options.hostname, {}, now_);
    relay_.tls_started(std::move(options), link);
    return work();
  }
  std::string connected(relay::BackendOptions options = {}) {
    relay_.connected(std::move(options), now_);
    return work();
  }
  std::string backend(std::string_view bytes) {
    relay_.receive(bytes, now_);
    return work();
  }
  /// The connection to the backend is gone, or did not come to be.
  std::string lost() {
    relay_.connection_lost("reset", now_);
    return work();
  }
  std::string no_target_left() {
    relay_.connect_failed("none left", now_);
    return work();
  }
  std::string wait(Duration time) {
    now_ += time;
    if (session_) session_->expire(now_);
    relay_.expire(now_);
    return work();
  }

  /// What the backend was sent since the last look.
  std::string sent() { return std::exchange(sent_, {}); }

  relay::Relay& relay() { return relay_; }

  std::vector<relay::Connect> connects;
  std::vector<std::string> last_words;  ///< of links that were closed
  std::map<std::string, relay::Route> routes;
  bool tls_requested = false;
  std::optional<smtp::SessionClosing::Why> closed;

 protected:
  /// What passes between the two, before it does.
  virtual void watch(const smtp::ServerEvent&) {}
  virtual void watch(const relay::Action&) {}
  /// Octets for the backend, before a Disconnect.
  virtual void watch_sent(std::string_view) {}
  /// Of an Answer: what the client's session is given.
  virtual smtp::Reply reply_to(smtp::EventNumber, const smtp::Reply& reply) { return reply; }

  const std::optional<smtp::ServerSession>& session() const { return session_; }

 private:
  void greet(std::optional<smtp::Reply> greeting) {
    options_.greeting = std::move(greeting);
    session_.emplace(options_, now_);
  }

  std::string work() {
    std::string told;
    for (bool more = true; more;) {
      more = false;
      while (auto event = session_ ? session_->next() : std::nullopt) {
        watch(*event);
        std::visit([this](const auto& e) { handle(e); }, *event);
        more = true;
      }
      while (auto action = relay_.next()) {
        watch(*action);
        std::visit([this](const auto& a) { handle(a); }, *action);
        more = true;
      }
      take_output();
      if (session_ && session_->output_full()) more = true;
      if (session_) told += session_->take_output();
    }
    return told;
  }

  void take_output() {
    const std::string octets = relay_.take_output();
    watch_sent(octets);
    sent_ += octets;
  }

  template <class Event>
  void handle(const Event& event) {
    if constexpr (requires { relay_.handle(event, now_); }) relay_.handle(event, now_);
  }
  void handle(const smtp::CommandOffered& event) {
    const relay::Route unknown = tl::unexpected(smtp::Reply{550, "5.7.1", "not ours"});
    const auto known = event.to ? routes.find(event.to->mailbox.domain) : routes.end();
    relay_.handle(event, known != routes.end() ? &known->second : &unknown, now_);
  }
  void handle(const smtp::TlsRequested&) { tls_requested = true; }
  void handle(const smtp::SessionClosing& event) {
    closed = event.why;
    relay_.leave();
  }
  void handle(const relay::Connect& action) { connects.push_back(action); }
  void handle(const relay::Disconnect& action) { last_words.push_back(action.last_words); }
  void handle(const relay::Answer& action) { session_->answer(action.number, reply_to(action.number, action.reply), now_); }
  void handle(const relay::AnswerHello& action) {
    session_->allow(action.passing);
    session_->answer(action.number, reply_to(action.number, action.reply), now_);
  }
  void handle(const relay::Greet& action) { greet(action.greeting); }

  Instant now_{};
  relay::Relay relay_;
  smtp::ServerOptions options_;
  std::optional<smtp::ServerSession> session_;
  std::string sent_;
};

}  // namespace postern::test
