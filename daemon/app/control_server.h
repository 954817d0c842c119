// The control socket: reads requests, one JSON object a line, and writes the replies. What they do is the handler's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "control/protocol.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"

namespace postern::app {

class ControlServer {
 public:
  /// Calls its second argument exactly once, within the call or later.
  using Handler = std::function<void(const control::Request&, std::function<void(control::Reply)>)>;

  ControlServer(uv::Loop& loop, uv::Bound socket, Handler handler);
  ~ControlServer();

  /// Closes everything. The loop must run on for a moment before the server may be destroyed.
  void close();

 private:
  class Connection;
  void accepted(int descriptor);

  uv::Loop& loop_;
  Handler handler_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t next_connection_ = 1;
  uv::Acceptor acceptor_;
};

}  // namespace postern::app
