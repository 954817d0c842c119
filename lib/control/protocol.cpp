// What every request and reply looks like is said once, in the fields() functions below: writing and reading both walk
// them. A new field is added to the struct and there, and nowhere else.
#include "control/protocol.h"

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/text.h"

namespace postern::control {

namespace {

using Json = nlohmann::ordered_json;

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
constexpr const char* word(const ErrorReply*) { return "error"; }

// Writing. ----------------------------------------------------------------------------------------------------------

Json to_value(const std::string& text) { return text; }
Json to_value(std::uint64_t number) { return number; }
Json to_value(std::int64_t number) { return number; }
Json to_value(bool yes) { return yes; }

template <class T>
Json to_value(const std::vector<T>& list);

template <class T>
Json to_value(const T& object) {
  Json made = Json::object();
  fields(object, [&made](const char* key, const auto& value) { made[key] = to_value(value); });
  return made;
}

template <class T>
Json to_value(const std::vector<T>& list) {
  Json made = Json::array();
  for (const T& item : list) made.push_back(to_value(item));
  return made;
}

/// File names need not be UTF-8, and JSON must be: what is not becomes U+FFFD.
std::string line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Reading. ----------------------------------------------------------------------------------------------------------

bool read(const Json& value, std::string& text) {
  if (!value.is_string()) return false;
  text = value.get_ref<const std::string&>();
  return true;
}
bool read(const Json& value, std::uint64_t& number) {
  if (!value.is_number_unsigned()) return false;
  number = value.get<std::uint64_t>();
  return true;
}
bool read(const Json& value, std::int64_t& number) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) return false;
  number = value.get<std::int64_t>();
  return true;
}
bool read(const Json& value, bool& yes) {
  if (!value.is_boolean()) return false;
  yes = value.get<bool>();
  return true;
}

template <class T>
bool read(const Json& value, std::vector<T>& list);

template <class T>
bool read(const Json& value, T& object) {
  if (!value.is_object()) return false;
  bool good = true;
  fields(object, [&](const char* key, auto& member) {
    const auto found = value.find(key);
    good = good && found != value.end() && read(*found, member);
  });
  return good;
}

template <class T>
bool read(const Json& value, std::vector<T>& list) {
  if (!value.is_array()) return false;
  for (const Json& item : value) {
    if (!read(item, list.emplace_back())) return false;
  }
  return true;
}

Result<Json> parse_object(std::string_view text, std::size_t octets_max) {
  if (text.size() > octets_max) return fail("longer than {} octets", octets_max);
  Json parsed = Json::parse(text, nullptr, false);  // no exceptions: a failure gives a discarded value
  if (parsed.is_discarded() || !parsed.is_object()) return fail("not a JSON object");
  return parsed;
}

/// The string under `key`, which says what kind of object this is.
std::optional<std::string> kind_of(const Json& object, const char* key) {
  std::string kind;
  const auto found = object.find(key);
  if (found == object.end() || !read(*found, kind)) return std::nullopt;
  return kind;
}

/// Calls `use` with a null pointer to each alternative of a variant; ends at the first that gives a result.
template <class Variant, class Use, std::size_t... At>
auto first_of(Use&& use, std::index_sequence<At...>) {
  decltype(use(static_cast<std::variant_alternative_t<0, Variant>*>(nullptr))) found;
  (void)((found = use(static_cast<std::variant_alternative_t<At, Variant>*>(nullptr)), found.has_value()) || ...);
  return found;
}
template <class Variant, class Use>
auto first_of(Use&& use) {
  return first_of<Variant>(use, std::make_index_sequence<std::variant_size_v<Variant>>());
}

/// Every key must be known; those that are not there keep their defaults.
template <class T>
Result<Request> read_request(const Json& object, std::string_view kind) {
  T request;
  std::size_t known = 1;
  bool good = true;
  fields(request, [&](const char* key, auto& member) {
    const auto found = object.find(key);
    if (found == object.end()) return;
    ++known;
    good = good && read(*found, member);
  });
  if (!good) return fail("malformed request: \"{}\" has a key of another type", kind);
  if (known != object.size()) return fail("malformed request: \"{}\" takes no such keys", kind);
  return request;
}

template <class T>
Result<Reply> read_reply(const Json& object, std::string_view kind) {
  T reply;
  if (!read(object, reply)) return fail("a {} reply with a field that is missing or of another type", kind);
  return reply;
}

template <class Variant>
std::string known_words() {
  std::string words;
  first_of<Variant>([&words](const auto* alternative) {
    words += (words.empty() ? "" : ", ") + std::string(word(alternative));
    return std::optional<bool>();
  });
  return words;
}

}  // namespace

std::string to_json(const Request& request) {
  return std::visit(
      [](const auto& one) {
        Json made{{"request", word(&one)}};
        const Json defaults = to_value(std::remove_cvref_t<decltype(one)>());
        const Json values = to_value(one);
        for (const auto& [key, value] : values.items()) {
          if (value != defaults.at(key)) made[key] = value;
        }
        return line(made);
      },
      request);
}

std::string to_json(const CertificateRow& row) { return line(to_value(row)); }

std::string to_json(const Reply& reply) {
  return std::visit(
      [](const auto& one) {
        Json made{{"reply", word(&one)}};
        made.update(to_value(one));
        return line(made);
      },
      reply);
}

Result<Request> parse_request(std::string_view line) {
  const auto object = parse_object(line, request_octets_max);
  if (!object) return fail("malformed request: {}", object.error().text);
  const auto kind = kind_of(*object, "request");
  if (!kind) return fail("malformed request: expected {{\"request\": \"status\"}}, or another of: {}", known_words<Request>());
  auto read = first_of<Request>([&](auto* alternative) -> std::optional<Result<Request>> {
    using Alternative = std::remove_pointer_t<decltype(alternative)>;
    if (*kind != word(alternative)) return std::nullopt;
    return read_request<Alternative>(*object, *kind);
  });
  if (!read) return fail("unknown request \"{}\"; known are: {}", escaped(*kind, 64), known_words<Request>());
  return std::move(*read);
}

Result<Reply> parse_reply(std::string_view line) {
  const auto object = parse_object(line, reply_octets_max);
  if (!object) return fail("malformed reply: {}", object.error().text);
  const auto kind = kind_of(*object, "reply");
  auto read = first_of<Reply>([&](auto* alternative) -> std::optional<Result<Reply>> {
    using Alternative = std::remove_pointer_t<decltype(alternative)>;
    if (kind != word(alternative)) return std::nullopt;
    return read_reply<Alternative>(*object, *kind);
  });
  if (!read) return fail("malformed reply: none of {}", known_words<Reply>());
  return std::move(*read);
}

}  // namespace postern::control
