#include "observe/log_line.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

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

/// "transaction id" → `POSTERN_TRANSACTION_ID`: what the journal takes as the name of a field.
void append_journal_name(std::string& out, std::string_view key) {
  out += "POSTERN_";
  for (const char c : key) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// The numbers of syslog (RFC 5424 section 6.2.1).
int priority(Level level) {
  switch (level) {
    case Level::Error: return 3;
    case Level::Warning: return 4;
    case Level::Info: return 6;
    case Level::Debug: return 7;
  }
  return 6;
}

/// `fields`: more parts of the entry. Nothing in it has an LF of its own.
std::string journal_entry(Level level, std::string_view message, std::string_view fields) {
  return fmt::format("MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER=posternd\n{}", message, priority(level), fields);
}

/// One line, written from left to right under the same keys in both formats. A line is on the way of every message, so
/// that nothing is put together twice.
class Fields {
 public:
  Fields(std::string_view event, const LineStyle& style, WallTime time, std::vector<std::string> known_addresses = {})
      : style_(style),
        known_(std::move(known_addresses)),
        json_(style.format == LineFormat::Json),
        journal_(style.framing == Framing::JournalEntry) {
    line_.reserve(line_octets_expected);
    if (json_) {
      line_ += fmt::format("{{\"time\":\"{}\",\"level\":\"info\",\"event\":\"{}\"", rfc3339(time), event);
    } else {
      if (!journal_) line_ += rfc3339(time) + " info ";
      line_ += event;
    }
    if (journal_) fields_ += fmt::format("POSTERN_EVENT={}\n", event);
  }

  void add(std::string_view key, std::string_view raw) {
    if (style_.addresses.hides()) return add_shown(key, style_.addresses.text(raw, known_));
    add_shown(key, raw);
  }
  /// What is a reverse-path or forward-path, or should be one.
  void add_path(std::string_view key, std::string_view raw) {
    if (style_.addresses.hides() && !raw.empty()) return add_shown(key, style_.addresses.path(raw));
    add_shown(key, raw);
  }
  /// It has the form of an address, but is none: of the addresses of its message, only the local parts are hidden in it.
  void add_message_id(std::string_view key, std::string_view raw) {
    if (!style_.addresses.hides()) return add_shown(key, raw);
    const auto at = raw.rfind('@');
    if (at == std::string_view::npos) return add(key, raw);
    add_shown(key, style_.addresses.text(raw.substr(0, at), known_) + std::string(raw.substr(at)));
  }
  void add(std::string_view key, std::uint64_t number) {
    const std::size_t at = add_key(key);
    fmt::format_to(std::back_inserter(line_), FMT_COMPILE("{}"), number);
    add_journal_field(key, at);
  }
  void add_ms(std::string_view key, Duration duration) {
    const auto tenths = (std::max<Duration::rep>(duration.count(), 0) + 50'000) / 100'000;
    const std::size_t at = add_key(key);
    fmt::format_to(std::back_inserter(line_), FMT_COMPILE("{}.{}"), tenths / 10, tenths % 10);
    add_journal_field(key, at);
  }

  std::string finish() && {
    if (json_) line_ += '}';
    return journal_ ? journal_entry(Level::Info, line_, fields_) : std::move(line_);
  }

 private:
  static constexpr std::size_t line_octets_expected = 512;

  void add_shown(std::string_view key, std::string_view raw) {
    if (raw.empty()) return;
    const std::size_t value_at = add_key(key);
    append_printable(line_, raw, value_octets_max, Backslash::Escape);
    add_journal_field(key, value_at);
    if (!json_ && line_.find_first_of(" =\"", value_at) == std::string::npos) return;
    escape_from(line_, value_at, json_ ? "\"\\" : "\"");
    line_.insert(value_at, 1, '"');
    line_ += '"';
  }

  /// Returns where the value begins.
  std::size_t add_key(std::string_view key) {
    line_ += json_ ? ",\"" : " ";
    line_ += key;
    line_ += json_ ? "\":" : "=";
    return line_.size();
  }

  void add_journal_field(std::string_view key, std::size_t value_at) {
    if (!journal_) return;
    append_journal_name(fields_, key);
    fields_ += '=';
    fields_.append(line_, value_at);
    fields_ += '\n';
  }

  const LineStyle& style_;
  std::vector<std::string> known_;
  std::string line_;
  std::string fields_;
  bool json_;
  bool journal_;
};

/// The command as it was said; when addresses are hidden, only its verb and the reverse-path are left of it: an argument
/// may be a local part alone, and an unknown command anything.
std::string shown_command(const RefusedCommand& refused, const AddressVeil& veil) {
  if (!veil.hides()) return escaped(refused.line);
  if (refused.path.empty()) return refused.verb + " ...";
  return fmt::format("{} FROM:{} ...", refused.verb, veil.path(refused.path));
}

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

std::string render(const SessionRecord& record, const LineStyle& style, WallTime time) {
  Fields fields("session", style, time);
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

std::string render(const RecipientRecord& record, const LineStyle& style, WallTime time) {
  std::vector<std::string> known{record.from, record.to};
  if (style.addresses.hides() && record.others) known.insert(known.end(), record.others->begin(), record.others->end());
  Fields fields("recipient", style, time, std::move(known));
  fields.add("id", record.transaction);
  fields.add("session", record.session);
  fields.add_path("from", record.from);
  fields.add_path("to", record.to);
  fields.add("status", record.status);
  fields.add("code", static_cast<std::uint64_t>(std::max(record.code, 0)));
  fields.add("reply", record.reply);
  fields.add("backend", record.backend);
  fields.add_ms("delay_ms", record.delay);
  fields.add("octets", record.octets);
  fields.add_message_id("message_id", record.message_id);
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

std::string render(const HttpRecord& record, const LineStyle& style, WallTime time) {
  Fields fields("http", style, time);
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

std::string render(const RefusedCommand& refused, const LineStyle& style, WallTime time) {
  const AddressVeil& veil = style.addresses;
  const Note note{.message = fmt::format("{}: {}: refused: {}: {} {}", refused.session, refused.peer.text(),
                                         shown_command(refused, veil), refused.code, refused.reply)};
  return render(note, LineStyle(style.format, style.framing), time);  // hidden above: a digest is not hashed again
}

std::string render(const Note& note, const LineStyle& style, WallTime time) {
  // Whoever made the message escaped what it quotes: a backslash in it is one that stands for something.
  std::string safe;
  const auto shown = style.addresses.hides() ? style.addresses.text(note.message, note.addresses) : note.message;
  append_printable(safe, shown, message_octets_max, Backslash::Keep);
  std::string line;
  if (style.format == LineFormat::Json) {
    line = nlohmann::ordered_json{{"time", rfc3339(time)}, {"level", to_string(note.level)}, {"message", safe}}.dump();
  } else if (style.framing == Framing::JournalEntry) {
    line = std::move(safe);
  } else {
    line = fmt::format("{} {} {}", rfc3339(time), to_string(note.level), safe);
  }
  return style.framing == Framing::JournalEntry ? journal_entry(note.level, line, {}) : line;
}

std::string render(Level level, std::string_view message, const LineStyle& style, WallTime time) {
  return render(Note{.level = level, .message = std::string(message)}, style, time);
}

}  // namespace postern::observe
