// What a backend is told of the client before a message: XCLIENT or XFORWARD, by what it offers and the configuration.
#pragma once

#include <string>

#include "delivery/settings.h"
#include "proxy/client_identity.h"
#include "smtp/peer_extensions.h"

namespace postern::session {

/// The command, without its line end; empty: nothing is said. A backend that lacks what Identity::Xclient or Xforward
/// insists on is not used at all (BackendTarget).
std::string identify_command(delivery::Identity identity, const smtp::PeerExtensions& offered,
                             const proxy::ClientIdentity& client);

}  // namespace postern::session
