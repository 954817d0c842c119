#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <numeric>
#include <utility>

namespace postern {

std::string to_lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = to_lower_ascii(c);
  return lower;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower_ascii(x) == to_lower_ascii(y); });
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

std::string escaped(std::string_view raw, std::size_t length_max) {
  constexpr std::string_view hex = "0123456789abcdef";
  constexpr std::string_view quoted = "\"\\()";
  std::string out;
  out.reserve(std::min(raw.size(), length_max));
  for (const char c : raw) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f && quoted.find(c) == std::string_view::npos;
    if (out.size() + (plain ? 1 : 4) > length_max) return out + "...";
    if (plain) {
      out += c;
    } else {
      out += "\\x";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    }
  }
  return out;
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  if (count == 1) return fmt::format("1 {}", one);
  return many.empty() ? fmt::format("{} {}s", count, one) : fmt::format("{} {}", count, many);
}

std::optional<std::uint64_t> parse_decimal(std::string_view digits) {
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(separator, begin)) != std::string_view::npos; begin = at + 1) {
    parts.push_back(text.substr(begin, at - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

namespace {

/// A number followed by a unit of the table: "50MB" → 50 * 1000 * 1000.
template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<std::pair<std::string_view, std::uint64_t>, N>& units) {
  const auto digits_end = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_decimal(text.substr(0, digits_end));
  if (!number) return std::nullopt;
  const auto suffix = trimmed(text.substr(digits_end));
  for (const auto& [unit, factor] : units) {
    if (suffix != unit) continue;
    if (*number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
    return *number * factor;
  }
  return std::nullopt;
}


struct Utc {
  unsigned year, month, day, weekday, hour, minute, second;  // weekday: Sunday is 0

  explicit Utc(WallTime time) {
    using namespace std::chrono;
    const auto whole = floor<seconds>(time);
    const auto midnight = floor<days>(whole);
    const year_month_day date(midnight);
    const hh_mm_ss clock(whole - midnight);
    year = static_cast<unsigned>(static_cast<int>(date.year()));
    month = static_cast<unsigned>(date.month());
    day = static_cast<unsigned>(date.day());
    weekday = std::chrono::weekday(midnight).c_encoding();
    hour = static_cast<unsigned>(clock.hours().count());
    minute = static_cast<unsigned>(clock.minutes().count());
    second = static_cast<unsigned>(clock.seconds().count());
  }
};

/// Writes `value` in decimal over text[at, at + width), with leading zeros.
void put_digits(std::string& text, std::size_t at, std::size_t width, unsigned value) {
  for (std::size_t i = at + width; i > at; value /= 10) text[--i] = static_cast<char>('0' + value % 10);
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 11> units{{
      {"", 1}, {"B", 1}, {"KB", 1000}, {"kB", 1000}, {"MB", 1000'000}, {"GB", 1000'000'000},
      {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024ull * 1024 * 1024}, {"TB", 1000'000'000'000},
      {"TiB", 1024ull * 1024 * 1024 * 1024},
  }};
  return parse_with_unit(text, units);
}

std::optional<Duration> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 6> units{{
      {"ms", 1000'000}, {"s", 1000'000'000}, {"m", 60'000'000'000}, {"h", 3600'000'000'000},
      {"d", 86400'000'000'000}, {"w", 604800'000'000'000},
  }};
  const auto nanoseconds = parse_with_unit(text, units);
  if (!nanoseconds || *nanoseconds > static_cast<std::uint64_t>(Duration::max().count())) return std::nullopt;
  return Duration(static_cast<Duration::rep>(*nanoseconds));
}

std::string readable(Duration duration) {
  using namespace std::chrono;
  const auto ms = static_cast<double>(duration_cast<microseconds>(duration).count()) / 1000.0;
  if (ms < 1000) return fmt::format("{:.3g} ms", ms);
  const double seconds = ms / 1000;
  if (seconds < 120) return fmt::format("{:.3g} s", seconds);
  if (seconds < 7200) return fmt::format("{:.3g} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.3g} h", seconds / 3600);
  return fmt::format("{:.0f} d", seconds / 86400);
}

// Every message has several of these, so not by format strings, nor by the time zone database behind gmtime().
std::string rfc3339(WallTime time) {
  const Utc utc(time);
  std::string text = "0000-00-00T00:00:00Z";
  put_digits(text, 0, 4, utc.year);
  put_digits(text, 5, 2, utc.month);
  put_digits(text, 8, 2, utc.day);
  put_digits(text, 11, 2, utc.hour);
  put_digits(text, 14, 2, utc.minute);
  put_digits(text, 17, 2, utc.second);
  return text;
}

std::string rfc5322_date(WallTime time) {
  // Not strftime's names: those follow the locale.
  static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const Utc utc(time);
  std::string clock = "0000 00:00:00 +0000";
  put_digits(clock, 0, 4, utc.year);
  put_digits(clock, 5, 2, utc.hour);
  put_digits(clock, 8, 2, utc.minute);
  put_digits(clock, 11, 2, utc.second);
  std::string text = days[utc.weekday];
  text += ", ";
  text += std::to_string(utc.day);
  text += ' ';
  text += months[utc.month - 1];
  text += ' ';
  return text + clock;
}

std::optional<std::string_view> nearest_word(std::string_view misspelt, const std::vector<std::string_view>& known) {
  std::optional<std::string_view> best;
  std::size_t best_distance = misspelt.size() / 3 + 2;  // farther than this is another word, not a misspelling
  for (const std::string_view candidate : known) {
    // Levenshtein distance, one row at a time.
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < misspelt.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t replace = diagonal + (misspelt[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace postern
