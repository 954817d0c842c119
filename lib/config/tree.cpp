#include "config/tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace postern::config {

std::string Place::text() const {
  const std::string& name = file ? *file : std::string();
  return line == 0 ? name : fmt::format("{}:{}:{}", name, line, column);
}

const Member* find(const Table& table, std::string_view key) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Member& member) { return member.key == key; });
  return found == table.end() ? nullptr : &*found;
}

std::string describe(const Node& node) {
  struct Describer {
    std::string operator()(bool yes) const { return yes ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return fmt::format("\"{}\"", escaped(text, 80)); }
    std::string operator()(const Date&) const { return "a date or time"; }
    std::string operator()(const List&) const { return "a list"; }
    std::string operator()(const Table&) const { return "a table"; }
  };
  return std::visit(Describer{}, node.value);
}

}  // namespace postern::config
