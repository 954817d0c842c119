// The only file that sees toml++. It is a library of its own, built without sanitizers: with them toml++ takes minutes
// to compile, and what it does is its authors' to test.
//
// toml++ 3.3 asserts where it should report: `[{` or `[[=` as a header is enough. A slip of the pen must not end a daemon
// that reloads, so its assertions throw here, and are caught here; they would be nothing at all under NDEBUG.
#undef NDEBUG
#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace postern::config {
namespace {
struct AssertionFailed {};
[[noreturn]] void assertion_failed() { throw AssertionFailed{}; }
}  // namespace
}  // namespace postern::config

#define TOML_ASSERT(expression) \
  if (!(expression)) ::postern::config::assertion_failed()
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/text.h"
#include "config/tree.h"

namespace postern::config {

namespace {

// No key of ours is nested deeper than three tables. Values are taken over by recursion: this bounds it.
constexpr int depth_max = 16;

class Conversion {
 public:
  explicit Conversion(std::shared_ptr<const std::string> file) : file_(std::move(file)) {}

  const std::shared_ptr<const std::string>& file() const { return file_; }
  Place place(const toml::source_region& region) const { return Place{file_, region.begin.line, region.begin.column}; }

  Table table(const toml::table& from, int depth) {
    Table made;
    made.reserve(from.size());
    for (const auto& [key, value] : from) {
      made.push_back(Member{std::string(key.str()), place(key.source()), node(value, depth + 1)});
    }
    return made;
  }

  const std::optional<SyntaxError>& error() const { return error_; }

 private:
  Node node(const toml::node& from, int depth) {
    Node made{Date{}, place(from.source())};
    if (depth > depth_max) {
      error_ = SyntaxError{made.place, fmt::format("tables and lists are nested more than {} deep", depth_max)};
    } else if (const auto* text = from.as_string()) {
      made.value = text->get();
    } else if (const auto* integer = from.as_integer()) {
      made.value = integer->get();
    } else if (const auto* number = from.as_floating_point()) {
      made.value = number->get();
    } else if (const auto* yes = from.as_boolean()) {
      made.value = yes->get();
    } else if (const auto* members = from.as_table()) {
      made.value = table(*members, depth);
    } else if (const auto* items = from.as_array()) {
      List list;
      for (const toml::node& item : *items) list.push_back(node(item, depth + 1));
      made.value = std::move(list);
    }
    return made;
  }

  std::shared_ptr<const std::string> file_;
  std::optional<SyntaxError> error_;
};

/// Nothing when an assertion failed.
std::optional<toml::parse_result> parse(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const AssertionFailed&) {
    return std::nullopt;
  }
}

/// An assertion has no place. The parser goes from left to right, so the text up to the line where it failed fails, and
/// any shorter one does not.
unsigned line_that_asserts(std::string_view text) {
  std::vector<std::size_t> line_ends;
  for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    line_ends.push_back(at + 1);
  }
  const auto found = std::partition_point(line_ends.begin(), line_ends.end(),
                                          [&](std::size_t end) { return parse(text.substr(0, end)).has_value(); });
  return static_cast<unsigned>(found - line_ends.begin()) + 1;
}

/// What the parser says, and what would help where it takes a person some thought.
std::string explained(std::string_view description) {
  std::string text = escaped(description, 500);
  const auto about = [&](std::string_view words) { return description.find(words) != std::string_view::npos; };
  if (about("could not determine value type")) text += "; text stands in double quotes: key = \"value\"";
  if (about("cannot redefine existing")) text += ": it stands above already";
  return text;
}

}  // namespace

tl::expected<Table, SyntaxError> parse_toml(std::string_view text, const std::string& file) {
  Conversion conversion(std::make_shared<const std::string>(file));
  const auto parsed = parse(text);
  if (!parsed) {
    return tl::unexpected(SyntaxError{Place{conversion.file(), line_that_asserts(text), 1},
                                      "expected a [section] or key = value"});
  }
  if (parsed->failed()) {
    const toml::parse_error& error = parsed->error();
    return tl::unexpected(SyntaxError{conversion.place(error.source()), explained(error.description())});
  }
  Table root = conversion.table(parsed->table(), 0);
  if (conversion.error()) return tl::unexpected(*conversion.error());
  return root;
}

}  // namespace postern::config
