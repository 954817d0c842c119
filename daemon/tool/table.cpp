#include "daemon/tool/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace postern::tool {

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const Column& column : columns_) widths_.push_back(column.title.size());
}

void Table::row(std::vector<std::string> values) {
  assert(values.size() == columns_.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) values[i] = "-";
    widths_[i] = std::max(widths_[i], values[i].size());
  }
  lines_.push_back({std::move(values), {}});
}

void Table::line(std::string text) { lines_.push_back({{}, std::move(text)}); }

std::string Table::take() {
  std::string text;
  if (lines_.empty()) return text;
  if (!std::exchange(titled_, true)) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.emplace_back(column.title);
    append(text, titles);
  }
  for (const Line& line : lines_) {
    if (line.values.empty()) {
      text += line.text + '\n';
    } else {
      append(text, line.values);
    }
  }
  lines_.clear();
  return text;
}

void Table::append(std::string& text, const std::vector<std::string>& values) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i != 0) text += "  ";
    text += columns_[i].side == Side::Right ? fmt::format("{:>{}}", values[i], widths_[i])
                                            : fmt::format("{:<{}}", values[i], widths_[i]);
  }
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace postern::tool
