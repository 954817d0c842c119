// An LMTP server for tests that misbehaves on demand. Without a script it takes every message; `script[verb]` holds
// what it does instead, one entry for each time that it meets the verb. Verbs: "connect" (in place of the greeting),
// "LHLO", "MAIL", "RCPT", "DATA", "." (the end of the message), "RSET", "QUIT".
#pragma once

#include <csignal>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/text.h"
#include "daemon/uv/socket.h"
#include "tests/loop/uv_support.h"

namespace postern::session::test {

struct Does {
  std::string says;  ///< whole lines; empty: it keeps silent, from then on
  enum class Then { GoesOn, Closes, Resets } then = Then::GoesOn;
};

inline Does says(std::string text) { return {std::move(text), Does::Then::GoesOn}; }
inline Does keeps_silent() { return {}; }
inline Does closes(std::string after_saying = "") { return {std::move(after_saying), Does::Then::Closes}; }
inline Does resets() { return {"", Does::Then::Resets}; }

class ScriptedBackend {
 public:
  explicit ScriptedBackend(uv::Loop& loop, uv::Bound bound = uv::test::bound_on_loopback())
      : loop_(loop),
        acceptor_(
            loop, bound, [this](int descriptor) { accept(descriptor); }, [](const Error&) {}) {
    std::signal(SIGPIPE, SIG_IGN);  // see daemon/uv/socket.h
  }

  ~ScriptedBackend() {
    stop_listening();
    for (auto& client : clients_) client->socket->close();
    CHECK(uv::test::turn_until(loop_, [this] {
      for (const auto& client : clients_) {
        if (!client->closed) return false;
      }
      return true;
    }));
  }
  ScriptedBackend(const ScriptedBackend&) = delete;
  ScriptedBackend& operator=(const ScriptedBackend&) = delete;

  void stop_listening() { acceptor_.close(); }
  Endpoint endpoint() const { return acceptor_.endpoint(); }
  std::string target() const { return endpoint().text(); }

  /// Says something out of turn on the newest connection.
  void say(std::string text) {
    clients_.back()->silent = false;
    clients_.back()->socket->send(std::move(text));
  }
  /// Ends the newest connection, with a FIN.
  void close_newest() { clients_.back()->socket->close(); }
  void start_reading() { clients_.back()->socket->start_reading(); }

  std::size_t connections() const { return clients_.size(); }
  std::size_t open_connections() const {
    std::size_t open = 0;
    for (const auto& client : clients_) open += client->closed ? 0 : 1;
    return open;
  }
  /// How often a verb was met.
  std::size_t count(const std::string& verb) const {
    const auto found = met_.find(verb);
    return found == met_.end() ? 0 : found->second;
  }

  std::map<std::string, std::deque<Does>> script;
  std::string extensions = "PIPELINING";
  bool stops_reading_at_data = false;
  std::vector<std::string> messages;  ///< as they came, with their dots stuffed
  std::vector<std::string> commands;

 private:
  struct Client final : uv::SocketHandler {
    explicit Client(ScriptedBackend& its_server) : server(its_server) {}
    void on_bytes(std::string_view bytes) override {
      received += bytes;
      server.work_off(*this);
    }
    void on_end() override { socket->close(); }
    void on_failure(const Error&) override { socket->close(); }
    void on_closed() override { closed = true; }

    ScriptedBackend& server;
    std::unique_ptr<uv::Socket> socket;
    std::string received;
    std::size_t accepted = 0;  // recipients
    bool in_message = false;
    bool silent = false;
    bool closed = false;
  };

  void accept(int descriptor) {
    auto& client = *clients_.emplace_back(std::make_unique<Client>(*this));
    client.socket = uv::Socket::adopt(loop_, descriptor, client);
    client.socket->start_reading();
    meet(client, "connect", "220 ready\r\n");
  }

  void work_off(Client& client) {
    for (;;) {
      if (client.in_message) {
        // Nothing stands behind a final dot: the client waits for the answer.
        const bool empty = client.received.starts_with(".\r\n");
        if (!client.received.ends_with("\r\n.\r\n") && !empty) return;
        const auto length = empty ? 0 : client.received.size() - 3;
        messages.push_back(client.received.substr(0, length));
        client.received.erase(0, length + 3);
        client.in_message = false;
        std::string replies;
        for (std::size_t n = 0; n < client.accepted; ++n) replies += "250 2.0.0 saved\r\n";
        client.accepted = 0;
        meet(client, ".", replies);
        continue;
      }
      const auto end = client.received.find("\r\n");
      if (end == std::string::npos) return;
      const auto line = client.received.substr(0, end);
      client.received.erase(0, end + 2);
      commands.push_back(line);
      obey(client, line.substr(0, 4));
    }
  }

  void obey(Client& client, const std::string& verb) {
    if (verb == "LHLO") {
      meet(client, verb, "250-backend\r\n250 " + extensions + "\r\n");
      return;
    }
    if (verb == "DATA") {
      const auto said = meet(client, verb, client.accepted > 0 ? "354 go\r\n" : "503 no valid recipients\r\n");
      client.in_message = said.starts_with("354");
      if (client.in_message && stops_reading_at_data) client.socket->stop_reading();
      return;
    }
    if (verb == "QUIT") {
      meet(client, verb, "221 bye\r\n");
      return client.socket->close_when_sent(std::chrono::seconds(1));
    }
    if (verb == "MAIL" || verb == "RSET") client.accepted = 0;
    if (meet(client, verb, "250 ok\r\n").starts_with("250") && verb == "RCPT") ++client.accepted;
  }

  std::string meet(Client& client, const std::string& verb, std::string usual) {
    ++met_[verb];
    auto& scripted = script[verb];
    Does does = says(std::move(usual));
    if (!scripted.empty()) {
      does = std::move(scripted.front());
      scripted.pop_front();
    }
    if (does.says.empty()) client.silent = true;
    if (!client.silent) client.socket->send(does.says);
    if (does.then == Does::Then::Closes) client.socket->close_when_sent(std::chrono::seconds(1));
    if (does.then == Does::Then::Resets) client.socket->reset();
    return does.says;
  }

  uv::Loop& loop_;
  std::map<std::string, std::size_t> met_;
  std::vector<std::unique_ptr<Client>> clients_;
  uv::Acceptor acceptor_;
};

}  // namespace postern::session::test
