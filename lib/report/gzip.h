// gzip (RFC 1952), whole texts only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::report {

bool is_gzip(std::string_view octets);

/// Fails for what is damaged or cut off, and as soon as more than `octets_max` come out of it.
Result<std::string> gunzip(std::string_view octets, std::size_t octets_max);

}  // namespace postern::report
