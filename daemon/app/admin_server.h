// The admin listener: HTTP for those who watch posternd. On the control loop, so that it answers also while a worker is
// stuck or no worker accepts any more. Who may ask is decided here; what the answers are is the handler's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "http/server_core.h"

namespace postern::app {

class AdminServer {
 public:
  /// Gets a GET or HEAD request. Calls its second argument exactly once, within the call or later.
  using Handler = std::function<void(const http::Request&, std::function<void(http::Response)>)>;

  /// By which names it may be asked, as Host says: any, where a web page that the operator's browser has opened cannot
  /// reach it or does not have the token; else those of loopback (http::means_loopback).
  enum class Hosts { Any, Loopback };

  struct Options {
    std::string token;  ///< what `Authorization: Bearer` must say; empty: nobody is asked
    Hosts hosts = Hosts::Any;
  };
  AdminServer(uv::Loop& loop, uv::Bound socket, Options options, Handler handler);
  ~AdminServer();

  /// Closes everything. The loop must run on for a moment before the server may be destroyed.
  void close();

 private:
  class Connection;
  void accepted(int descriptor);

  uv::Loop& loop_;
  Options options_;
  Handler handler_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t next_connection_ = 1;
  uv::Acceptor acceptor_;
};

/// A token as it stands in the first line of a file: printable, without blanks, at least 16 octets. Blocking.
Result<std::string> read_token(const std::string& path);

}  // namespace postern::app
