// Configuration → what sessions use. Pure translation.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "certs/snapshot.h"
#include "config/config.h"
#include "daemon/session/settings.h"

namespace postern::app {

/// Every listening address of the configuration, in its order.
std::vector<Endpoint> listening_addresses(const config::RunConfig& run);

/// `bound`: addresses that stay bound although `run` may not name them any more (that needs a restart): they keep the
/// listener settings of `previous` (null at start).
std::shared_ptr<session::RunSettings> make_run_settings(const config::RunConfig& run, std::uint64_t generation,
                                                        const std::string& spill_dir,
                                                        const session::RunSettings* previous,
                                                        const std::vector<Endpoint>& bound);

/// One SSL_CTX for each listener that has TLS. The snapshots are left to the caller.
Result<std::shared_ptr<session::TlsGeneration>> make_tls_generation(
    const session::RunSettings& settings, tls::TlsSettings tls,
    const std::shared_ptr<const tls::TicketKeyring>& ticket_keys);

/// A sentence for each `default_certificate` that is not in the snapshot.
std::vector<std::string> unresolved_defaults(const session::RunSettings& settings, const certs::Snapshot& snapshot);

}  // namespace postern::app
