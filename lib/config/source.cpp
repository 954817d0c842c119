#include "config/source.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace postern::config {

std::string relative_to(const std::string& file, const std::string& path) {
  const auto slash = file.rfind('/');
  if (path.starts_with('/') || slash == std::string::npos) return path;
  return file.substr(0, slash + 1) + path;
}

namespace {

// Includes of includes: more than this is a loop that changes its names through links.
constexpr int include_depth_max = 8;
constexpr std::size_t file_octets_max = 64 * 1024 * 1024;

/// Dotted keys nest a table for each dot, and toml++ frees nested tables by recursion: a line that nests many
/// thousands would overflow the stack. No line that is meant has hundreds of dots outside quotes and comments.
constexpr std::size_t dots_max = 256;

bool nests_too_deep(std::string_view text) {
  std::size_t dots = 0;
  char quote = 0;
  for (const char c : text) {
    if (c == '\n') {
      dots = 0;
      quote = 0;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'' || c == '#') {
      quote = c == '#' ? '\n' : c;
    } else if (c == '.' && ++dots > dots_max) {
      return true;
    }
  }
  return false;
}

class Reader {
 public:
  Reader(const Environment& environment, Diagnostics& diagnostics)
      : environment_(environment), diagnostics_(diagnostics) {}

  void read(const std::string& path, const Place& named_at, int depth);
  Source take() { return std::move(source_); }

 private:
  /// Reading fails where the file is asked for, if that is in another file.
  tl::expected<Table, SyntaxError> parse(const std::string& path, const Place& named_at);
  void include(const Member& member, int depth);
  void include_pattern(const Node& pattern, int depth);
  void merge(Table& into, Table from, const std::string& prefix);
  void expand(Node& node, const std::string& key);
  void expand(std::string& text, const Place& place, const std::string& key);

  const Environment& environment_;
  Diagnostics& diagnostics_;
  Source source_;
};

void Reader::read(const std::string& path, const Place& named_at, int depth) {
  if (std::find(source_.files.begin(), source_.files.end(), path) != source_.files.end()) {
    diagnostics_.error(named_at, "include", fmt::format("{} is included twice", path));
    return;
  }
  source_.files.push_back(path);
  diagnostics_.know_file(path);
  auto table = parse(path, named_at);
  if (!table) {
    source_.complete = false;
    diagnostics_.error(table.error().place, "", table.error().text);
    return;
  }
  for (Member& member : *table) expand(member.node, member.key);
  const auto include_at =
      std::find_if(table->begin(), table->end(), [](const Member& member) { return member.key == "include"; });
  std::optional<Member> include_list;
  if (include_at != table->end()) {
    include_list = std::move(*include_at);
    table->erase(include_at);
  }
  merge(source_.root, std::move(*table), "");
  if (include_list) include(*include_list, depth);
}

tl::expected<Table, SyntaxError> Reader::parse(const std::string& path, const Place& named_at) {
  const Place whole_file{std::make_shared<const std::string>(path), 0, 0};
  const auto text = environment_.read_file(path);
  if (!text) {
    if (!named_at.file) return tl::unexpected(SyntaxError{whole_file, "cannot be read: " + text.error().text});
    return tl::unexpected(SyntaxError{named_at, fmt::format("{} cannot be read: {}", path, text.error().text)});
  }
  if (text->size() > file_octets_max || nests_too_deep(*text)) {
    return tl::unexpected(SyntaxError{whole_file, "is no configuration: too large, or keys with hundreds of dots"});
  }
  return parse_toml(*text, path);
}

void Reader::include(const Member& member, int depth) {
  if (depth >= include_depth_max) {
    diagnostics_.error(member.place, "include", fmt::format("files include each other {} deep", depth));
  } else if (const auto* list = std::get_if<List>(&member.node.value)) {
    for (const Node& pattern : *list) include_pattern(pattern, depth);
  } else {
    include_pattern(member.node, depth);
  }
}

void Reader::include_pattern(const Node& pattern, int depth) {
  const auto* text = std::get_if<std::string>(&pattern.value);
  if (text == nullptr || text->empty()) {
    diagnostics_.error(pattern.place, "include",
                       fmt::format("expected a path or a list of paths such as [\"conf.d/*.toml\"], found {}",
                                   describe(pattern)));
    return;
  }
  const std::string path = relative_to(*pattern.place.file, *text);
  const auto matches = environment_.glob(path);
  const bool is_pattern = path.find_first_of("*?[") != std::string::npos;
  if (matches.empty() && !is_pattern) {
    diagnostics_.error(pattern.place, "include", fmt::format("there is no file {}", escaped(path)));
  }
  for (const std::string& match : matches) read(match, pattern.place, depth + 1);
}

void Reader::merge(Table& into, Table from, const std::string& prefix) {
  for (Member& member : from) {
    const auto present =
        std::find_if(into.begin(), into.end(), [&](const Member& mine) { return mine.key == member.key; });
    if (present == into.end()) {
      into.push_back(std::move(member));
      continue;
    }
    auto* my_table = std::get_if<Table>(&present->node.value);
    auto* new_table = std::get_if<Table>(&member.node.value);
    auto* my_list = std::get_if<List>(&present->node.value);
    auto* new_list = std::get_if<List>(&member.node.value);
    const std::string key = prefix + member.key;
    if (my_table != nullptr && new_table != nullptr) {
      merge(*my_table, std::move(*new_table), key + '.');
    } else if (my_list != nullptr && new_list != nullptr) {
      std::move(new_list->begin(), new_list->end(), std::back_inserter(*my_list));
    } else {
      diagnostics_.error(member.place, escaped(key, 100),
                         fmt::format("is set already at {}; remove one of the two", present->place.text()));
    }
  }
}

void Reader::expand(Node& node, const std::string& key) {
  if (auto* text = std::get_if<std::string>(&node.value)) expand(*text, node.place, key);
  if (auto* list = std::get_if<List>(&node.value)) {
    for (Node& item : *list) expand(item, key);
  }
  if (auto* table = std::get_if<Table>(&node.value)) {
    for (Member& member : *table) expand(member.node, key + '.' + member.key);
  }
}

void Reader::expand(std::string& text, const Place& place, const std::string& key) {
  std::string made;
  std::size_t done = 0;
  for (std::size_t at; (at = text.find("${", done)) != std::string::npos;) {
    if (at > done && text[at - 1] == '$') {
      made += text.substr(done, at - done);
      made += '{';
      done = at + 2;
      continue;
    }
    made += text.substr(done, at - done);
    const auto end = text.find('}', at);
    const std::string name = text.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    const auto value = end == std::string::npos || name.empty() ? std::nullopt : environment_.variable(name);
    if (!value) {
      diagnostics_.error(place, escaped(key, 100),
                         fmt::format("${{{}}}: there is no such environment variable (for a plain \"${{\" write "
                                     "\"$${{\")",
                                     escaped(name, 80)));
      return;
    }
    made += *value;
    done = end + 1;
  }
  if (done != 0) text = made + text.substr(done);
}

}  // namespace

Source read_source(const std::string& path, const Environment& environment, Diagnostics& diagnostics) {
  Reader reader(environment, diagnostics);
  reader.read(path, Place{}, 0);
  return reader.take();
}

}  // namespace postern::config
