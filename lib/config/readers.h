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
void read_listeners(const Section& root, RunConfig& run);

/// `[[certificate]]`, `[certificates]`, `[tls]`
void read_certificates(const Section& root, RunConfig& run);

/// `[smtp]`, `[limits]`, `[timeouts]`, `[log]`
void read_smtp(const Section& root, RunConfig& run);

/// `[[backend]]`; returns their names.
UniqueNames read_backends(const Section& root, RunConfig& run);

/// `[[domain]]` and their files; after read_certificates, since their MX names are declared to the certificate map.
void read_domains(const Section& root, const Environment& environment, const UniqueNames& backends,
                  Diagnostics& diagnostics, RunConfig& run);

}  // namespace postern::config
