// The server side of HTTP/1.1 for small answers to small questions, without I/O: the policy host, ACME challenges, the
// admin listener.
//
//   core.receive(bytes, now);
//   while (auto request = core.next()) ... core.answer(response, now, wall_time);   // within the turn, or later
//   send(core.take_output());
//   if (core.finished()) close, once everything was sent
//
// The parsing is http_parser's. What is ours: one request at a time (the next is parsed when the last was answered),
// limits, time, and that a request with a body is read to its end and the body thrown away, since nobody here wants one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/instant.h"

namespace postern::http {

struct Request {
  std::string method;         ///< "GET"
  std::string target;         ///< as it stands in the request line: escape before logging
  std::string host;           ///< as it stands in Host; may have a port
  std::string authorization;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain";
  std::string body;           ///< not sent in answer to HEAD
  std::vector<std::pair<std::string, std::string>> headers = {};  ///< besides Content-Type, Content-Length, Date, Connection
};

Response not_found();
/// A short text that says what was wrong with the request.
Response refusal(int status, std::string text);

struct Limits {
  std::size_t head_octets_max = 8 * 1024;       ///< request line and headers: `431`
  std::size_t body_octets_max = 4 * 1024;       ///< `413`
  std::size_t requests_max = 1000;              ///< on one connection, then it is closed
  Duration request_within = std::chrono::seconds(10);  ///< from its first octet (`408`), or from the beginning of the connection
  Duration idle_max = std::chrono::seconds(30);        ///< between requests
};

class ServerCore {
 public:
  ServerCore(const Limits& limits, Instant now);
  ~ServerCore();
  ServerCore(ServerCore&&) noexcept;
  ServerCore& operator=(ServerCore&&) noexcept;

  /// Keeps bytes until next(). The caller should not read on while wants_input() is false.
  void receive(std::string_view bytes, Instant now);
  bool wants_input() const;
  void end_of_input();

  /// The next whole request, when the one before was answered. Malformed ones are answered here.
  std::optional<Request> next();

  /// Gives the response to the last request of next(). `date` is what the Date header says.
  void answer(const Response& response, Instant now, WallTime date);

  std::string take_output();

  /// Nothing more will be read: close when all output was sent.
  bool finished() const;

  /// When expire() wants to be called next.
  std::optional<Instant> deadline() const;
  void expire(Instant now);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::http
