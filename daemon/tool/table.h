// Rows under titles, for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::tool {

/// Each column is as wide as what stands in it: most lists fit into 80 columns so, and a long value moves only its own
/// table. Two spaces stand between columns.
class Table {
 public:
  enum class Side { Left, Right };
  struct Column {
    std::string_view title;
    Side side = Side::Left;
  };

  explicit Table(std::vector<Column> columns);

  /// A value for each column; empty ones show as "-".
  void row(std::vector<std::string> values);
  /// A line below the row that was added last, as it is.
  void line(std::string text);

  /// The rows since the last call, under the titles at the first one; nothing without rows. Widths are kept, and grow.
  std::string take();

 private:
  struct Line {
    std::vector<std::string> values;
    std::string text;  // where there are no values
  };
  void append(std::string& text, const std::vector<std::string>& values) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<Line> lines_;
  bool titled_ = false;
};

}  // namespace postern::tool
