// `[[route]]`, and what must hold between listeners, routes, domains and backends.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

constexpr std::string_view any_label = "*.";

const delivery::BackendSettings* find_backend(const RunConfig& run, const std::string& name) {
  const auto found = std::find_if(run.backends.begin(), run.backends.end(),
                                  [&name](const delivery::BackendSettings& backend) { return backend.name == name; });
  return found == run.backends.end() ? nullptr : &*found;
}

void read_route(const Section& section, const UniqueNames& backends, UniqueNames& taken, RunConfig& run) {
  section.require("sni", "one name or a list of them, such as \"mx.example.net\" or \"*.customer.example\"");
  section.require("backend", "the name of the [[backend]] that takes all mail of sessions that ask for this name");
  const auto backend = read_backend_name(section, backends);
  for (const Text& text : section.texts("sni")) {
    const bool wildcard = text.value.starts_with(any_label);
    const auto name = DnsName::from_utf8(std::string_view(text.value).substr(wildcard ? any_label.size() : 0));
    if (!name) {
      section.error(text.place, "sni",
                    fmt::format("expected a host name, or one with \"*.\" in front of it, found \"{}\"",
                                escaped(text.value, 80)));
      continue;
    }
    if (!taken.claim(section, "sni", text.place, (wildcard ? std::string(any_label) : "") + name->text())) continue;
    using Covers = delivery::SniRoute::Covers;
    run.routes.push_back({*name, wildcard ? Covers::Subdomains : Covers::Name, backend});
  }
}

/// A session either is passed through or ends here: the recipients cannot decide that one by one.
void check_kinds(const Section& root, const RunConfig& run) {
  std::string store;
  std::string passed;
  for (const delivery::DomainSettings& domain : run.domains) {
    const auto* backend = find_backend(run, domain.backend);
    if (backend != nullptr) (backend->pass_through ? passed : store) = backend->name;
  }
  if (store.empty() || passed.empty()) return;
  root.error(root.place(), "domain",
             fmt::format("some [[domain]]s lead to \"{}\", which passes sessions through, and others to \"{}\", which does "
                         "not; give the former a [[listen]] or a [[route]] of their own with backend = \"{}\"",
                         passed, store, passed));
}

void warn_of_no_recipients(const Section& root, const RunConfig& run) {
  if (root.has("domain")) return;
  const bool all_pass = !run.listeners.empty() && std::all_of(run.listeners.begin(), run.listeners.end(), [&run](const Listener& listener) {
    const auto* backend = find_backend(run, listener.backend);
    return backend != nullptr && backend->pass_through;
  });
  if (!all_pass) root.warning("domain", "there is no [[domain]], so that every recipient is refused");
}

}  // namespace

void read_routes(const Section& root, const UniqueNames& backends, RunConfig& run) {
  UniqueNames taken("name");
  for (const Section& section : root.tables("route")) read_route(section, backends, taken, run);
  for (const Section& section : root.tables("listen")) read_backend_name(section, backends);
  check_kinds(root, run);
  warn_of_no_recipients(root, run);
}

}  // namespace postern::config
