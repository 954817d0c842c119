#include "daemon/session/certificate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::session {

namespace {

std::string hex(const tls::Digest& digest) {
  std::string text;
  for (const auto octet : digest) text += fmt::format("{:02x}", octet);
  return text;
}

std::string key_text(const certs::Row& row) {
  if (*row.key_kind == tls::KeyKind::Rsa) return fmt::format("RSA {}", row.key_bits);
  return std::string(to_string(*row.key_kind));
}

control::CertificateRow row_of(certs::Row row, WallTime now) {
  control::CertificateRow made;
  made.names = std::move(row.names);
  made.name_count = row.name_count;
  made.served_count = row.served_count;
  if (row.key_kind) {
    made.key = key_text(row);
    made.issuer = std::move(row.issuer);
    made.not_before = rfc3339(row.not_before);
    made.not_after = rfc3339(row.not_after);
    made.days_left = std::chrono::floor<std::chrono::days>(row.not_after - now).count();
    made.fingerprint = hex(row.fingerprint);
  }
  made.source = std::move(row.source);
  made.key_source = std::move(row.key_source);
  made.state = to_string(row.state);
  made.reason = std::move(row.reason);
  if (row.since) made.since = rfc3339(*row.since);
  return made;
}

}  // namespace

control::Reply list_certificates(const certs::Loader& loader, const certs::Snapshot& live,
                                 const control::CertificatesRequest& request, WallTime now) {
  certs::RowFilter filter;
  filter.text = to_lower_ascii(request.text);
  if (!request.state.empty()) {
    filter.state = certs::row_state(request.state);
    if (!filter.state) {
      return control::ErrorReply{fmt::format("unknown state \"{}\"; known are: served, shadowed, expired, "
                                             "not-yet-valid, incomplete, failed",
                                             escaped(request.state, 64))};
    }
  }
  constexpr std::uint64_t days_max = 100'000;
  if (request.expires_within_days != 0) {
    filter.ends_before = now + std::chrono::days(std::min(request.expires_within_days, days_max));
  }
  const auto rows_max = std::clamp<std::uint64_t>(request.limit, 1, control::page_rows_max);
  auto page = loader.rows(live, filter, request.from, rows_max, now);
  control::CertificatesReply reply;
  reply.map_version = live.version();
  for (certs::Row& row : page.rows) reply.certificates.push_back(row_of(std::move(row), now));
  reply.next = page.next.value_or(0);
  return reply;
}

control::Reply explain_name(const certs::Loader& loader, const certs::Snapshot& live,
                            const control::ExplainRequest& request, WallTime now) {
  const auto name = DnsName::from_utf8(request.name);
  if (!name) {
    return control::ErrorReply{fmt::format("\"{}\" is no host name: a client that asks for it gets the default "
                                           "certificate of the listener",
                                           escaped(request.name, 80))};
  }
  auto explanation = loader.explain(live, *name, now);
  control::ExplainReply reply;
  reply.name = name->text();
  reply.key = std::move(explanation.key);
  reply.match = to_string(explanation.match);
  reply.sources = std::move(explanation.sources);
  reply.steps = std::move(explanation.steps);
  return reply;
}

control::DefaultCertificate default_certificate(std::string address, std::string_view certificate,
                                                const certs::Snapshot& live) {
  control::DefaultCertificate made;
  made.address = std::move(address);
  made.certificate = certificate;
  if (const auto* entry = live.find_default(certificate)) {
    for (const auto& credential : {entry->ecdsa, entry->rsa}) {
      if (credential) made.sources.push_back(credential->source);
    }
  }
  return made;
}

control::MapVersion map_version(const certs::VersionSummary& summary, std::uint64_t live_version) {
  control::MapVersion made;
  made.version = summary.version;
  made.time = rfc3339(summary.time);
  made.names = summary.names;
  made.certificates = summary.certificates;
  made.added = summary.added;
  made.removed = summary.removed;
  made.renewed = summary.renewed;
  made.worse = summary.worse;
  made.faults = summary.faults;
  made.live = summary.version == live_version;
  return made;
}

}  // namespace postern::session
