// Small things that every protocol needs to do with text: ASCII case, escaping for logs, readable sizes and times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"

namespace postern {

/// ASCII only: bytes over 0x7f stay as they are, whatever the locale.
constexpr char to_lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string to_lower_ascii(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Text from the wire, made fit for one field of a log line or of a header comment: printable ASCII stays, everything
/// else and the characters `" \ ( )` become \xHH; what is over `length_max` is cut and ends in "...".
std::string escaped(std::string_view raw, std::size_t length_max = 255);

/// "1 name", "2 names"; `many` where an s does not make the plural.
std::string counted(std::uint64_t count, std::string_view one, std::string_view many = {});

/// Digits only, no sign, no white space; nothing when empty, malformed or over 64 bits.
std::optional<std::uint64_t> parse_decimal(std::string_view digits);

std::string_view trimmed(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);

/// "50MB", "64KiB", "512" → octets. KB, MB, GB are powers of 1000; KiB, MiB, GiB of 1024.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// "250ms", "30s", "5m", "8h", "7d" → a duration; a number without a unit is refused.
std::optional<Duration> parse_duration(std::string_view text);

/// For people: "1.5 s", "250 ms", "3 min", "7 d".
std::string readable(Duration duration);

/// `2026-11-23T19:03:10Z`
std::string rfc3339(WallTime time);

/// `Mon, 23 Nov 2026 19:03:10 +0000` (RFC 5322 section 3.3)
std::string rfc5322_date(WallTime time);

/// The known word nearest to a misspelt one ("Did you mean ...?"), if one is near enough to be worth saying.
std::optional<std::string_view> nearest_word(std::string_view misspelt, const std::vector<std::string_view>& known);

}  // namespace postern
