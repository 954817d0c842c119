#include "tests/bench/load/dialogue.h"

#include <charconv>
#include <utility>

namespace postern::bench {

Dialogue::Dialogue(uv::Loop& loop, const Endpoint& to, Security security, const Callbacks& callbacks)
    : callbacks_(callbacks), security_(std::move(security)), socket_(uv::Socket::connect(loop, to, *this)) {
  socket_->start_reading();
}

void Dialogue::send(std::string_view text) {
  if (!stream_) return socket_->send(std::string(text));
  stream_->send(text);
  socket_->send(stream_->take_output());
}

void Dialogue::quit() {
  stage_ = Stage::Quitting;
  send("QUIT\r\n");
}

void Dialogue::on_connected() {
  if (security_.context && security_.begin == Security::Begin::AtOnce) start_tls();
}

void Dialogue::start_tls() {
  stream_ = tls::Stream::client(security_.context, security_.name);
  receive_tls({});  // begins the handshake
}

void Dialogue::on_bytes(std::string_view bytes) {
  if (stream_) {
    receive_tls(bytes);
  } else {
    receive(bytes);
  }
}

void Dialogue::receive_tls(std::string_view ciphertext) {
  stream_->receive(ciphertext);
  while (auto event = stream_->next()) {
    if (std::holds_alternative<tls::Established>(*event)) {
      if (security_.begin == Security::Begin::AtOnce) continue;  // the greeting is to come
      stage_ = Stage::Ehlo;
      send("EHLO bench.test\r\n");
    } else if (const auto* text = std::get_if<tls::Plaintext>(&*event)) {
      receive(std::string(text->bytes));  // what it causes to be sent invalidates the view
    } else if (std::holds_alternative<tls::PeerClosed>(*event)) {
      return on_end();
    } else if (const auto* failed = std::get_if<tls::TlsFailed>(&*event)) {
      return broken("TLS: " + failed->reason);
    }
  }
  socket_->send(stream_->take_output());
}

void Dialogue::receive(std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    line_ += text.substr(0, end);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
    int code = 0;
    std::from_chars(line_.data(), line_.data() + line_.size(), code);
    const bool last_line = line_.size() < 4 || line_[3] != '-';
    line_.clear();
    if (last_line) replied(code);
  }
}

void Dialogue::replied(int code) {
  if (code >= 500 && stage_ != Stage::Ready) return broken("refused with " + std::to_string(code));
  switch (stage_) {
    case Stage::Greeting:
      stage_ = Stage::Ehlo;
      return send("EHLO bench.test\r\n");
    case Stage::Ehlo:
      if (security_.context && !stream_) {
        stage_ = Stage::StartTls;
        return send("STARTTLS\r\n");
      }
      stage_ = Stage::Ready;
      return callbacks_.on_ready(*this);
    case Stage::StartTls:
      stage_ = Stage::Handshake;
      return start_tls();
    case Stage::Ready:
      return callbacks_.on_reply(*this, code);
    case Stage::Handshake:
      return broken("a reply in clear after STARTTLS");
    case Stage::Quitting:
      return;
  }
}

void Dialogue::broken(std::string why) {
  why_ = std::move(why);
  socket_->close();
}

void Dialogue::on_end() {
  if (stage_ == Stage::Quitting) return socket_->close();
  broken("the server closed the connection");
}

void Dialogue::on_failure(const Error& error) { broken(error.text); }

void Dialogue::on_closed() { callbacks_.on_end(*this, why_); }

}  // namespace postern::bench
