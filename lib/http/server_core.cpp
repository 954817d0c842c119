#include "http/server_core.h"

#include <fmt/format.h>
#include <http_parser.h>

#include <utility>

#include "base/bytes.h"
#include "base/text.h"

namespace postern::http {

namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Unknown";
  }
}

enum class Connection { Keep, Close };

std::string render(const Response& response, std::string_view method, Connection connection,
                   std::optional<WallTime> date) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
  if (date) {
    std::string text = rfc5322_date(*date);
    if (text[6] == ' ') text.insert(5, 1, '0');           // RFC 9110 section 5.6.7 wants two digits
    text.replace(text.size() - 5, 5, "GMT");
    out += fmt::format("Date: {}\r\n", text);
  }
  out += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", response.content_type, response.body.size());
  for (const auto& [name, value] : response.headers) out += fmt::format("{}: {}\r\n", name, value);
  if (connection == Connection::Close) out += "Connection: close\r\n";
  out += "\r\n";
  if (method != "HEAD") out += response.body;
  return out;
}

}  // namespace

Response not_found() { return refusal(404, "There is nothing here."); }

Response refusal(int status, std::string text) {
  Response response;
  response.status = status;
  response.body = std::move(text) + "\n";
  return response;
}

struct ServerCore::State {
  State(const Limits& chosen, Instant start) : limits(chosen), since(start), clock(start) {
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = this;
  }

  static State& of(http_parser* from) { return *static_cast<State*>(from->data); }
  static const http_parser_settings& callbacks();

  /// Ends the conversation with a refusal of our own.
  void refuse(int status, std::string text) {
    output += render(refusal(status, std::move(text)), request.method, Connection::Close, std::nullopt);
    finish();
  }
  void finish() {
    done = true;
    inbox.clear();
  }
  bool over_limits();
  bool complete_request();

  std::string* header_value() {
    if (equals_ignoring_case(header_name, "host")) return &request.host;
    if (equals_ignoring_case(header_name, "authorization")) return &request.authorization;
    return nullptr;
  }

  Limits limits;
  http_parser parser{};
  ByteQueue inbox;
  std::string output;
  Request request;
  std::string header_name;
  bool in_value = false;          // of the header `header_name`
  bool host_twice = false;
  std::size_t octets = 0;         // of this request
  std::size_t body_octets = 0;
  std::size_t requests = 0;
  bool began = false;             // the first octet of a request was seen
  bool complete = false;          // `request` is whole
  bool asked = false;             // it was given out and awaits its answer
  bool done = false;
  bool input_ended = false;
  Instant since;                  // what the time limits are measured from
  Instant clock;
};

const http_parser_settings& ServerCore::State::callbacks() {
  static const http_parser_settings settings = [] {
    http_parser_settings made;
    http_parser_settings_init(&made);
    made.on_url = [](http_parser* from, const char* at, std::size_t length) {
      of(from).request.target.append(at, length);
      return 0;
    };
    made.on_header_field = [](http_parser* from, const char* at, std::size_t length) {
      State& state = of(from);
      if (state.in_value) state.header_name.clear();
      state.in_value = false;
      state.header_name.append(at, length);
      return 0;
    };
    made.on_header_value = [](http_parser* from, const char* at, std::size_t length) {
      State& state = of(from);
      if (std::string* value = state.header_value()) {
        // A second Host field is an attack on whoever reads the other one (RFC 9112 section 3.2).
        if (value == &state.request.host && !state.in_value && !value->empty()) state.host_twice = true;
        value->append(at, length);
      }
      state.in_value = true;
      return 0;
    };
    made.on_body = [](http_parser* from, const char*, std::size_t length) {
      of(from).body_octets += length;
      return 0;
    };
    made.on_message_complete = [](http_parser* from) {
      of(from).complete = true;
      http_parser_pause(from, 1);
      return 0;
    };
    return made;
  }();
  return settings;
}

bool ServerCore::State::over_limits() {
  if (body_octets > limits.body_octets_max) {
    refuse(413, "No body is wanted here.");
  } else if (octets - body_octets > limits.head_octets_max) {
    refuse(431, fmt::format("Request line and headers may have {} octets.", limits.head_octets_max));
  }
  return done;
}

bool ServerCore::State::complete_request() {
  request.method = http_method_str(static_cast<http_method>(parser.method));
  if (host_twice || (request.host.empty() && (parser.http_major > 1 || parser.http_minor >= 1))) {
    refuse(400, "A request names its host, once.");
    return false;
  }
  asked = true;
  return true;
}

ServerCore::ServerCore(const Limits& limits, Instant now) : state_(std::make_unique<State>(limits, now)) {}
ServerCore::~ServerCore() = default;
ServerCore::ServerCore(ServerCore&&) noexcept = default;
ServerCore& ServerCore::operator=(ServerCore&&) noexcept = default;

void ServerCore::receive(std::string_view bytes, Instant now) {
  State& state = *state_;
  state.clock = now;
  if (!state.done) state.inbox.append(bytes);
}

bool ServerCore::wants_input() const {
  return !state_->done && !state_->input_ended && !state_->asked && state_->inbox.size() <= state_->limits.head_octets_max;
}

void ServerCore::end_of_input() {
  state_->input_ended = true;
  if (!state_->asked) state_->finish();
}

std::optional<Request> ServerCore::next() {
  State& state = *state_;
  if (state.done || state.asked || state.inbox.empty()) return std::nullopt;
  if (!std::exchange(state.began, true)) state.since = state.clock;
  const std::string_view bytes = state.inbox.view();
  const std::size_t used = http_parser_execute(&state.parser, &State::callbacks(), bytes.data(), bytes.size());
  const auto error = HTTP_PARSER_ERRNO(&state.parser);
  state.octets += used;
  if (error != HPE_OK && error != HPE_PAUSED) {
    state.refuse(400, "This is not HTTP.");
    return std::nullopt;
  }
  state.inbox.consume(used);
  if (state.over_limits() || !state.complete || !state.complete_request()) return std::nullopt;
  return state.request;
}

void ServerCore::answer(const Response& response, Instant now, WallTime date) {
  State& state = *state_;
  if (!state.asked) return;
  state.clock = state.since = now;
  const bool last = ++state.requests >= state.limits.requests_max || http_should_keep_alive(&state.parser) == 0 ||
                    state.input_ended;
  state.output += render(response, state.request.method, last ? Connection::Close : Connection::Keep, date);
  if (last) return state.finish();
  state.asked = state.complete = state.began = state.in_value = state.host_twice = false;
  state.octets = state.body_octets = 0;
  state.request = {};
  state.header_name.clear();
  http_parser_pause(&state.parser, 0);
}

std::string ServerCore::take_output() { return std::exchange(state_->output, {}); }

bool ServerCore::finished() const { return state_->done; }

std::optional<Instant> ServerCore::deadline() const {
  const State& state = *state_;
  if (state.done || state.asked) return std::nullopt;
  const bool waiting_for_first = state.requests == 0;
  return state.since + (state.began || waiting_for_first ? state.limits.request_within : state.limits.idle_max);
}

void ServerCore::expire(Instant now) {
  const auto when = deadline();
  if (!when || now < *when) return;
  if (state_->began) return state_->refuse(408, "The request took too long.");
  state_->finish();
}

}  // namespace postern::http
