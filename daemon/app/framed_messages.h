// Messages between two processes of posternd over a stream socket: each with its length before it. Blocking.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "certs/binary.h"

namespace postern::app {

/// False when the other end is gone.
bool send_message(int descriptor, const certs::BinaryWriter& message);

/// Nothing when the other end is gone, or the message is longer.
std::optional<std::string> receive_message(int descriptor, std::uint64_t octets_max);

}  // namespace postern::app
