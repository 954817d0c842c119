// Typed access to one table of the configuration: each reader takes a key, checks type and range, and says what is
// wrong in the same words everywhere. What is absent or wrong leaves `into` as it was.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "config/diagnostics.h"
#include "config/tree.h"

namespace postern::config {

template <class T>
struct Range {
  T from;
  T to;
};

/// A string of the configuration that must be looked at more closely, with its place for messages.
struct Text {
  std::string value;
  Place place;
};

class Section {
 public:
  /// `name` is empty for the root, else as in Key::name. The table must live as long as the section.
  Section(const Table& table, Place place, std::string name, Diagnostics& diagnostics)
      : table_(&table), place_(std::move(place)), name_(std::move(name)), diagnostics_(&diagnostics) {}

  const Place& place() const { return place_; }
  bool has(std::string_view key) const { return find(*table_, key) != nullptr; }
  bool holds_string(std::string_view key) const;
  bool holds_table(std::string_view key) const;
  bool holds_empty_string(std::string_view key) const;

  void boolean(std::string_view key, bool& into) const;
  void string(std::string_view key, std::string& into) const;
  /// Relative to the file in which it stands.
  void path(std::string_view key, std::string& into) const;
  void duration(std::string_view key, Duration& into, Range<Duration> range) const;

  template <std::unsigned_integral T>
  void integer(std::string_view key, T& into, Range<T> range) const {
    if (const auto found = integer_in(key, {range.from, range.to})) into = static_cast<T>(*found);
  }

  /// Octets: "50MB", or a plain number.
  template <std::unsigned_integral T>
  void size(std::string_view key, T& into, Range<T> range) const {
    if (const auto found = size_in(key, {range.from, range.to})) into = static_cast<T>(*found);
  }

  template <class E>
  void choice(std::string_view key, E& into, std::initializer_list<std::pair<std::string_view, E>> known) const {
    std::vector<std::string_view> words;
    for (const auto& option : known) words.push_back(option.first);
    if (const auto index = choice_of(key, words)) into = (known.begin() + *index)->second;
  }

  /// A string with its place; nothing when absent, empty or no string.
  std::optional<Text> text(std::string_view key) const;
  /// One string, or a list of strings.
  std::vector<Text> texts(std::string_view key) const;
  std::vector<std::string> paths(std::string_view key) const;

  /// `[key]`
  std::optional<Section> table(std::string_view key) const;
  /// `[[key]]`
  std::vector<Section> tables(std::string_view key) const;
  /// The members of this section as sections of their own: `{ "192.0.2.1" = {...} }`.
  std::vector<std::pair<Text, Section>> members() const;

  /// Says that a key must be there.
  void require(std::string_view key, std::string_view what_for) const;

  void error(const Place& place, std::string_view key, std::string_view text) const {
    diagnostics_->error(place, full_name(key), text);
  }
  void warning(std::string_view key, std::string_view text) const;

 private:
  std::string full_name(std::string_view key) const {
    return name_.empty() || key.empty() ? name_ + std::string(key) : fmt::format("{}.{}", name_, key);
  }
  void mismatch(const Node& node, std::string_view key, std::string_view expected) const;
  std::optional<std::uint64_t> integer_in(std::string_view key, Range<std::uint64_t> range) const;
  std::optional<std::uint64_t> size_in(std::string_view key, Range<std::uint64_t> range) const;
  std::optional<std::ptrdiff_t> choice_of(std::string_view key, const std::vector<std::string_view>& words) const;

  const Table* table_;
  Place place_;
  std::string name_;
  Diagnostics* diagnostics_;
};

/// As it would be written in the configuration: "90s", "5m".
std::string as_written(Duration duration);

/// Each use of a name that must be unique; a second one is an error that names the first.
class UniqueNames {
 public:
  /// What the names are, for messages: "backend".
  explicit UniqueNames(std::string what) : what_(std::move(what)) {}
  /// False when the name was taken already, which has been reported then.
  bool claim(const Section& section, std::string_view key, const Place& place, const std::string& name);
  bool contains(const std::string& name) const { return taken_.contains(name); }
  std::vector<std::string_view> all() const;

 private:
  std::string what_;
  std::unordered_map<std::string, Place> taken_;
};

}  // namespace postern::config
