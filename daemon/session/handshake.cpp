#include "daemon/session/handshake.h"

#include <utility>

#include "certs/chooser.h"

namespace postern::session {

std::unique_ptr<tls::Stream> accept_tls(HandshakeServices& services, const TlsGeneration& generation,
                                        const RunSettings& settings, const Endpoint& listener,
                                        const IpAddress& local_address, const char* realm) {
  auto chooser = std::make_shared<certs::Chooser>(
      generation.snapshot, realm, settings.listeners.at(listener).default_certificate_at(local_address),
      generation.default_snapshot, &services.credentials);
  return tls::Stream::server(generation.contexts.at(listener), std::move(chooser), uv::wall_time());
}

bool use_key(HandshakeServices& services, tls::Stream& stream, tls::KeyOperation operation, Later later) {
  if (use_key(services.key_pool, services.loop, stream, std::move(operation), std::move(later))) return true;
  ++services.counters.key_queue_full;
  return false;
}

bool use_key(uv::WorkPool& pool, uv::Loop& loop, tls::Stream& stream, tls::KeyOperation operation, Later later) {
  auto outcome = std::make_shared<Result<std::string>>(fail("dropped"));
  const bool queued = pool.submit(
      [operation = std::move(operation), outcome] { *outcome = tls::perform(operation); }, loop,
      [later = std::move(later), outcome] {
        later([&outcome](tls::Stream& waiting) { waiting.complete_key_operation(std::move(*outcome)); });
      });
  if (!queued) stream.complete_key_operation(fail("too many handshakes wait for an RSA key"));
  return queued;
}

bool fetch_credential(HandshakeServices& services, tls::Stream& stream, const tls::NeedsCredential& needs, Later later) {
  using Fetched = certs::CredentialCache::Fetched;
  auto fetched = std::make_shared<Fetched>(Fetched{fail("dropped"), std::nullopt});
  const bool queued = services.credential_pool.submit(
      [&cache = services.credentials, listed = needs.listed, fetched] { *fetched = cache.fetch(listed); }, services.loop,
      [&journal = services.journal, later = std::move(later), fetched] {
        if (const auto& fault = fetched->new_fault) {
          journal.note(observe::Level::Error, fault->source + ": " + fault->text);
        }
        later([&fetched](tls::Stream& waiting) { waiting.provide_credential(fetched->credential); });
      });
  // The default is better than an end, which sends most senders back in clear.
  if (!queued) stream.provide_credential(fail("too many certificates wait to be read"));
  return queued;
}

}  // namespace postern::session
