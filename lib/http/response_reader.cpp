#include "http/response_reader.h"

#include <http_parser.h>

#include <utility>

#include "base/text.h"

namespace postern::http {

struct ResponseReader::State {
  explicit State(std::size_t most) : octets_max(most) {
    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = this;
    http_parser_settings_init(&settings);
    settings.on_header_field = [](http_parser* of, const char* at, std::size_t length) {
      State& state = self(of);
      if (std::exchange(state.in_value, false)) state.field.clear();
      state.field.append(at, length);
      return 0;
    };
    settings.on_header_value = [](http_parser* of, const char* at, std::size_t length) {
      State& state = self(of);
      state.in_value = true;
      if (equals_ignoring_case(state.field, "Content-Type")) state.response.content_type.append(at, length);
      return 0;
    };
    settings.on_body = [](http_parser* of, const char* at, std::size_t length) {
      self(of).response.body.append(at, length);
      return 0;
    };
    settings.on_message_complete = [](http_parser* of) {
      self(of).complete = true;
      http_parser_pause(of, 1);
      return 0;
    };
  }

  static State& self(http_parser* parser) { return *static_cast<State*>(parser->data); }

  Result<std::optional<ReceivedResponse>> outcome() {
    if (complete) {
      response.status = parser.status_code;
      return std::optional(std::move(response));
    }
    const auto error = HTTP_PARSER_ERRNO(&parser);
    if (error != HPE_OK) return fail("the answer is not HTTP: {}", http_errno_description(error));
    if (octets > octets_max) return fail("the answer is longer than {} octets", octets_max);
    return std::optional<ReceivedResponse>();
  }

  http_parser parser{};
  http_parser_settings settings{};
  std::size_t octets_max;
  std::size_t octets = 0;
  std::string field;
  bool in_value = false;
  bool complete = false;
  ReceivedResponse response;
};

ResponseReader::ResponseReader(std::size_t octets_max) : state_(std::make_unique<State>(octets_max)) {}
ResponseReader::~ResponseReader() = default;

Result<std::optional<ReceivedResponse>> ResponseReader::receive(std::string_view bytes) {
  if (bytes.empty()) return state_->outcome();  // to http_parser that is the end
  state_->octets += bytes.size();
  if (state_->octets <= state_->octets_max) http_parser_execute(&state_->parser, &state_->settings, bytes.data(), bytes.size());
  return state_->outcome();
}

Result<std::optional<ReceivedResponse>> ResponseReader::end() {
  http_parser_execute(&state_->parser, &state_->settings, nullptr, 0);
  auto made = state_->outcome();
  if (made && !*made) return fail("the connection ended before the answer did");
  return made;
}

}  // namespace postern::http
