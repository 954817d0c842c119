// `[[certificate]]`, `[certificates]` and `[tls]`.
#include <fmt/format.h>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

bool is_name_or_wildcard(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  return DnsName::from_utf8(text).has_value();
}

void read_names(const Section& section, certs::ExplicitCertificate& certificate) {
  for (const Text& name : section.texts("names")) {
    if (is_name_or_wildcard(name.value)) {
      certificate.names.push_back(name.value);
    } else {
      section.error(name.place, "names",
                    fmt::format("expected host names such as \"mx.example.net\" or \"*.example.net\", found \"{}\"",
                                escaped(name.value, 80)));
    }
  }
}

void read_certificate(const Section& section, UniqueNames& ids, certs::SourceSettings& sources) {
  certs::ExplicitCertificate certificate;
  certificate.origin = section.place().text();
  section.require("chain", "the PEM file with the certificate and its intermediates");
  section.path("chain", certificate.chain);
  section.path("key", certificate.key);
  if (const auto id = section.text("id"); id && ids.claim(section, "id", id->place, id->value)) {
    certificate.id = id->value;
  }
  read_names(section, certificate);
  sources.certificates.push_back(std::move(certificate));
}

}  // namespace

void read_certificates(const Section& root, RunConfig& run) {
  certs::SourceSettings& sources = run.certificates;
  UniqueNames ids("id");
  for (const Section& section : root.tables("certificate")) read_certificate(section, ids, sources);
  if (const auto section = root.table("certificates")) {
    sources.directories = section->paths("directories");
    sources.maps = section->paths("maps");
    section->path("roots", sources.roots);
    section->boolean("require_tlsa", sources.require_tlsa);
    section->integer("max_loss", sources.max_loss, {0u, 100u});
    section->choice("names", sources.names, {{"all", certs::Names::All}, {"declared", certs::Names::Declared}});
    section->choice("load", sources.load, {{"eager", certs::Load::Eager}, {"lazy", certs::Load::Lazy}});
    if (sources.require_tlsa && sources.load == certs::Load::Lazy) {
      section->error(section->place(), "require_tlsa",
                     "it needs load = \"eager\": with \"lazy\" what is served meanwhile would be read from files that have "
                     "been replaced");
    }
    section->integer("cache", sources.cache, {std::size_t{1}, std::size_t{1'000'000}});
  }
  if (const auto section = root.table("tls")) {
    using tls::Version;
    section->choice("min_version", run.tls.min_version,
                    {{"1.0", Version::Tls10}, {"1.1", Version::Tls11}, {"1.2", Version::Tls12}, {"1.3", Version::Tls13}});
    section->integer("tickets", run.tls.tickets, {0u, 4u});
    Duration lifetime = run.tls.ticket_lifetime;
    // RFC 8446 section 4.6.1: at most seven days.
    section->duration("ticket_lifetime", lifetime, {std::chrono::minutes(1), std::chrono::days(7)});
    run.tls.ticket_lifetime = std::chrono::duration_cast<std::chrono::seconds>(lifetime);
    section->path("ticket_key_file", run.tls.ticket_key_file);
  }
}

}  // namespace postern::config
