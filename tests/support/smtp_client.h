// A blocking SMTP client for loop tests, over our own TLS stream: enough to hold a dialogue and to see which
// certificate was served. (End-to-end tests use clients that we did not write.)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tls/stream.h"

namespace postern::test {

class SmtpClient {
 public:
  /// Connects to 127.0.0.1. Throws std::runtime_error, as everything here, when something takes over 30 s or fails.
  explicit SmtpClient(std::uint16_t port);
  ~SmtpClient();
  SmtpClient(const SmtpClient&) = delete;
  SmtpClient& operator=(const SmtpClient&) = delete;

  void send(std::string_view bytes);
  /// The next whole reply with its line ends; empty when the server has closed.
  std::string reply();
  /// send() of the line with CRLF, then reply().
  std::string say(std::string_view line);

  /// The handshake, after the 220 to STARTTLS. Returns the leaf that was served, DER.
  std::string start_tls(const std::string& server_name);

 private:
  bool receive_some();
  void flush();

  int descriptor_ = -1;
  std::string plaintext_;
  bool closed_ = false;  // close_notify was seen
  std::unique_ptr<tls::Stream> stream_;
};

}  // namespace postern::test
