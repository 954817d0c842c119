#include "daemon/session/backend_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/session/handshake.h"

namespace postern::session {

namespace {

// QUIT is a courtesy: who does not read it is not waited for.
constexpr Duration quit_max = std::chrono::seconds(2);

}  // namespace

BackendConnection::BackendConnection(uv::Loop& loop, Owner& owner, delivery::ConnectionId id, Settings settings)
    : loop_(loop),
      owner_(owner),
      id_(id),
      settings_(std::move(settings)),
      addresses_(loop.now() + settings_.connect_max),
      timer_(loop, [this] { expired(); }) {
  timer_.start_at(loop.now() + settings_.connect_max);
}

BackendConnection::~BackendConnection() = default;

// --- connecting ---

void BackendConnection::connect_to(const Endpoint& address) {
  addresses_.fill({address});
  phase_ = Phase::Connecting;
  connect_next();
}

void BackendConnection::connect_any(std::vector<Endpoint> addresses) {
  if (phase_ != Phase::Dialling) return;
  looked_up_ = true;
  addresses_.fill(std::move(addresses));
  phase_ = Phase::Connecting;
  connect_next();
}

void BackendConnection::connect_unix(const std::string& path) {
  phase_ = Phase::Connecting;
  socket_ = uv::Socket::connect_unix(loop_, path, *this);
}

void BackendConnection::cannot_connect(Error why) {
  if (phase_ == Phase::Dialling) connect_failed(std::move(why));
}

void BackendConnection::connect_next() {
  const auto attempt = addresses_.next(loop_.now());
  timer_.start_at(attempt.until);
  peer_ = attempt.to;
  socket_ = uv::Socket::connect(loop_, attempt.to, *this);
}

void BackendConnection::connect_failed(Error error) {
  if (!addresses_.empty()) return socket_->close();  // on_closed() tries the next one
  using smtp::SessionFailed;
  owner_.on_event(id_,
                  SessionFailed{SessionFailed::Why::PeerClosed, smtp::ClientStage::Greeting, std::move(error), {}, {}});
}

void BackendConnection::on_connected() {
  phase_ = Phase::Open;
  using Tls = delivery::BackendTls::Mode;
  settings_.session.start_tls = settings_.tls == Tls::Starttls ? smtp::StartTls::Required : smtp::StartTls::Never;
  session_.emplace(std::move(settings_.session), loop_.now());
  socket_->send(std::move(settings_.preamble));
  if (settings_.tls == Tls::Implicit) start_tls();
  socket_->start_reading();
  watch_time();
}

void BackendConnection::start_tls() {
  stream_ = tls::Stream::client(settings_.tls_context, settings_.tls_name);
  flush_records();
}

// --- talking ---

void BackendConnection::on_bytes(std::string_view bytes) {
  if (phase_ != Phase::Open) return;
  if (stream_) {
    stream_->receive(bytes);
  } else {
    session_->receive(bytes, loop_.now());
  }
  pump();
}

void BackendConnection::on_drained() {
  if (phase_ == Phase::Open) owner_.on_room(id_);
}

void BackendConnection::on_end() { lose("the backend closed the connection"); }

void BackendConnection::on_failure(const Error& error) {
  Error told = error;
  if (looked_up_) told.text = fmt::format("{}: {}", peer_->text(), error.text);
  if (phase_ == Phase::Connecting) return connect_failed(std::move(told));
  lose(std::move(told.text));
}

void BackendConnection::lose(std::string reason) {
  if (phase_ != Phase::Open) return;
  session_->connection_lost(std::move(reason), loop_.now());
  pump();
}

void BackendConnection::pump() {
  if (phase_ != Phase::Open) return;
  flush();
  if (pumping_) return;
  pumping_ = true;
  while (phase_ == Phase::Open && (handle_session_event() || handle_stream_event())) {
  }
  pumping_ = false;
  flush();
}

bool BackendConnection::handle_session_event() {
  auto event = session_->next();
  if (!event) return false;
  if (std::holds_alternative<smtp::TlsWanted>(*event)) {
    flush();
    start_tls();
  } else {
    owner_.on_event(id_, std::move(*event));
  }
  return true;
}

bool BackendConnection::handle_stream_event() {
  auto event = stream_ ? stream_->next() : std::nullopt;
  if (!event) return stream_ && use_key();
  if (const auto* plaintext = std::get_if<tls::Plaintext>(&*event)) {
    session_->receive(plaintext->bytes, loop_.now());
  } else if (std::holds_alternative<tls::Established>(*event)) {
    stream_->forget_handshake();
    session_->tls_started(loop_.now());  // nothing to a session that was under TLS from the start
  } else if (const auto* failed = std::get_if<tls::TlsFailed>(&*event)) {
    flush_records();  // the alert
    session_->connection_lost((failed->during_handshake ? "the TLS handshake failed: " : "TLS failed: ") + failed->reason,
                              loop_.now());
  } else {
    session_->connection_lost("the backend closed the connection", loop_.now());
  }
  return true;
}

/// True when the handshake goes on at once.
bool BackendConnection::use_key() {
  auto operation = stream_->take_key_operation();
  if (!operation) return false;
  if (settings_.key_pool == nullptr) {
    stream_->complete_key_operation(fail("nobody is there to use an RSA key"));
    return true;
  }
  return !session::use_key(*settings_.key_pool, loop_, *stream_, std::move(*operation),
                           [this, alive = std::weak_ptr(alive_)](const Completion& complete) {
                             if (alive.expired() || phase_ != Phase::Open) return;
                             complete(*stream_);
                             pump();
                           });
}

void BackendConnection::flush() {
  if (phase_ != Phase::Open) return;
  auto output = session_->take_output();
  if (!stream_) {
    socket_->send(std::move(output));
  } else if (secured() && !output.empty()) {
    stream_->send(output);
  }
  flush_records();
  watch_time();
}

void BackendConnection::flush_records() {
  if (stream_) socket_->send(stream_->take_output());
}

// --- time ---

void BackendConnection::watch_time() {
  if (const auto deadline = session_->deadline()) {
    timer_.start_at(*deadline);
  } else {
    timer_.stop();
  }
}

void BackendConnection::expired() {
  switch (phase_) {
    case Phase::Dialling:
      return connect_failed({"its name was not resolved in time"});
    case Phase::Connecting:
      return connect_failed({"it did not accept a connection in time"});
    case Phase::Open:
      session_->expire(loop_.now());
      return pump();
    case Phase::Closing:
      return owner_.on_closed(id_);
  }
}

// --- the end ---

void BackendConnection::quit() {
  if (phase_ == Phase::Closing) return;
  if (phase_ != Phase::Open || !session_->idle()) return drop();
  session_->quit();
  flush();
  if (stream_) {
    stream_->close();
    flush_records();
  }
  phase_ = Phase::Closing;
  timer_.stop();
  socket_->close_when_sent(quit_max);
}

void BackendConnection::drop() {
  if (phase_ == Phase::Closing) return;
  phase_ = Phase::Closing;
  addresses_.clear();
  if (socket_) {
    timer_.stop();
    socket_->close();
  } else {
    timer_.start_at(loop_.now());  // on_closed() at the next turn
  }
}

void BackendConnection::on_closed() {
  socket_.reset();
  if (phase_ == Phase::Connecting) return connect_next();
  owner_.on_closed(id_);
}

}  // namespace postern::session
