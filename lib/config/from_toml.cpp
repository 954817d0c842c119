#include "config/from_toml.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/diagnostics.h"
#include "config/keys.h"
#include "config/readers.h"
#include "config/section.h"
#include "config/source.h"

namespace postern::config {

namespace {

/// Reports every key that stands nowhere in keys(). Below an unknown table nothing more is reported.
void check_names(const Table& table, const std::string& prefix, Diagnostics& diagnostics) {
  for (const Member& member : table) {
    const std::string name = prefix + member.key;
    if (standing_of(name) == Standing::Unknown) {
      const std::string suggestion = suggestion_for(name);
      diagnostics.error(member.place, escaped(name, 100),
                        "there is no such key" + (suggestion.empty() ? suggestion : "; " + suggestion));
      continue;
    }
    if (const auto* below = std::get_if<Table>(&member.node.value)) check_names(*below, name + '.', diagnostics);
    if (const auto* list = std::get_if<List>(&member.node.value)) {
      for (const Node& item : *list) {
        if (const auto* below = std::get_if<Table>(&item.value)) check_names(*below, name + '.', diagnostics);
      }
    }
  }
}

void check_certificate_sources(const Section& root, const RunConfig& run) {
  const certs::SourceSettings& sources = run.certificates;
  const bool tls_wanted = std::any_of(run.listeners.begin(), run.listeners.end(),
                                      [](const Listener& listener) { return listener.tls != ListenerTls::None; });
  const bool none = sources.certificates.empty() && sources.maps.empty() && sources.directories.empty();
  if (tls_wanted && none && !root.has("certificate") && !root.has("certificates")) {
    root.error(root.place(), "certificates",
               "no source of certificates: add a [[certificate]] with chain and key, or [certificates] with directories "
               "or maps");
  }
}

}  // namespace

Parsed from_toml(const std::string& path, const Environment& environment) {
  Diagnostics diagnostics;
  const Source source = read_source(path, environment, diagnostics);
  check_names(source.root, "", diagnostics);
  Config config;
  if (source.complete) {  // else what stands in the missing part would be reported as missing
    const Section root(source.root, Place{std::make_shared<const std::string>(path), 0, 0}, "", diagnostics);
    read_process(root, environment, config);
    read_listeners(root, config);
    read_certificates(root, config.run);
    read_smtp(root, config.run);
    read_observation(root, config);
    read_recipients(root, config.run);
    const UniqueNames backends = read_backends(root, config.run);
    read_domains(root, environment, backends, diagnostics, config.run);
    read_routes(root, backends, config.run);
    check_certificate_sources(root, config.run);
  }
  Parsed parsed;
  parsed.diagnostics = diagnostics.sorted();
  if (!diagnostics.has_errors()) {
    config.files = source.files;
    parsed.config = std::move(config);
  }
  return parsed;
}

}  // namespace postern::config
