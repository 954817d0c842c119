#include "daemon/app/admin_server.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "certs/loader.h"
#include "daemon/app/page_files.h"
#include "http/loopback_host.h"

namespace postern::app {

namespace {

constexpr std::size_t connections_max = 64;
constexpr std::size_t token_octets_min = 16;
constexpr std::size_t token_file_octets_max = 4096;
constexpr Duration last_words_within = std::chrono::seconds(5);

/// In a time that tells nothing of where they differ.
bool equal_in_constant_time(std::string_view given, std::string_view wanted) {
  unsigned difference = given.size() == wanted.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(given[i]) ^
                                        static_cast<unsigned char>(wanted[i % wanted.size()]));
  }
  return difference == 0;
}

std::string_view path_of(const http::Request& request) {
  return std::string_view(request.target).substr(0, request.target.find('?'));
}

/// Who only asks whether we are well, such as a load balancer, has neither token nor name.
bool asks_for_health(const http::Request& request) {
  const auto path = path_of(request);
  return path == "/healthz" || path == "/readyz";
}

/// RFC 6750 section 2.1. The page itself is the same everywhere; it asks for the token that its data needs.
bool may_enter(const http::Request& request, const std::string& token) {
  constexpr std::string_view scheme = "bearer ";
  if (token.empty() || asks_for_health(request) || find_page_file(path_of(request)) != nullptr) return true;
  if (!starts_with_ignoring_case(request.authorization, scheme)) return false;
  return equal_in_constant_time(trimmed(std::string_view(request.authorization).substr(scheme.size())), token);
}

bool is_asked_by_a_good_name(const http::Request& request, AdminServer::Hosts hosts) {
  return hosts == AdminServer::Hosts::Any || asks_for_health(request) || http::means_loopback(request.host);
}

http::Response misdirected() {
  return http::refusal(421, "Without a token (listen.token_file), this is answered only under localhost or an address of loopback.");
}

http::Response unauthorized() {
  auto response = http::refusal(401, "A token is needed: Authorization: Bearer TOKEN.");
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"postern\"");
  return response;
}

http::Response wrong_method() {
  auto response = http::refusal(405, "There is nothing to be changed here.");
  response.headers.emplace_back("Allow", "GET, HEAD");
  return response;
}

/// What a browser must know: everything here is ours, nobody may show it in a frame or keep it, and the page gets nothing
/// from anywhere else. `require-trusted-types-for`: nothing that was read can become markup.
http::Response guarded(http::Response response) {
  constexpr std::pair<const char*, const char*> headers[] = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cache-Control", "no-store"},
  };
  response.headers.insert(response.headers.end(), std::begin(headers), std::end(headers));
  return response;
}

}  // namespace

Result<std::string> read_token(const std::string& path) {
  const auto contents = certs::make_local_file_source()->read(path, token_file_octets_max);
  if (!contents) return tl::unexpected(contents.error());
  const std::string_view text = contents->bytes;
  const std::string token(trimmed(text.substr(0, text.find('\n'))));
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable || token.size() < token_octets_min) {
    return fail("{}: expected a token in the first line: at least {} printable characters without blanks, such as "
                "`openssl rand -hex 32` makes",
                path, token_octets_min);
  }
  return token;
}

/// One request at a time.
class AdminServer::Connection : private uv::SocketHandler {
 public:
  Connection(AdminServer& server, std::uint64_t id, int descriptor)
      : server_(server),
        id_(id),
        core_(http::Limits{}, server.loop_.now()),
        timer_(server.loop_, [this] {
          core_.expire(server_.loop_.now());
          pump();
        }),
        socket_(uv::Socket::adopt(server.loop_, descriptor, *this)) {
    pump();
  }

  void close() { socket_->close(); }

  void answer(http::Response response) {
    core_.answer(guarded(std::move(response)), server_.loop_.now(), uv::wall_time());
    if (!pumping_) pump();
  }

 private:
  void on_bytes(std::string_view bytes) override {
    core_.receive(bytes, server_.loop_.now());
    pump();
  }

  void pump() {
    if (closing_) return;
    pumping_ = true;
    while (const auto request = core_.next()) carry_out(*request);
    pumping_ = false;
    socket_->send(core_.take_output());
    if (core_.finished()) {
      closing_ = true;
      timer_.stop();
      return socket_->close_when_sent(last_words_within);
    }
    if (const auto next = core_.deadline()) {
      timer_.start_at(*next);
    } else {
      timer_.stop();
    }
    if (core_.wants_input()) {
      socket_->start_reading();
    } else {
      socket_->stop_reading();
    }
  }

  void carry_out(const http::Request& request) {
    if (!is_asked_by_a_good_name(request, server_.options_.hosts)) return answer(misdirected());
    if (!may_enter(request, server_.options_.token)) return answer(unauthorized());
    if (request.method != "GET" && request.method != "HEAD") return answer(wrong_method());
    server_.handler_(request, [&server = server_, id = id_](const http::Response& response) {
      const auto found = server.connections_.find(id);
      if (found != server.connections_.end()) found->second->answer(response);
    });
  }

  void on_end() override {
    core_.end_of_input();
    pump();
  }
  void on_failure(const Error&) override { close(); }
  void on_closed() override { server_.connections_.erase(id_); }

  AdminServer& server_;
  std::uint64_t id_;
  http::ServerCore core_;
  uv::Timer timer_;
  bool pumping_ = false;
  bool closing_ = false;
  std::unique_ptr<uv::Socket> socket_;
};

AdminServer::AdminServer(uv::Loop& loop, uv::Bound socket, Options options, Handler handler)
    : loop_(loop),
      options_(std::move(options)),
      handler_(std::move(handler)),
      acceptor_(loop, std::move(socket), [this](int descriptor) { accepted(descriptor); }, [](const Error&) {}) {}

AdminServer::~AdminServer() = default;

void AdminServer::accepted(int descriptor) {
  if (connections_.size() >= connections_max) {
    ::close(descriptor);
    return;
  }
  const auto id = next_connection_++;
  // In its place before it talks: an answer may come at once.
  auto& place = connections_[id];
  place = std::make_unique<Connection>(*this, id, descriptor);
}

void AdminServer::close() {
  acceptor_.close();
  for (auto& [id, connection] : connections_) connection->close();
}

}  // namespace postern::app
