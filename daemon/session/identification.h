// Makes the key by which the ledger knows a message, from a message that has been received whole.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"
#include "daemon/session/body_source.h"
#include "delivery/ledger_key.h"

namespace postern::session {

/// Reads `source` to its end, without its first `skip` octets (a Received field of our own), and calls `done` once, from
/// within the call or later.
void digest(std::unique_ptr<BodySource> source, std::size_t skip,
            std::function<void(Result<delivery::MessageDigester>)> done);

}  // namespace postern::session
