#include "daemon/session/web.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/text.h"
#include "certs/loader.h"
#include "mtasts/policy_host.h"

namespace postern::session {

namespace {

constexpr Duration last_words_within = std::chrono::seconds(5);
constexpr std::string_view challenge_path = "/.well-known/acme-challenge/";  // RFC 8555 section 8.3
constexpr std::size_t token_octets_max = 256;
constexpr std::size_t challenge_octets_max = 4096;

/// The token in the path of a challenge. It becomes part of a file's path, so it is base64url and nothing else.
std::optional<std::string> token_of(std::string_view target) {
  if (!target.starts_with(challenge_path)) return std::nullopt;
  target.remove_prefix(challenge_path.size());
  const bool good = !target.empty() && target.size() <= token_octets_max &&
                    std::all_of(target.begin(), target.end(),
                                [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_'; });
  return good ? std::optional(std::string(target)) : std::nullopt;
}

http::Response read_challenge(const std::string& path) {
  const auto contents = certs::make_local_file_source()->read(path, challenge_octets_max);
  if (!contents) return http::not_found();
  http::Response response;
  response.content_type = "application/octet-stream";
  response.body = contents->bytes;
  return response;
}

}  // namespace

Web::Web(WebServices& services, WebId id, int descriptor, const Endpoint& listener)
    : services_(services),
      id_(id),
      socket_(uv::Socket::adopt(services.loop, descriptor, *this)),
      peer_(socket_->peer()),
      listener_(listener),
      timer_(services.loop, [this] { on_timer(); }) {
  facts_.id = services_.ids.next();
  facts_.peer = peer_;
  if (services_.settings.get()->listeners.at(listener_).tls == ListenerTls::None) {
    start_http();
  } else {
    start_tls();
  }
  pump();
}

Web::~Web() = default;

void Web::start_tls() {
  const auto settings = services_.settings.get();
  stream_ = accept_tls(services_.handshakes, *services_.tls.get(), *settings, listener_, socket_->local().address, "https");
  handshake_deadline_ = services_.loop.now() + settings->smtp.timeouts.handshake;
}

void Web::start_http() { http_.emplace(http::Limits{}, services_.loop.now()); }

void Web::pump() {
  if (closing_) return;
  if (stream_ && !read_stream()) return;
  while (http_) {
    const auto request = http_->next();
    if (!request) break;
    handle(*request);
    if (closing_) return;
  }
  send_output();
  if (http_ && http_->finished()) return close();
  const auto next = handshake_deadline_ ? handshake_deadline_ : http_->deadline();
  if (next) {
    timer_.start_at(*next);
  } else {
    timer_.stop();
  }
  if (http_ ? http_->wants_input() : !handshake_in_pool_) {
    socket_->start_reading();
  } else {
    socket_->stop_reading();
  }
}

/// Takes everything that the stream has; false when the connection has ended.
bool Web::read_stream() {
  while (const auto event = stream_->next()) {
    if (const auto* plaintext = std::get_if<tls::Plaintext>(&*event)) {
      http_->receive(plaintext->bytes, services_.loop.now());
    } else if (std::holds_alternative<tls::Established>(*event)) {
      handshake_deadline_.reset();
      facts_.tls_version = stream_->facts().version;
      if (const tls::ClientHello* hello = stream_->hello()) facts_.sni = hello->raw_server_name;
      stream_->forget_handshake();
      start_http();
    } else if (const auto* needs = std::get_if<tls::NeedsCredential>(&*event)) {
      handshake_in_pool_ = fetch_credential(services_.handshakes, *stream_, *needs, pool_done());
    } else if (std::holds_alternative<tls::PeerClosed>(*event)) {
      if (http_) http_->end_of_input();
      break;
    } else {
      close();
      return false;
    }
  }
  if (auto operation = stream_->take_key_operation()) {
    handshake_in_pool_ = use_key(services_.handshakes, *stream_, std::move(*operation), pool_done());
    if (!handshake_in_pool_) return read_stream();  // it says why the handshake ends
  }
  if (http_ || handshake_deadline_) return true;
  close();  // close_notify before the end of the handshake
  return false;
}

Later Web::pool_done() {
  return [&directory = services_.directory, id = id_](const Completion& complete) {
    if (Web* web = directory.find_web(id)) web->complete_handshake(complete);
  };
}

void Web::complete_handshake(const Completion& complete) {
  if (closing_) return;
  handshake_in_pool_ = false;
  complete(*stream_);
  pump();
}

void Web::handle(const http::Request& request) {
  const auto settings = services_.settings.get();
  const ListenerSettings& listener = settings->listeners.at(listener_);
  if (listener.protocol == ListenerProtocol::Acme) {
    look_for_challenge(request, listener.webroot);
  } else {
    answer(request, mtasts::answer_policy_request(request, *settings->policies));
  }
}

/// Files are read on the file pool.
void Web::look_for_challenge(const http::Request& request, const std::string& webroot) {
  const auto token = token_of(request.target);
  if (!token || (request.method != "GET" && request.method != "HEAD")) return answer(request, http::not_found());
  auto response = std::make_shared<http::Response>();
  const bool accepted = services_.file_pool.submit(
      [response, path = webroot + std::string(challenge_path) + *token] { *response = read_challenge(path); },
      services_.loop, [&directory = services_.directory, id = id_, request, response] {
        directory.find_web(id)->challenge_read(request, *response);
      });
  reading_file_ = accepted;
  if (!accepted) answer(request, http::refusal(503, "Busy, try again."));
}

void Web::challenge_read(const http::Request& request, const http::Response& response) {
  reading_file_ = false;
  if (socket_closed_) return services_.directory.web_closed(id_);  // destroys this
  answer(request, response);
  pump();
}

void Web::answer(const http::Request& request, const http::Response& response) {
  if (closing_) return;
  observe::HttpRecord record = facts_;
  record.host = request.host;
  record.method = request.method;
  record.target = request.target;
  record.status = static_cast<std::uint64_t>(response.status);
  services_.journal.record(record);
  http_->answer(response, services_.loop.now(), uv::wall_time());
}

void Web::send_output() {
  std::string output = http_ ? http_->take_output() : std::string();
  if (!stream_) return socket_->send(std::move(output));
  if (!output.empty()) stream_->send(output);
  socket_->send(stream_->take_output());
}

void Web::close() {
  if (std::exchange(closing_, true)) return;
  timer_.stop();
  if (stream_) {
    if (stream_->established()) stream_->close();
    socket_->send(stream_->take_output());
  }
  socket_->close_when_sent(last_words_within);
}

void Web::shut_down() { close(); }

void Web::on_timer() {
  if (closing_) return;
  if (handshake_deadline_) return close();
  http_->expire(services_.loop.now());
  pump();
}

void Web::on_bytes(std::string_view bytes) {
  if (closing_) return;
  if (stream_) {
    stream_->receive(bytes);
  } else {
    http_->receive(bytes, services_.loop.now());
  }
  pump();
}

void Web::on_end() {
  if (closing_) return;
  if (!http_) return close();
  http_->end_of_input();
  pump();
}

void Web::on_failure(const Error&) { socket_->close(); }

/// Not before the file pool is done with us: the loop must go on until then.
void Web::on_closed() {
  socket_closed_ = true;
  if (!reading_file_) services_.directory.web_closed(id_);  // destroys this
}

}  // namespace postern::session
