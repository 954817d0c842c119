// Reads one HTTP/1.1 response (RFC 9112), as a client that wants a small text gets it. The parsing is http_parser's.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::http {

struct ReceivedResponse {
  int status = 0;
  std::string content_type;  ///< with its parameters, as it stands there
  std::string body;
};

class ResponseReader {
 public:
  /// More than `octets_max`, head and body together, is an error.
  explicit ResponseReader(std::size_t octets_max);
  ~ResponseReader();

  /// The response, once it is whole. Errors and what comes after either are final.
  Result<std::optional<ReceivedResponse>> receive(std::string_view bytes);
  /// The connection has ended, which ends a body without a length.
  Result<std::optional<ReceivedResponse>> end();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::http
