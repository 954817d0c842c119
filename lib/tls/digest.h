// SHA-256, for whoever needs a fingerprint of something.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::tls {

std::array<std::uint8_t, 32> sha256(std::string_view bytes);

/// Lower-case hexadecimal digits.
std::string hex(std::string_view bytes);

}  // namespace postern::tls
