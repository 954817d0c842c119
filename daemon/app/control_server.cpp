#include "daemon/app/control_server.h"

#include <unistd.h>

#include <string_view>
#include <utility>

#include "base/bytes.h"

namespace postern::app {

namespace {
constexpr std::size_t connections_max = 32;
}

/// One request at a time; the next line is read when the reply is out.
class ControlServer::Connection : private uv::SocketHandler {
 public:
  Connection(ControlServer& server, std::uint64_t id, int descriptor)
      : server_(server), id_(id), socket_(uv::Socket::adopt(server.loop_, descriptor, *this)) {
    socket_->start_reading();
  }

  void close() { socket_->close(); }

  void answer(const control::Reply& reply) {
    waiting_ = false;
    socket_->send(control::to_json(reply) + "\n");
    if (ended_) return socket_->close_when_sent(std::chrono::seconds(10));
    socket_->start_reading();
    if (!taking_) take_lines();
  }

 private:
  void on_bytes(std::string_view bytes) override {
    received_.append(bytes);
    take_lines();
  }

  void take_lines() {
    taking_ = true;
    while (!waiting_ && !ended_) {
      const auto end = received_.view().find('\n');
      if (end == std::string_view::npos) break;
      const auto request = control::parse_request(received_.view().substr(0, end));
      received_.consume(end + 1);
      carry_out(request);
    }
    taking_ = false;
    if (!waiting_ && received_.size() > control::request_octets_max) close();
  }

  void carry_out(const Result<control::Request>& request) {
    waiting_ = true;
    socket_->stop_reading();
    if (!request) return answer(control::ErrorReply{request.error().text});
    server_.handler_(*request, [&server = server_, id = id_](const control::Reply& reply) {
      const auto found = server.connections_.find(id);
      if (found != server.connections_.end()) found->second->answer(reply);
    });
  }

  void on_end() override {
    ended_ = true;
    if (!waiting_) close();
  }
  void on_failure(const Error&) override { close(); }
  void on_closed() override { server_.connections_.erase(id_); }

  ControlServer& server_;
  std::uint64_t id_;
  ByteQueue received_;
  bool waiting_ = false;  // for the reply to a request
  bool ended_ = false;
  bool taking_ = false;   // take_lines() is on the stack
  std::unique_ptr<uv::Socket> socket_;
};

ControlServer::ControlServer(uv::Loop& loop, uv::Bound socket, Handler handler)
    : loop_(loop),
      handler_(std::move(handler)),
      acceptor_(loop, std::move(socket), [this](int descriptor) { accepted(descriptor); }, [](const Error&) {}) {}

ControlServer::~ControlServer() = default;

void ControlServer::accepted(int descriptor) {
  if (connections_.size() >= connections_max) {
    ::close(descriptor);
    return;
  }
  const auto id = next_connection_++;
  connections_[id] = std::make_unique<Connection>(*this, id, descriptor);
}

void ControlServer::close() {
  acceptor_.close();
  for (auto& [id, connection] : connections_) connection->close();
}

}  // namespace postern::app
