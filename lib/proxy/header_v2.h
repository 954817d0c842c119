// The binary form, for header.cpp alone.
#pragma once

#include "proxy/header.h"

namespace postern::proxy::v2 {

inline constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};

/// As take_header(); `input` begins with the signature.
Result<std::optional<Header>> take(std::string_view& input);

}  // namespace postern::proxy::v2
