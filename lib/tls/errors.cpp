#include "tls/errors.h"

#include "base/text.h"
#include "tls/compat.h"

namespace postern::tls {

std::string drain_errors() {
  const std::uint32_t first = ERR_get_error();
  if (first == 0) return {};
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(first);
  std::string text = reason == nullptr ? "unknown error" : to_lower_ascii(reason);
  for (char& c : text) {
    if (c == '_') c = ' ';
  }
  return text;
}

}  // namespace postern::tls
