// An LMTP server (RFC 2033) for measuring, and an SMTP one for who says EHLO: it looks at the first letter of a command and
// at the end of a text. A PROXY header in front is passed over.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <unordered_map>

#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "tests/bench/load/runs.h"

namespace postern::bench {

namespace {

constexpr std::string_view end_of_text = "\r\n.\r\n";

class SinkSession final : public uv::SocketHandler {
 public:
  SinkSession(uv::Loop& loop, int descriptor) : socket_(uv::Socket::adopt(loop, descriptor, *this)) {
    socket_->send("220 sink.test ready\r\n");
    socket_->start_reading();
  }

 private:
  void on_bytes(std::string_view bytes) override {
    replies_.clear();
    while (!bytes.empty()) bytes.remove_prefix(in_text_ ? take_text(bytes) : take_line(bytes));
    socket_->send(std::move(replies_));
  }
  void on_end() override { socket_->close(); }
  void on_failure(const Error&) override { socket_->close(); }
  void on_closed() override { delete this; }

  std::size_t take_line(std::string_view bytes) {
    const auto end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return bytes.size();
    answer(line_.empty() ? '\0' : line_[0]);
    line_.clear();
    return end + 1;
  }

  void answer(char verb) {
    switch (verb) {
      case 'P':
        return;
      case 'E':
        smtp_ = true;
        [[fallthrough]];
      case 'L':
        replies_ += "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n";
        return;
      case 'D':
        in_text_ = true;
        matched_ = 2;  // the text begins at the beginning of a line
        replies_ += "354 go on\r\n";
        return;
      case 'Q':
        replies_ += "221 2.0.0 bye\r\n";
        return socket_->close_when_sent(std::chrono::seconds(1));
      case 'R':
        if (line_.starts_with("RCPT")) ++recipients_;
        if (line_.starts_with("RSET")) recipients_ = 0;
        break;
      default:
        break;
    }
    replies_ += "250 2.0.0 ok\r\n";
  }

  /// Without looking at octets between line ends: a sink must not be what is measured.
  std::size_t take_text(std::string_view bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      if (matched_ == 0) {
        at = bytes.find('\r', at);
        if (at == std::string_view::npos) return bytes.size();
      }
      const char octet = bytes[at];
      matched_ = octet == end_of_text[matched_] ? matched_ + 1 : (octet == '\r' ? 1 : 0);
      ++at;
      if (matched_ == end_of_text.size()) {
        in_text_ = false;
        matched_ = 0;
        if (smtp_) recipients_ = 1;
        for (; recipients_ > 0; --recipients_) replies_ += "250 2.0.0 taken\r\n";
        return at;
      }
    }
    return at;
  }

  std::string replies_;
  std::string line_;
  std::size_t matched_ = 0;  // octets of end_of_text
  std::size_t recipients_ = 0;
  bool in_text_ = false;
  bool smtp_ = false;
  std::unique_ptr<uv::Socket> socket_;
};

}  // namespace

int run_sink(const Endpoint& at) {
  const auto bound = uv::bind_tcp(at);
  if (!bound) {
    fmt::print(stderr, "{}\n", bound.error().text);
    return 2;
  }
  uv::Loop loop;
  const uv::Acceptor acceptor(
      loop, *bound, [&loop](int descriptor) { new SinkSession(loop, descriptor); },
      [](const Error& error) { fmt::print(stderr, "{}\n", error.text); });
  fmt::print("listening on {}\n", bound->endpoint.text());
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace postern::bench
