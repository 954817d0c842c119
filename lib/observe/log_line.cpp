#include "observe/log_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "base/text.h"

namespace postern::observe {

namespace {

// A client decides how long these are; a log line stays one that people can read.
constexpr std::size_t value_octets_max = 1024;
constexpr std::size_t message_octets_max = 8192;

enum class Backslash { Escape, Keep };

/// Printable ASCII stays, everything else becomes \xHH. (Not base's escaped(): that one also serves header comments,
/// where parentheses and quotes are special. Here they are not, and reply texts are full of them.)
std::string printable(std::string_view raw, std::size_t octets_max, Backslash backslash) {
  std::string out;
  for (const char c : raw) {
    if (out.size() >= octets_max) return out + "...";
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f && (c != '\\' || backslash == Backslash::Keep);
    if (plain) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

/// The fields of one line, in order, under the same keys in both formats.
class Fields {
 public:
  void add(std::string_view key, std::string_view raw) {
    if (!raw.empty()) all_.push_back(Field{key, printable(raw, value_octets_max, Backslash::Escape)});
  }
  void add(std::string_view key, std::uint64_t number) { all_.push_back(Field{key, number}); }
  void add_ms(std::string_view key, Duration duration) {
    const double ms = static_cast<double>(duration.count()) / 1e6;
    all_.push_back(Field{key, std::round(ms * 10) / 10});
  }

  std::string render(std::string_view event, LineFormat format, WallTime time) const {
    return format == LineFormat::Json ? json(event, time) : text(event, time);
  }

 private:
  using Value = std::variant<std::string, std::uint64_t, double>;
  struct Field {
    std::string_view key;
    Value value;
  };

  static std::string quoted_if_needed(const std::string& value) {
    if (value.find_first_of(" =\"") == std::string::npos) return value;
    std::string out = "\"";
    for (const char c : value) {
      if (c == '"') out += '\\';
      out += c;
    }
    return out + '"';
  }

  std::string text(std::string_view event, WallTime time) const {
    std::string line = fmt::format("{} info {}", rfc3339(time), event);
    for (const Field& field : all_) {
      line += fmt::format(" {}=", field.key);
      if (const auto* value = std::get_if<std::string>(&field.value)) line += quoted_if_needed(*value);
      if (const auto* value = std::get_if<std::uint64_t>(&field.value)) line += fmt::format("{}", *value);
      if (const auto* value = std::get_if<double>(&field.value)) line += fmt::format("{:.1f}", *value);
    }
    return line;
  }

  std::string json(std::string_view event, WallTime time) const {
    nlohmann::ordered_json line{{"time", rfc3339(time)}, {"level", "info"}, {"event", event}};
    for (const Field& field : all_) {
      std::visit([&](const auto& value) { line[std::string(field.key)] = value; }, field.value);
    }
    return line.dump();
  }

  std::vector<Field> all_;
};

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::Error: return "error";
    case Level::Warning: return "warning";
    case Level::Info: return "info";
    case Level::Debug: return "debug";
  }
  return "";
}

std::string render(const SessionRecord& record, LineFormat format, WallTime time) {
  Fields fields;
  fields.add("id", record.id);
  fields.add("peer", record.peer.text());
  fields.add("local", record.local.text());
  fields.add("helo", record.client_name);
  fields.add("tls", record.tls ? record.tls_version : "none");
  fields.add("cipher", record.tls_cipher);
  if (record.tls) fields.add("resumed", record.resumed ? "yes" : "no");
  fields.add("sni", record.sni);
  fields.add("match", record.sni_match);
  fields.add("certificate", record.certificate);
  fields.add("tls_error", record.tls_error);
  if (record.tls) fields.add_ms("handshake_ms", record.handshake);
  fields.add("messages", record.messages);
  fields.add("recipients", record.recipients);
  fields.add("octets", record.octets);
  fields.add_ms("total_ms", record.total);
  fields.add("outcome", record.outcome);
  return fields.render("session", format, time);
}

std::string render(const RecipientRecord& record, LineFormat format, WallTime time) {
  Fields fields;
  fields.add("id", record.transaction);
  fields.add("session", record.session);
  fields.add("from", record.from);
  fields.add("to", record.to);
  fields.add("status", record.status);
  fields.add("code", static_cast<std::uint64_t>(std::max(record.code, 0)));
  fields.add("reply", record.reply);
  fields.add("backend", record.backend);
  fields.add_ms("delay_ms", record.delay);
  fields.add("octets", record.octets);
  fields.add("message_id", record.message_id);
  fields.add("peer", record.peer.text());
  fields.add("helo", record.client_name);
  fields.add("tls", record.tls_version.empty() ? "none" : record.tls_version);
  fields.add("cipher", record.tls_cipher);
  fields.add("sni", record.sni);
  return fields.render("recipient", format, time);
}

std::string render(Level level, std::string_view message, LineFormat format, WallTime time) {
  // Whoever made the message escaped what it quotes: a backslash in it is one that stands for something.
  const std::string safe = printable(message, message_octets_max, Backslash::Keep);
  if (format == LineFormat::Text) return fmt::format("{} {} {}", rfc3339(time), to_string(level), safe);
  return nlohmann::ordered_json{{"time", rfc3339(time)}, {"level", to_string(level)}, {"message", safe}}.dump();
}

}  // namespace postern::observe
