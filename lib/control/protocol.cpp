// What every request and reply looks like is said once, in the fields() functions below: writing and reading both walk
// them. A new field is added to the struct and there, and nowhere else.
#include "control/protocol.h"

#include <concepts>
#include <nlohmann/json.hpp>
#include <optional>

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
void fields(Is<StatusReply> auto& status, Visitor&& field) {
  field("version", status.version);
  field("pid", status.pid);
  field("uptime_seconds", status.uptime_seconds);
  field("workers", status.workers);
  field("sessions", status.sessions);
  field("sessions_total", status.sessions_total);
  field("messages_total", status.messages_total);
  field("names", status.names);
  field("certificates", status.certificates);
  field("map_version", status.map_version);
  field("config_generation", status.config_generation);
  field("faults", status.faults);
  field("listeners", status.listeners);
  field("backends", status.backends);
  field("ledger", status.ledger);
}

template <class Visitor>
void fields(Is<ReloadReply> auto& reload, Visitor&& field) {
  field("configuration_taken", reload.configuration_taken);
  field("errors", reload.errors);
  field("warnings", reload.warnings);
  field("added", reload.added);
  field("removed", reload.removed);
  field("renewed", reload.renewed);
  field("faults", reload.faults);
}

template <class Visitor>
void fields(Is<ErrorReply> auto& error, Visitor&& field) {
  field("text", error.text);
}

// Writing. ----------------------------------------------------------------------------------------------------------

Json to_value(const std::string& text) { return text; }
Json to_value(std::uint64_t number) { return number; }
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

template <class T>
std::string reply_line(const char* kind, const T& reply) {
  Json made{{"reply", kind}};
  made.update(to_value(reply));
  return line(made);
}

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

template <class T>
Result<Reply> read_reply(const Json& object, std::string_view kind) {
  T reply;
  if (!read(object, reply)) return fail("a {} reply with a field that is missing or of another type", kind);
  return reply;
}

}  // namespace

std::string to_json(const Request& request) {
  return line(Json{{"request", std::holds_alternative<StatusRequest>(request) ? "status" : "reload"}});
}

std::string to_json(const Reply& reply) {
  if (const auto* status = std::get_if<StatusReply>(&reply)) return reply_line("status", *status);
  if (const auto* reload = std::get_if<ReloadReply>(&reply)) return reply_line("reload", *reload);
  return reply_line("error", std::get<ErrorReply>(reply));
}

Result<Request> parse_request(std::string_view line) {
  const auto object = parse_object(line, request_octets_max);
  if (!object) return fail("malformed request: {}", object.error().text);
  const auto kind = kind_of(*object, "request");
  if (!kind) return fail("malformed request: expected {{\"request\": \"status\"}} or {{\"request\": \"reload\"}}");
  if (*kind != "status" && *kind != "reload") {
    return fail("unknown request \"{}\"; known are: status, reload", escaped(*kind, 64));
  }
  if (object->size() != 1) return fail("malformed request: \"{}\" takes no other keys", *kind);
  if (*kind == "status") return StatusRequest{};
  return ReloadRequest{};
}

Result<Reply> parse_reply(std::string_view line) {
  const auto object = parse_object(line, reply_octets_max);
  if (!object) return fail("malformed reply: {}", object.error().text);
  const auto kind = kind_of(*object, "reply");
  if (kind == "status") return read_reply<StatusReply>(*object, *kind);
  if (kind == "reload") return read_reply<ReloadReply>(*object, *kind);
  if (kind == "error") return read_reply<ErrorReply>(*object, *kind);
  return fail("malformed reply: neither status, reload nor error");
}

}  // namespace postern::control
