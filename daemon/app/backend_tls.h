// What TLS towards the backends needs of files: trust anchors and client certificates. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "certs/loader.h"
#include "config/config.h"
#include "daemon/session/settings.h"

namespace postern::app {

/// A context for each backend with TLS; or a sentence for each that cannot have one.
tl::expected<session::BackendTlsContexts, std::vector<std::string>> make_backend_tls(
    const std::vector<delivery::BackendSettings>& backends, certs::FileSource& files);

}  // namespace postern::app
