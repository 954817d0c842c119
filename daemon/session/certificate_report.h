// What `postern certs` asks, answered from a loader: for posternd, and for the tool when it reads a configuration itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/instant.h"
#include "certs/loader.h"
#include "certs/version_file.h"
#include "control/protocol.h"

namespace postern::session {

/// A CertificatesReply, or an ErrorReply for a filter that means nothing. `live` is the map that is served.
control::Reply list_certificates(const certs::Loader& loader, const certs::Snapshot& live,
                                 const control::CertificatesRequest& request, WallTime now);

/// An ExplainReply without defaults, or an ErrorReply when what is asked for is no host name.
control::Reply explain_name(const certs::Loader& loader, const certs::Snapshot& live,
                            const control::ExplainRequest& request, WallTime now);

/// `certificate`: a name, or an id, as configured.
control::DefaultCertificate default_certificate(std::string address, std::string_view certificate,
                                                const certs::Snapshot& live);

control::MapVersion map_version(const certs::VersionSummary& summary, std::uint64_t live_version);

}  // namespace postern::session
