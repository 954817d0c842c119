// Holds renewed certificates back until DNS has the TLSA records for their keys (`certificates.require_tlsa`): what the
// loading thread asks is answered from what the control loop has found out so far.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/shared_view.h"
#include "daemon/app/tlsa_asker.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "mtasts/tlsa_hold.h"
#include "tls/credential.h"

namespace postern::app {

class TlsaGate : public std::enable_shared_from_this<TlsaGate> {
 public:
  /// On the control loop, as are looks at DNS. `settings` know which names are MX names.
  TlsaGate(uv::Loop& loop, std::vector<Endpoint> dns_servers, const Publisher<session::RunSettings>& settings,
           session::Journal& journal);

  /// On one thread at a time, not the loop's: why `renewed` must not take the place of `served` yet. See certs::Gate.
  std::optional<std::string> ask(const tls::Credential& renewed, const tls::Credential& served);

  /// On the control loop: no more looks, and what is held stays held.
  void stop();

 private:
  struct Name {
    DnsName name;
    mtasts::TlsaHold hold;
    bool looking = false;
  };
  /// A certificate that is held, or was.
  struct Held {
    std::vector<std::string> chain;  ///< DER, leaf first
    std::string source;
    std::string record;              ///< that would cover its key
    std::vector<Name> names;
    WallTime asked_at{};
  };

  std::vector<DnsName> mx_names(const tls::LeafFacts& leaf) const;
  std::optional<Held> begin(const tls::Credential& renewed, const tls::Credential& served, WallTime now) const;
  void look();
  void looked(const tls::Digest& fingerprint, std::size_t number, const std::vector<TlsaAsker::Said>& said);
  void tell(const Held& held, const Name& name);

  uv::Loop& loop_;
  const Publisher<session::RunSettings>& settings_;
  session::Journal& journal_;
  std::unique_ptr<TlsaAsker> asker_;   // control loop
  std::unique_ptr<uv::Timer> timer_;   // control loop
  std::mutex mutex_;
  std::map<tls::Digest, Held> held_;   // by leaf; under the mutex
};

}  // namespace postern::app
