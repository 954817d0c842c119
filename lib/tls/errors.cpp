#include "tls/errors.h"

#include "base/text.h"
#include "tls/compat.h"

namespace postern::tls {

std::string drain_errors() {
  std::uint32_t telling = 0;
  for (std::uint32_t error = 0; (error = ERR_get_error()) != 0;) {
    if (telling == 0 || (ERR_GET_LIB(telling) != ERR_LIB_SSL && ERR_GET_LIB(error) == ERR_LIB_SSL)) telling = error;
  }
  if (telling == 0) return {};
  const char* reason = ERR_reason_error_string(telling);
  std::string text = reason == nullptr ? "unknown error" : to_lower_ascii(reason);
  for (char& c : text) {
    if (c == '_') c = ' ';
  }
  return text;
}

}  // namespace postern::tls
