#include "tls/parameter_names.h"

#include <fmt/format.h>

#include "tls/compat.h"

namespace postern::tls {

namespace {

std::string name_or_number(const char* name, std::uint16_t number) {
  return name == nullptr ? fmt::format("0x{:04x}", number) : std::string(name);
}

}  // namespace

std::string cipher_suite_name(std::uint16_t number) {
  const SSL_CIPHER* cipher = SSL_get_cipher_by_value(number);
  return name_or_number(cipher == nullptr ? nullptr : SSL_CIPHER_standard_name(cipher), number);
}

std::string group_name(std::uint16_t number) { return name_or_number(SSL_get_curve_name(number), number); }

std::string signature_scheme_name(std::uint16_t number) {
  constexpr int with_curve = 1;
  return name_or_number(SSL_get_signature_algorithm_name(number, with_curve), number);
}

}  // namespace postern::tls
