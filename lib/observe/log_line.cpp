#include "observe/log_line.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"

namespace postern::observe {

namespace {

// A client decides how long these are; a log line stays one that people can read.
constexpr std::size_t value_octets_max = 1024;
constexpr std::size_t message_octets_max = 8192;

enum class Backslash { Escape, Keep };

/// Appends printable ASCII as it is, everything else as \xHH. (Not base's escaped(): that one also serves header
/// comments, where parentheses and quotes are special. Here they are not, and reply texts are full of them.)
void append_printable(std::string& out, std::string_view raw, std::size_t octets_max, Backslash backslash) {
  static constexpr std::string_view hex = "0123456789abcdef";
  const std::size_t end = out.size() + octets_max;
  for (const char c : raw) {
    if (out.size() >= end) {
      out += "...";
      return;
    }
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f && (c != '\\' || backslash == Backslash::Keep);
    if (plain) {
      out += c;
    } else {
      const char escape[] = {'\\', 'x', hex[byte >> 4], hex[byte & 0xf]};
      out.append(escape, sizeof escape);
    }
  }
}

/// Puts a backslash before each of `special` in what stands in `out` from `from` on.
void escape_from(std::string& out, std::size_t from, std::string_view special) {
  for (std::size_t at = out.find_first_of(special, from); at != std::string::npos;
       at = out.find_first_of(special, at + 2)) {
    out.insert(at, 1, '\\');
  }
}

/// One line, written from left to right under the same keys in both formats. A line is on the way of every message, so
/// that nothing is put together twice.
class Fields {
 public:
  Fields(std::string_view event, LineFormat format, WallTime time) : json_(format == LineFormat::Json) {
    line_.reserve(line_octets_expected);
    if (json_) line_ += "{\"time\":\"";
    line_ += rfc3339(time);
    line_ += json_ ? "\",\"level\":\"info\",\"event\":\"" : " info ";
    line_ += event;
    if (json_) line_ += '"';
  }

  void add(std::string_view key, std::string_view raw) {
    if (raw.empty()) return;
    add_key(key);
    const std::size_t value_at = line_.size();
    append_printable(line_, raw, value_octets_max, Backslash::Escape);
    if (!json_ && line_.find_first_of(" =\"", value_at) == std::string::npos) return;
    escape_from(line_, value_at, json_ ? "\"\\" : "\"");
    line_.insert(value_at, 1, '"');
    line_ += '"';
  }
  void add(std::string_view key, std::uint64_t number) {
    add_key(key);
    fmt::format_to(std::back_inserter(line_), FMT_COMPILE("{}"), number);
  }
  void add_ms(std::string_view key, Duration duration) {
    const auto tenths = (std::max<Duration::rep>(duration.count(), 0) + 50'000) / 100'000;
    add_key(key);
    fmt::format_to(std::back_inserter(line_), FMT_COMPILE("{}.{}"), tenths / 10, tenths % 10);
  }

  std::string finish() && {
    if (json_) line_ += '}';
    return std::move(line_);
  }

 private:
  static constexpr std::size_t line_octets_expected = 512;

  void add_key(std::string_view key) {
    line_ += json_ ? ",\"" : " ";
    line_ += key;
    line_ += json_ ? "\":" : "=";
  }

  std::string line_;
  bool json_;
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
  Fields fields("session", format, time);
  fields.add("id", record.id);
  fields.add("peer", record.peer.text());
  fields.add("local", record.local.text());
  fields.add("name", record.dns_name);
  fields.add("helo", record.client_name);
  fields.add("proxy", record.proxy);
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
  return std::move(fields).finish();
}

std::string render(const RecipientRecord& record, LineFormat format, WallTime time) {
  Fields fields("recipient", format, time);
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
  fields.add("name", record.dns_name);
  fields.add("forwarded_for", record.forwarded_for);
  fields.add("helo", record.client_name);
  fields.add("tls", record.tls_version.empty() ? "none" : record.tls_version);
  fields.add("cipher", record.tls_cipher);
  fields.add("sni", record.sni);
  fields.add("sts", record.sts);
  return std::move(fields).finish();
}

std::string render(const HttpRecord& record, LineFormat format, WallTime time) {
  Fields fields("http", format, time);
  fields.add("id", record.id);
  fields.add("peer", record.peer.text());
  fields.add("tls", record.tls_version.empty() ? "none" : record.tls_version);
  fields.add("sni", record.sni);
  fields.add("host", record.host);
  fields.add("method", record.method);
  fields.add("target", record.target);
  fields.add("status", record.status);
  return std::move(fields).finish();
}

std::string render(Level level, std::string_view message, LineFormat format, WallTime time) {
  // Whoever made the message escaped what it quotes: a backslash in it is one that stands for something.
  std::string safe;
  append_printable(safe, message, message_octets_max, Backslash::Keep);
  if (format == LineFormat::Text) return fmt::format("{} {} {}", rfc3339(time), to_string(level), safe);
  return nlohmann::ordered_json{{"time", rfc3339(time)}, {"level", to_string(level)}, {"message", safe}}.dump();
}

}  // namespace postern::observe
