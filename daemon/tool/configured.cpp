#include "daemon/tool/configured.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "config/from_toml.h"
#include "daemon/session/policy_memory.h"
#include "daemon/uv/loop.h"

namespace postern::tool {

Result<std::unique_ptr<Configured>> read_configuration(const std::string& path, Reading reading) {
  auto parsed = config::from_toml(path, config::process_environment());
  std::string errors;
  for (const auto& diagnostic : parsed.diagnostics) {
    if (diagnostic.severity == config::Diagnostic::Severity::Error) errors += (errors.empty() ? "" : "\n") + diagnostic.rendered();
  }
  if (!parsed.config) return fail("{}", errors);
  auto made = std::make_unique<Configured>();
  made->config = std::move(*parsed.config);
  if (auto kept = session::PolicyMemory(made->config.start.state_dir).kept()) {
    made->kept = std::move(*kept);
  } else {
    made->memory_fault = kept.error().text;
  }
  auto& run = made->config.run;
  if (reading == Reading::Everything) run.certificates.load = certs::Load::Eager;
  session::keep_hosts(made->kept, *run.policies, run.certificates.declared, uv::wall_time());
  auto loaded = made->loader.load(run.certificates, uv::wall_time());
  made->map = std::move(loaded.snapshot);
  made->faults = std::move(loaded.standing);
  return made;
}

std::vector<const certs::Entry*> default_entries(const Configured& configured, config::ListenerProtocol protocol) {
  std::vector<const certs::Entry*> entries;
  const auto add = [&](const std::string& name) {
    const auto* entry = configured.map->find_default(name);
    if (std::find(entries.begin(), entries.end(), entry) == entries.end()) entries.push_back(entry);
  };
  for (const auto& listener : configured.config.run.listeners) {
    if (listener.protocol != protocol || listener.tls == config::ListenerTls::None) continue;
    add(listener.default_certificate);
    for (const auto& [address, local] : listener.local) {
      if (local.default_certificate) add(*local.default_certificate);
    }
  }
  return entries;
}

std::vector<std::shared_ptr<const tls::Credential>> served_credentials(const Configured& configured, const DnsName& name) {
  std::vector<const certs::Entry*> entries{configured.map->find(name).entry};
  if (entries.front() == nullptr) entries = default_entries(configured, config::ListenerProtocol::Smtp);
  std::vector<std::shared_ptr<const tls::Credential>> served;
  for (const auto* entry : entries) {
    if (entry == nullptr) continue;
    for (auto credential : {entry->ecdsa, entry->rsa}) {
      if (credential && credential->deferred) credential = credential->deferred->read(*credential).value_or(nullptr);
      if (credential) served.push_back(std::move(credential));
    }
  }
  return served;
}

Result<std::vector<const delivery::DomainSettings*>> chosen_domains(const Configured& configured,
                                                                    const std::vector<std::string>& names) {
  std::vector<const delivery::DomainSettings*> chosen;
  if (names.empty()) {
    for (const auto& domain : configured.config.run.domains) {
      if (domain.name) chosen.push_back(&domain);
    }
    return chosen;
  }
  std::unordered_map<DnsName, const delivery::DomainSettings*> known;
  for (const auto& domain : configured.config.run.domains) {
    if (domain.name) known.emplace(*domain.name, &domain);
  }
  for (const std::string& text : names) {
    const auto name = DnsName::from_utf8(text);
    if (!name) return fail("\"{}\" is no domain", escaped(text, 80));
    const auto found = known.find(*name);
    if (found == known.end()) return fail("{}: no [[domain]] of the configuration is called so", name->text());
    chosen.push_back(found->second);
  }
  return chosen;
}

}  // namespace postern::tool
