// Secrets of this posternd, in files of state_dir: keys of digests, which nobody else has to know.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::storage {

using Secret = std::array<std::uint8_t, 32>;

/// Reads the 32 octets in `path`, or makes them (0600). Blocks. `lost_with_it` ends the sentence that tells the operator
/// what it means to remove a damaged one: "recipients may get ...".
Result<Secret> secret_file(const std::string& path, std::string_view lost_with_it);

}  // namespace postern::storage
