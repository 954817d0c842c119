// TLS handshakes as every kind of session needs them: the server's stream, and the work that must not be done on a loop,
// which pools do (RSA keys, also those of our client certificates; certificates that are read at their first use).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "certs/credential_cache.h"
#include "daemon/session/counters.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/work_pool.h"
#include "tls/stream.h"

namespace postern::session {

/// What the handshakes of a worker share; outlives them all.
struct HandshakeServices {
  uv::Loop& loop;
  uv::WorkPool& key_pool;
  uv::WorkPool& credential_pool;
  certs::CredentialCache& credentials;
  Journal& journal;
  Counters& counters;
};

/// `realm` tells apart protocols, which must not take each other's tickets. Not the listening address: machines that
/// share ticket keys, and the addresses of one, take each other's. What tickets of other names and certificates must not
/// do, the rest of their identity sees to.
std::unique_ptr<tls::Stream> accept_tls(HandshakeServices& services, const TlsGeneration& generation,
                                        const RunSettings& settings, const Endpoint& listener,
                                        const IpAddress& local_address, const char* realm);

/// Gives the stream what a pool found out.
using Completion = std::function<void(tls::Stream& stream)>;
/// Called on the loop, once: finds the session, if it is still there, and has its stream completed.
using Later = std::function<void(const Completion& complete)>;

/// True: a pool has it in hand, and `later` is called; nothing should be read from the client until then. False: the pool
/// had no room, the stream knows, and next() goes on.
[[nodiscard]] bool use_key(HandshakeServices& services, tls::Stream& stream, tls::KeyOperation operation, Later later);
/// The same, where nobody counts.
[[nodiscard]] bool use_key(uv::WorkPool& pool, uv::Loop& loop, tls::Stream& stream, tls::KeyOperation operation,
                           Later later);
[[nodiscard]] bool fetch_credential(HandshakeServices& services, tls::Stream& stream,
                                    const tls::NeedsCredential& needs, Later later);

}  // namespace postern::session
