#include "config/section.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/source.h"

namespace postern::config {

std::string as_written(Duration duration) {
  struct Unit {
    std::string_view name;
    Duration length;
  };
  using namespace std::chrono;
  static constexpr std::array units{Unit{"d", hours(24)}, Unit{"h", hours(1)}, Unit{"m", minutes(1)},
                                    Unit{"s", seconds(1)}};
  for (const Unit& unit : units) {
    if (duration >= unit.length && duration % unit.length == Duration::zero()) {
      return fmt::format("{}{}", duration / unit.length, unit.name);
    }
  }
  return fmt::format("{}ms", duration_cast<milliseconds>(duration).count());
}

void Section::mismatch(const Node& node, std::string_view key, std::string_view expected) const {
  error(node.place, key, fmt::format("expected {}, found {}", expected, describe(node)));
}

void Section::warning(std::string_view key, std::string_view text) const {
  const Member* member = find(*table_, key);
  diagnostics_->warning(member != nullptr ? member->place : place_, full_name(key), text);
}

void Section::require(std::string_view key, std::string_view what_for) const {
  if (!has(key)) error(place_, key, fmt::format("is missing: {}", what_for));
}

bool Section::holds_string(std::string_view key) const {
  const Member* member = find(*table_, key);
  return member != nullptr && std::holds_alternative<std::string>(member->node.value);
}

bool Section::holds_table(std::string_view key) const {
  const Member* member = find(*table_, key);
  return member != nullptr && std::holds_alternative<Table>(member->node.value);
}

bool Section::holds_empty_string(std::string_view key) const {
  return holds_string(key) && std::get<std::string>(find(*table_, key)->node.value).empty();
}

void Section::boolean(std::string_view key, bool& into) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return;
  if (const auto* yes = std::get_if<bool>(&member->node.value)) {
    into = *yes;
  } else {
    mismatch(member->node, key, "true or false");
  }
}

std::optional<Text> Section::text(std::string_view key) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return std::nullopt;
  const auto* found = std::get_if<std::string>(&member->node.value);
  if (found != nullptr && !found->empty()) return Text{*found, member->node.place};
  mismatch(member->node, key, "a string that is not empty");
  return std::nullopt;
}

void Section::string(std::string_view key, std::string& into) const {
  if (auto found = text(key)) into = std::move(found->value);
}

void Section::path(std::string_view key, std::string& into) const {
  if (const auto found = text(key)) into = relative_to(*found->place.file, found->value);
}

std::vector<Text> Section::texts(std::string_view key) const {
  std::vector<Text> made;
  const Member* member = find(*table_, key);
  if (member == nullptr) return made;
  const auto* list = std::get_if<List>(&member->node.value);
  if (list == nullptr) {
    if (auto one = text(key)) made.push_back(std::move(*one));
    return made;
  }
  for (const Node& item : *list) {
    const auto* found = std::get_if<std::string>(&item.value);
    if (found != nullptr && !found->empty()) {
      made.push_back(Text{*found, item.place});
    } else {
      mismatch(item, key, "strings that are not empty");
    }
  }
  return made;
}

std::vector<std::string> Section::paths(std::string_view key) const {
  std::vector<std::string> made;
  for (const Text& text : texts(key)) made.push_back(relative_to(*text.place.file, text.value));
  return made;
}

void Section::duration(std::string_view key, Duration& into, Range<Duration> range) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return;
  const auto* written = std::get_if<std::string>(&member->node.value);
  const auto found = written != nullptr ? parse_duration(*written) : std::nullopt;
  if (found && *found >= range.from && *found <= range.to) {
    into = *found;
  } else {
    mismatch(member->node, key,
             fmt::format("a duration from \"{}\" to \"{}\"", as_written(range.from), as_written(range.to)));
  }
}

std::optional<std::uint64_t> Section::integer_in(std::string_view key, Range<std::uint64_t> range) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return std::nullopt;
  const auto* found = std::get_if<std::int64_t>(&member->node.value);
  if (found != nullptr && *found >= 0 && static_cast<std::uint64_t>(*found) >= range.from &&
      static_cast<std::uint64_t>(*found) <= range.to) {
    return static_cast<std::uint64_t>(*found);
  }
  mismatch(member->node, key, fmt::format("an integer from {} to {}", range.from, range.to));
  return std::nullopt;
}

std::optional<std::uint64_t> Section::size_in(std::string_view key, Range<std::uint64_t> range) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return std::nullopt;
  std::optional<std::uint64_t> found;
  if (const auto* written = std::get_if<std::string>(&member->node.value)) found = parse_size(*written);
  if (const auto* octets = std::get_if<std::int64_t>(&member->node.value); octets != nullptr && *octets >= 0) {
    found = static_cast<std::uint64_t>(*octets);
  }
  if (found && *found >= range.from && *found <= range.to) return found;
  mismatch(member->node, key,
           fmt::format("a size from {} to {} octets, such as \"64KiB\" or \"50MB\"", range.from, range.to));
  return std::nullopt;
}

std::optional<std::ptrdiff_t> Section::choice_of(std::string_view key,
                                                 const std::vector<std::string_view>& words) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return std::nullopt;
  if (const auto* word = std::get_if<std::string>(&member->node.value)) {
    const auto found = std::find(words.begin(), words.end(), *word);
    if (found != words.end()) return found - words.begin();
  }
  mismatch(member->node, key, fmt::format("\"{}\"", fmt::join(words, "\" or \"")));
  return std::nullopt;
}

std::optional<Section> Section::table(std::string_view key) const {
  const Member* member = find(*table_, key);
  if (member == nullptr) return std::nullopt;
  if (const auto* table = std::get_if<Table>(&member->node.value)) {
    return Section(*table, member->place, full_name(key), *diagnostics_);
  }
  mismatch(member->node, key, name_.empty() ? fmt::format("a section [{}]", key) : "a table such as { key = \"value\" }");
  return std::nullopt;
}

std::vector<Section> Section::tables(std::string_view key) const {
  std::vector<Section> made;
  const Member* member = find(*table_, key);
  if (member == nullptr) return made;
  const std::string expected = fmt::format("one or more sections [[{}]]", key);
  const auto* list = std::get_if<List>(&member->node.value);
  if (list == nullptr) {
    const bool single = std::holds_alternative<Table>(member->node.value);
    mismatch(member->node, key, single ? expected + ", in double brackets" : expected);
    return made;
  }
  for (const Node& item : *list) {
    if (const auto* table = std::get_if<Table>(&item.value)) {
      made.push_back(Section(*table, item.place, full_name(key), *diagnostics_));
    } else {
      mismatch(item, key, expected);
    }
  }
  return made;
}

std::vector<std::pair<Text, Section>> Section::members() const {
  std::vector<std::pair<Text, Section>> made;
  for (const Member& member : *table_) {
    if (auto section = table(member.key)) made.emplace_back(Text{member.key, member.place}, std::move(*section));
  }
  return made;
}

bool UniqueNames::claim(const Section& section, std::string_view key, const Place& place, const std::string& name) {
  const auto [present, inserted] = taken_.try_emplace(name, place);
  if (!inserted) {
    section.error(place, key,
                  fmt::format("the {} \"{}\" stands already at {}; remove one of the two", what_, escaped(name, 80),
                              present->second.text()));
  }
  return inserted;
}

std::vector<std::string_view> UniqueNames::all() const {
  std::vector<std::string_view> names;
  for (const auto& taken : taken_) names.push_back(taken.first);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace postern::config
