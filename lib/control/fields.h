// What every request and reply looks like as JSON, said once: which members it has and under which names, and what kind of
// object it is. Writing and reading both walk these functions (protocol.cpp). A new field is added to the struct and here,
// and nowhere else. Internal: nothing else includes this.
#pragma once

#include <concepts>
#include <type_traits>

#include "control/protocol.h"

namespace postern::control {

/// `T` may be const: a writer walks constant objects, a reader fills others.
template <class T, class Object>
concept Is = std::same_as<std::remove_const_t<T>, Object>;

template <class Visitor>
void fields(Is<ListenerStatus> auto& listener, Visitor&& field) {
  field("address", listener.address);
  field("protocol", listener.protocol);
  field("tls", listener.tls);
}

template <class Visitor>
void fields(Is<BackendStatus> auto& backend, Visitor&& field) {
  field("name", backend.name);
  field("target", backend.target);
  field("connections", backend.connections);
  field("idle", backend.idle);
  field("waiting", backend.waiting);
  field("up", backend.up);
  field("down_seconds", backend.down_seconds);
  field("failures", backend.failures);
  field("last_failure", backend.last_failure);
}

template <class Visitor>
void fields(Is<LedgerStatus> auto& ledger, Visitor&& field) {
  field("entries", ledger.entries);
  field("recorded", ledger.recorded);
  field("deduplicated", ledger.deduplicated);
  field("refused", ledger.refused);
  field("separated", ledger.separated);
  field("dropped", ledger.dropped);
  field("failures", ledger.failures);
  field("last_failure", ledger.last_failure);
}

template <class Visitor>
void fields(Is<WorkerStatus> auto& worker, Visitor&& field) {
  field("sessions", worker.sessions);
  field("sessions_total", worker.sessions_total);
  field("messages_total", worker.messages_total);
}

template <class Visitor>
void fields(Is<RateStatus> auto& rates, Visitor&& field) {
  field("seconds", rates.seconds);
  field("sessions", rates.sessions);
  field("messages", rates.messages);
  field("octets", rates.octets);
}

template <class Visitor>
void fields(Is<StatusReply> auto& status, Visitor&& field) {
  field("version", status.version);
  field("pid", status.pid);
  field("uptime_seconds", status.uptime_seconds);
  field("workers", status.workers);
  field("ready", status.ready);
  field("not_ready", status.not_ready);
  field("draining", status.draining);
  field("log_level", status.log_level);
  field("memory_octets", status.memory_octets);
  field("message_memory_octets", status.message_memory_octets);
  field("descriptors", status.descriptors);
  field("descriptors_max", status.descriptors_max);
  field("rates", status.rates);
  field("per_worker", status.per_worker);
  field("sessions", status.sessions);
  field("sessions_total", status.sessions_total);
  field("messages_total", status.messages_total);
  field("key_queue_full", status.key_queue_full);
  field("names", status.names);
  field("certificates", status.certificates);
  field("map_version", status.map_version);
  field("pinned_version", status.pinned_version);
  field("held_back", status.held_back);
  field("config_generation", status.config_generation);
  field("faults", status.faults);
  field("listeners", status.listeners);
  field("backends", status.backends);
  field("ledger", status.ledger);
}

template <class Visitor>
void fields(Is<ReloadReply> auto& reload, Visitor&& field) {
  field("configuration_taken", reload.configuration_taken);
  field("dry_run", reload.dry_run);
  field("map_version", reload.map_version);
  field("errors", reload.errors);
  field("warnings", reload.warnings);
  field("added", reload.added);
  field("removed", reload.removed);
  field("renewed", reload.renewed);
  field("worse", reload.worse);
  field("faults", reload.faults);
}

template <class Visitor>
void fields(Is<CertificateRow> auto& row, Visitor&& field) {
  field("names", row.names);
  field("name_count", row.name_count);
  field("served_count", row.served_count);
  field("key", row.key);
  field("issuer", row.issuer);
  field("not_before", row.not_before);
  field("not_after", row.not_after);
  field("days_left", row.days_left);
  field("fingerprint", row.fingerprint);
  field("source", row.source);
  field("key_source", row.key_source);
  field("state", row.state);
  field("reason", row.reason);
  field("since", row.since);
}

template <class Visitor>
void fields(Is<CertificatesReply> auto& reply, Visitor&& field) {
  field("map_version", reply.map_version);
  field("certificates", reply.certificates);
  field("next", reply.next);
}

template <class Visitor>
void fields(Is<DefaultCertificate> auto& fallback, Visitor&& field) {
  field("address", fallback.address);
  field("certificate", fallback.certificate);
  field("sources", fallback.sources);
}

template <class Visitor>
void fields(Is<ExplainReply> auto& reply, Visitor&& field) {
  field("name", reply.name);
  field("key", reply.key);
  field("match", reply.match);
  field("sources", reply.sources);
  field("steps", reply.steps);
  field("defaults", reply.defaults);
}

template <class Visitor>
void fields(Is<MapVersion> auto& version, Visitor&& field) {
  field("version", version.version);
  field("time", version.time);
  field("names", version.names);
  field("certificates", version.certificates);
  field("added", version.added);
  field("removed", version.removed);
  field("renewed", version.renewed);
  field("worse", version.worse);
  field("faults", version.faults);
  field("live", version.live);
}

template <class Visitor>
void fields(Is<VersionsReply> auto& reply, Visitor&& field) {
  field("versions", reply.versions);
  field("pinned_version", reply.pinned_version);
}

template <class Visitor>
void fields(Is<RollbackReply> auto& reply, Visitor&& field) {
  field("version", reply.version);
  field("added", reply.added);
  field("removed", reply.removed);
  field("renewed", reply.renewed);
  field("missing", reply.missing);
}

template <class Visitor>
void fields(Is<SessionRow> auto& row, Visitor&& field) {
  field("id", row.id);
  field("peer", row.peer);
  field("local", row.local);
  field("client_name", row.client_name);
  field("tls_version", row.tls_version);
  field("sni", row.sni);
  field("doing", row.doing);
  field("milliseconds", row.milliseconds);
  field("messages", row.messages);
  field("recipients", row.recipients);
  field("octets", row.octets);
}

template <class Visitor>
void fields(Is<SessionsReply> auto& reply, Visitor&& field) {
  field("matching", reply.matching);
  field("sessions", reply.sessions);
}

template <class Visitor>
void fields(Is<DrainReply> auto& reply, Visitor&& field) {
  field("draining", reply.draining);
  field("accepts_for_seconds", reply.accepts_for_seconds);
}

template <class Visitor>
void fields(Is<LogLevelReply> auto& reply, Visitor&& field) {
  field("level", reply.level);
  field("before", reply.before);
}

template <class Visitor>
void fields(Is<SniKind> auto& kind, Visitor&& field) {
  field("kind", kind.kind);
  field("count", kind.count);
}

template <class Visitor>
void fields(Is<SniCounts> auto& counts, Visitor&& field) {
  field("handshakes", counts.handshakes);
  field("exact", counts.exact);
  field("wildcard", counts.wildcard);
  field("unknown", counts.unknown);
  field("unusable", counts.unusable);
  field("without_sni", counts.without_sni);
  field("tls13", counts.tls13);
  field("tls12", counts.tls12);
  field("older", counts.older);
  field("resumed", counts.resumed);
  field("accepted", counts.accepted);
  field("left", counts.left);
  field("failed", counts.failed);
  field("refused", counts.refused);
  field("refusals", counts.refusals);
  field("downgraded", counts.downgraded);
  field("clear_sessions", counts.clear_sessions);
  field("messages", counts.messages);
}

template <class Visitor>
void fields(Is<SniSender> auto& sender, Visitor&& field) {
  field("sender", sender.sender);
  field("verified", sender.verified);
  field("missing", sender.missing);
  field("counts", sender.counts);
}

template <class Visitor>
void fields(Is<SniRefusal> auto& refusal, Visitor&& field) {
  field("server_name", refusal.server_name);
  field("local", refusal.local);
  field("sender", refusal.sender);
  field("verified", refusal.verified);
  field("refused", refusal.refused);
  field("how", refusal.how);
  field("downgraded", refusal.downgraded);
  field("domains", refusal.domains);
  field("help", refusal.help);
}

template <class Visitor>
void fields(Is<SniReply> auto& reply, Visitor&& field) {
  field("enabled", reply.enabled);
  field("window", reply.window);
  field("totals", reply.totals);
  field("sender_count", reply.sender_count);
  field("senders", reply.senders);
  field("refusals", reply.refusals);
  field("nameless_refusals", reply.nameless_refusals);
  field("dropped", reply.dropped);
}

template <class Visitor>
void fields(Is<SniDomainSender> auto& sender, Visitor&& field) {
  field("sender", sender.sender);
  field("verified", sender.verified);
  field("missing", sender.missing);
  field("ok", sender.ok);
  field("at_risk", sender.at_risk);
  field("without_sni", sender.without_sni);
  field("in_clear", sender.in_clear);
  field("why", sender.why);
}

template <class Visitor>
void fields(Is<SniDomainReply> auto& reply, Visitor&& field) {
  field("enabled", reply.enabled);
  field("domain", reply.domain);
  field("window", reply.window);
  field("policy", reply.policy);
  field("mx", reply.mx);
  field("enforce", reply.enforce);
  field("ok", reply.ok);
  field("at_risk", reply.at_risk);
  field("other_name", reply.other_name);
  field("without_sni", reply.without_sni);
  field("in_clear", reply.in_clear);
  field("why", reply.why);
  field("refused", reply.refused);
  field("senders", reply.senders);
  field("refusals", reply.refusals);
  field("nameless_refusals", reply.nameless_refusals);
  field("advice", reply.advice);
}

template <class Visitor>
void fields(Is<SniFailure> auto& failure, Visitor&& field) {
  field("time", failure.time);
  field("sender", failure.sender);
  field("address", failure.address);
  field("local", failure.local);
  field("stage", failure.stage);
  field("reason", failure.reason);
  field("alert", failure.alert);
  field("server_name", failure.server_name);
  field("version", failure.version);
  field("versions", failure.versions);
  field("cipher_suites", failure.cipher_suites);
  field("groups", failure.groups);
  field("signature_schemes", failure.signature_schemes);
  field("alpn", failure.alpn);
}

template <class Visitor>
void fields(Is<SniFailuresReply> auto& reply, Visitor&& field) {
  field("failures", reply.failures);
}

template <class Visitor>
void fields(Is<SniDomainSummary> auto& domain, Visitor&& field) {
  field("domain", domain.domain);
  field("policy", domain.policy);
  field("enforce", domain.enforce);
  field("ok", domain.ok);
  field("at_risk", domain.at_risk);
  field("without_sni", domain.without_sni);
  field("in_clear", domain.in_clear);
  field("refused", domain.refused);
}

template <class Visitor>
void fields(Is<SniDomainsReply> auto& reply, Visitor&& field) {
  field("enabled", reply.enabled);
  field("window", reply.window);
  field("domain_count", reply.domain_count);
  field("domains", reply.domains);
}

template <class Visitor>
void fields(Is<HistoryPoint> auto& point, Visitor&& field) {
  field("milliseconds", point.milliseconds);
  field("sessions", point.sessions);
  field("handshakes", point.handshakes);
  field("handshakes_failed", point.handshakes_failed);
  field("messages", point.messages);
  field("deferred", point.deferred);
  field("refused", point.refused);
  field("octets", point.octets);
  field("delivery_median", point.delivery_median);
  field("delivery_p95", point.delivery_p95);
  field("handshake_p95", point.handshake_p95);
}

template <class Visitor>
void fields(Is<BackendTraffic> auto& backend, Visitor&& field) {
  field("name", backend.name);
  field("messages", backend.messages);
  field("taken", backend.taken);
  field("deferred", backend.deferred);
  field("refused", backend.refused);
  field("median", backend.median);
  field("p95", backend.p95);
}

template <class Visitor>
void fields(Is<ExpiringCertificate> auto& certificate, Visitor&& field) {
  field("name", certificate.name);
  field("not_after", certificate.not_after);
  field("days_left", certificate.days_left);
}

template <class Visitor>
void fields(Is<LoggedLine> auto& line, Visitor&& field) {
  field("time", line.time);
  field("level", line.level);
  field("text", line.text);
}

template <class Visitor>
void fields(Is<PageReply> auto& page, Visitor&& field) {
  field("time", page.time);
  field("hostname", page.hostname);
  field("status", page.status);
  field("fault_count", page.fault_count);
  field("target_count", page.target_count);
  field("minute", page.minute);
  field("history", page.history);
  field("versions", page.versions);
  field("server_names", page.server_names);
  field("limits", page.limits);
  field("backends", page.backends);
  field("certificates", page.certificates);
  field("sni", page.sni);
  field("domains", page.domains);
  field("failures", page.failures);
  field("log", page.log);
}

template <class Visitor>
void fields(Is<ErrorReply> auto& error, Visitor&& field) {
  field("text", error.text);
}

// Requests.

template <class Visitor>
void fields(Is<StatusRequest> auto&, Visitor&&) {}

template <class Visitor>
void fields(Is<ReloadRequest> auto& request, Visitor&& field) {
  field("dry_run", request.dry_run);
  field("accept_loss", request.accept_loss);
}

template <class Visitor>
void fields(Is<CertificatesRequest> auto& request, Visitor&& field) {
  field("from", request.from);
  field("limit", request.limit);
  field("text", request.text);
  field("state", request.state);
  field("expires_within_days", request.expires_within_days);
}

template <class Visitor>
void fields(Is<ExplainRequest> auto& request, Visitor&& field) {
  field("name", request.name);
}

template <class Visitor>
void fields(Is<VersionsRequest> auto&, Visitor&&) {}

template <class Visitor>
void fields(Is<RollbackRequest> auto& request, Visitor&& field) {
  field("version", request.version);
}

template <class Visitor>
void fields(Is<SessionsRequest> auto& request, Visitor&& field) {
  field("text", request.text);
  field("limit", request.limit);
}

template <class Visitor>
void fields(Is<SniRequest> auto& request, Visitor&& field) {
  field("window", request.window);
  field("limit", request.limit);
}

template <class Visitor>
void fields(Is<DrainRequest> auto&, Visitor&&) {}

template <class Visitor>
void fields(Is<UndrainRequest> auto&, Visitor&&) {}

template <class Visitor>
void fields(Is<LogLevelRequest> auto& request, Visitor&& field) {
  field("level", request.level);
}

template <class Visitor>
void fields(Is<SniDomainRequest> auto& request, Visitor&& field) {
  field("domain", request.domain);
  field("window", request.window);
}

template <class Visitor>
void fields(Is<SniFailuresRequest> auto& request, Visitor&& field) {
  field("limit", request.limit);
}

template <class Visitor>
void fields(Is<SniDomainsRequest> auto& request, Visitor&& field) {
  field("window", request.window);
  field("limit", request.limit);
}

template <class Visitor>
void fields(Is<PageRequest> auto& request, Visitor&& field) {
  field("window", request.window);
}

/// What stands under "request" or "reply".
constexpr const char* word(const StatusRequest*) { return "status"; }
constexpr const char* word(const ReloadRequest*) { return "reload"; }
constexpr const char* word(const CertificatesRequest*) { return "certificates"; }
constexpr const char* word(const ExplainRequest*) { return "explain"; }
constexpr const char* word(const VersionsRequest*) { return "versions"; }
constexpr const char* word(const RollbackRequest*) { return "rollback"; }
constexpr const char* word(const SessionsRequest*) { return "sessions"; }
constexpr const char* word(const DrainRequest*) { return "drain"; }
constexpr const char* word(const UndrainRequest*) { return "undrain"; }
constexpr const char* word(const LogLevelRequest*) { return "log-level"; }
constexpr const char* word(const SniRequest*) { return "sni"; }
constexpr const char* word(const SniDomainRequest*) { return "sni-domain"; }
constexpr const char* word(const SniFailuresRequest*) { return "sni-failures"; }
constexpr const char* word(const SniDomainsRequest*) { return "sni-domains"; }
constexpr const char* word(const PageRequest*) { return "page"; }
constexpr const char* word(const StatusReply*) { return "status"; }
constexpr const char* word(const ReloadReply*) { return "reload"; }
constexpr const char* word(const CertificatesReply*) { return "certificates"; }
constexpr const char* word(const ExplainReply*) { return "explain"; }
constexpr const char* word(const VersionsReply*) { return "versions"; }
constexpr const char* word(const RollbackReply*) { return "rollback"; }
constexpr const char* word(const SessionsReply*) { return "sessions"; }
constexpr const char* word(const DrainReply*) { return "drain"; }
constexpr const char* word(const LogLevelReply*) { return "log-level"; }
constexpr const char* word(const SniReply*) { return "sni"; }
constexpr const char* word(const SniDomainReply*) { return "sni-domain"; }
constexpr const char* word(const SniFailuresReply*) { return "sni-failures"; }
constexpr const char* word(const SniDomainsReply*) { return "sni-domains"; }
constexpr const char* word(const PageReply*) { return "page"; }
constexpr const char* word(const ErrorReply*) { return "error"; }

}  // namespace postern::control
