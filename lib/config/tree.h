// A configuration as a tree of values that know where they stand, whatever the file format. toml_parse makes it from
// one file, source puts files together, section reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

namespace postern::config {

struct Place {
  std::shared_ptr<const std::string> file;
  unsigned line = 0;    ///< from 1; 0: the file as a whole
  unsigned column = 0;  ///< from 1, in characters

  /// `posternd.toml:12:1`
  std::string text() const;
};

struct Node;
struct Member;
using List = std::vector<Node>;
using Table = std::vector<Member>;  ///< each key once

/// TOML has dates and times; no key of ours takes one.
struct Date {};

struct Node {
  std::variant<bool, std::int64_t, double, std::string, Date, List, Table> value;
  Place place;
};

struct Member {
  std::string key;
  Place place;  ///< of the key
  Node node;
};

const Member* find(const Table& table, std::string_view key);

/// For messages: `"many"`, `7`, `a list`.
std::string describe(const Node& node);

struct SyntaxError {
  Place place;
  std::string text;
};

/// The first syntax error ends the parsing: what stands behind one cannot be trusted.
tl::expected<Table, SyntaxError> parse_toml(std::string_view text, const std::string& file);

}  // namespace postern::config
