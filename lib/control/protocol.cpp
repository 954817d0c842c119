// Requests and replies to JSON and back, whatever members they have: control/fields.h says that.
#include "control/protocol.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/text.h"
#include "control/fields.h"

namespace postern::control {

namespace {

using Json = nlohmann::ordered_json;

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
