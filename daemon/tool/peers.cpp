#include "daemon/tool/peers.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "base/text.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "smtp/client_session.h"
#include "tls/stream.h"

namespace postern::tool {

namespace {

constexpr Duration last_words_within = std::chrono::seconds(2);

/// One connection on a loop of its own.
class Client : private uv::SocketHandler {
 public:
  Client(const Endpoint& endpoint, Duration within)
      : timer_(loop_, [this, within] { stop(fmt::format("it was not done within {}", readable(within))); }),
        socket_(uv::Socket::connect(loop_, endpoint, *this)) {
    timer_.start_at(loop_.now() + within);
  }
  ~Client() override = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Until the connection is closed.
  void run() { loop_.run(); }

 protected:
  virtual void on_open() = 0;
  virtual void on_input(std::string_view bytes) = 0;
  /// The connection is over, by the other end, by a fault or by the clock.
  virtual void on_over(const std::string& why) = 0;

  Instant now() const { return loop_.now(); }
  void send(std::string bytes) { socket_->send(std::move(bytes)); }
  void finish() {
    over_ = true;
    timer_.stop();
    socket_->close_when_sent(last_words_within);
  }
  bool over() const { return over_; }

 private:
  void on_connected() final {
    socket_->start_reading();
    on_open();
  }
  void on_bytes(std::string_view bytes) final {
    if (!over_) on_input(bytes);
  }
  void on_end() final { stop("it closed the connection"); }
  void on_failure(const Error& error) final {
    stop(error.text);
    socket_->close();
  }
  void on_closed() final {
    timer_.stop();
    loop_.stop();
  }
  void stop(const std::string& why) {
    if (over_) return;
    on_over(why);
    over_ = true;
    timer_.stop();
    socket_->close();
  }

  uv::Loop loop_;
  uv::Timer timer_;
  std::unique_ptr<uv::Socket> socket_;
  bool over_ = false;
};

class MxLook final : public Client {
 public:
  MxLook(const Endpoint& endpoint, std::optional<DnsName> server_name, std::string our_name, Duration within)
      : Client(endpoint, within),
        server_name_(std::move(server_name)),
        session_({.dialect = smtp::Dialect::Smtp,
                  .hostname = std::move(our_name),
                  .timeouts = {within, within, within},
                  .start_tls = smtp::StartTls::Required},
                 now()) {}

  SmtpSeen seen;

 private:
  void on_open() override {}
  void on_over(const std::string& why) override {
    if (seen.failure.empty() && !done_) seen.failure = why;
  }
  void on_input(std::string_view bytes) override {
    if (stream_) {
      stream_->receive(bytes);
    } else {
      session_.receive(bytes, now());
    }
    pump();
  }

  void pump() {
    if (stream_) read_stream();
    while (auto event = session_.next()) handle(*event);
    flush();
    if ((done_ || !seen.failure.empty()) && !over()) finish();
  }

  void read_stream() {
    while (auto event = stream_->next()) {
      if (std::holds_alternative<tls::Established>(*event)) {
        seen.tls_version = stream_->facts().version;
        seen.cipher = stream_->facts().cipher;
        seen.chain = stream_->peer_chain();
        session_.tls_started(now());
      } else if (const auto* plaintext = std::get_if<tls::Plaintext>(&*event)) {
        session_.receive(plaintext->bytes, now());
      } else if (const auto* failed = std::get_if<tls::TlsFailed>(&*event)) {
        fail_with_reason("the TLS handshake failed: " + failed->reason);
      } else if (std::holds_alternative<tls::PeerClosed>(*event)) {
        fail_with_reason("it closed the connection");
      }
    }
  }

  void handle(const smtp::ClientEvent& event) {
    if (std::holds_alternative<smtp::TlsWanted>(event)) {
      seen.greeted = true;
      const auto context = tls::ClientContext::make({});
      if (!context) return fail_with_reason(context.error().text);
      flush();
      stream_ = tls::Stream::client(*context, server_name_);
      read_stream();
    } else if (std::holds_alternative<smtp::PeerReady>(event)) {
      done_ = true;
      session_.quit();
    } else if (const auto* failed = std::get_if<smtp::SessionFailed>(&event)) {
      const bool hello_was_good = failed->stage == smtp::ClientStage::Hello && failed->reply && failed->reply->positive();
      seen.greeted = seen.greeted || hello_was_good || failed->stage == smtp::ClientStage::StartTls;
      fail_with_reason(hello_was_good ? "it does not offer STARTTLS" : failed->error.text);
    }
  }

  void fail_with_reason(const std::string& reason) {
    if (seen.failure.empty() && !done_) seen.failure = reason;
  }

  void flush() {
    auto output = session_.take_output();
    if (!stream_) return send(std::move(output));
    if (!output.empty() && stream_->established()) stream_->send(output);
    if (done_) stream_->close();
    send(stream_->take_output());
  }

  std::optional<DnsName> server_name_;
  smtp::ClientSession session_;
  std::unique_ptr<tls::Stream> stream_;
  bool done_ = false;
};

class HttpsGet final : public Client {
 public:
  HttpsGet(const Endpoint& endpoint, const DnsName& host, const std::string& path,
           const std::shared_ptr<const tls::ClientContext>& context, std::size_t octets_max, Duration within)
      : Client(endpoint, within),
        stream_(tls::Stream::client(context, host)),
        request_(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: postern\r\nConnection: close\r\n\r\n", path,
                             host.text())),
        reader_(octets_max) {}

  Result<http::ReceivedResponse> outcome = fail("nothing came");

 private:
  void on_open() override { pump(); }
  void on_over(const std::string& why) override {
    if (has_outcome_) return;
    outcome = fail("{}", why);
  }
  void on_input(std::string_view bytes) override {
    stream_->receive(bytes);
    pump();
  }

  void pump() {
    while (auto event = stream_->next()) {
      if (std::holds_alternative<tls::Established>(*event)) {
        stream_->send(request_);
      } else if (const auto* plaintext = std::get_if<tls::Plaintext>(&*event)) {
        take(reader_.receive(plaintext->bytes));
      } else if (const auto* failed = std::get_if<tls::TlsFailed>(&*event)) {
        take(fail("{}", failed->reason));
      } else if (std::holds_alternative<tls::PeerClosed>(*event)) {
        take(reader_.end());
      }
    }
    if (has_outcome_ && stream_->established()) stream_->close();
    send(stream_->take_output());
    if (has_outcome_ && !over()) finish();
  }

  void take(Result<std::optional<http::ReceivedResponse>> read) {
    if (has_outcome_ || (read && !*read)) return;
    has_outcome_ = true;
    outcome = read ? Result<http::ReceivedResponse>(std::move(**read)) : Result<http::ReceivedResponse>(fail_with(read.error()));
  }

  std::unique_ptr<tls::Stream> stream_;
  std::string request_;
  http::ResponseReader reader_;
  bool has_outcome_ = false;
};

}  // namespace

SmtpSeen look_at_mx(const Endpoint& endpoint, const std::optional<DnsName>& server_name, const std::string& our_name,
                    Duration within) {
  MxLook look(endpoint, server_name, our_name, within);
  look.run();
  return std::move(look.seen);
}

Result<http::ReceivedResponse> get_over_https(const Endpoint& endpoint, const DnsName& host, const std::string& path,
                                              const std::shared_ptr<const tls::ClientContext>& context,
                                              std::size_t octets_max, Duration within) {
  HttpsGet get(endpoint, host, path, context, octets_max, within);
  get.run();
  return std::move(get.outcome);
}

}  // namespace postern::tool
