// A configuration and the certificates that it names, as the tool reads them without asking a daemon. Blocking.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "certs/loader.h"
#include "config/config.h"
#include "mtasts/domain.h"
#include "mtasts/memory.h"

namespace postern::tool {

struct Configured {
  config::Config config;
  certs::Loader loader{certs::make_local_file_source()};
  std::shared_ptr<const certs::Snapshot> map;
  std::vector<certs::Fault> faults;               ///< of certificate files
  std::vector<mtasts::KeptHost> kept;             ///< for old policies, as the daemon remembers them
  std::string memory_fault;                       ///< why that is not known; empty: it is
};

enum class Reading {
  AsConfigured,
  Everything,  ///< also what `certificates.load = "lazy"` leaves for later
};
/// `path`: the configuration. The error holds all that is wrong with it, one line each.
Result<std::unique_ptr<Configured>> read_configuration(const std::string& path, Reading reading);

/// Those that are served for a name, or when there are none by default, with their chains. Empty where they cannot be read.
std::vector<std::shared_ptr<const tls::Credential>> served_credentials(const Configured& configured, const DnsName& name);

/// The entries that the listeners of this protocol serve when no name matches, each once; null where there is nothing.
std::vector<const certs::Entry*> default_entries(const Configured& configured, config::ListenerProtocol protocol);

/// The domains that were asked for, or all that have a name. The error names one that is not configured.
Result<std::vector<const delivery::DomainSettings*>> chosen_domains(const Configured& configured,
                                                                    const std::vector<std::string>& names);

}  // namespace postern::tool
