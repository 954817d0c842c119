// One function for each group of sections: it reads the keys of keys.cpp into the configuration.
#pragma once

#include <string>

#include "config/config.h"
#include "config/from_toml.h"
#include "config/section.h"

namespace postern::config {

/// Top level: hostname, workers, state_dir, control, postmaster.
void read_process(const Section& root, const Environment& environment, Config& config);

/// `[[listen]]`; after read_process, which gives the host name that they inherit.
void read_listeners(const Section& root, Config& config);

/// A `[[listen]]` with protocol = "admin". `taken`: the addresses of all `[[listen]]`.
AdminListener read_admin_listener(const Section& section, UniqueNames& taken);
/// Says so where its keys stand in another one.
void refuse_admin_keys(const Section& section);

/// `[[certificate]]`, `[certificates]`, `[tls]`
void read_certificates(const Section& root, RunConfig& run);

/// `[smtp]`, `[limits]`, `[timeouts]`, `[log]`
void read_smtp(const Section& root, RunConfig& run);

/// `[dns]` and `[score]`
void read_observation(const Section& root, Config& config);

/// `[recipients]`
void read_recipients(const Section& root, RunConfig& run);

/// `[[backend]]`; returns their names.
UniqueNames read_backends(const Section& root, RunConfig& run);

/// `backend = "store"` of another section: which of `backends` it means.
std::string read_backend_name(const Section& section, const UniqueNames& backends);

/// A list of address blocks.
std::vector<Network> read_networks(const Section& section, std::string_view key);

/// The keys of a `[[backend]]` with deliver = "smtp-proxy".
delivery::PassThrough read_pass_through(const Section& section);
/// Says so where they stand in another one.
void refuse_pass_through_keys(const Section& section);

/// `[[route]]`, and whether listeners, routes and domains name backends that go together; after all these were read.
void read_routes(const Section& root, const UniqueNames& backends, RunConfig& run);

/// `[[domain]]` and their files, and `[dns]`; after read_certificates, since their MX names are declared to the certificate map.
void read_domains(const Section& root, const Environment& environment, const UniqueNames& backends,
                  Diagnostics& diagnostics, RunConfig& run);

}  // namespace postern::config
