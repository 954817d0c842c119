#include "certs/map_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/dns_name.h"
#include "base/text.h"

namespace postern::certs {

namespace {

constexpr std::string_view blanks = " \t\r\v\f";
constexpr std::string_view separators = " \t\r\v\f,";

class Reader {
 public:
  Reader(std::string_view text, const std::string& path) : text_(text), path_(path) {
    const auto slash = path.rfind('/');
    folder_ = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  }

  MapFile read() {
    std::uint32_t number = 0;
    for (std::size_t begin = 0; begin < text_.size();) {
      const auto end = std::min(text_.find('\n', begin), text_.size());
      take_line(text_.substr(begin, end - begin), ++number);
      begin = end + 1;
    }
    finish_entry();
    drop_duplicates();
    return std::move(map_);
  }

 private:
  void take_line(std::string_view line, std::uint32_t number) {
    const auto first = line.find_first_not_of(blanks);
    if (first == std::string_view::npos || line[first] == '#') return;
    if (first == 0) {
      finish_entry();
      logical_ = line;
      line_ = number;
    } else if (line_ == 0) {
      fault(number, "begins with white space, but there is no line before it that it could continue");
    } else {
      logical_ += ' ';
      logical_ += line;
    }
  }

  void finish_entry() {
    if (line_ == 0) return;
    const std::string_view logical = logical_;
    const auto name_end = std::min(logical.find_first_of(blanks), logical.size());
    const auto name = logical.substr(0, name_end);
    const auto value = trimmed(logical.substr(name_end));
    auto key = index_key(name);
    if (key.empty()) {
      fault(line_, fmt::format("\"{}\" is no host name: expected one like mx.example.com, or .example.com for all "
                               "names below example.com",
                               escaped(name)));
    } else if (const auto files = file_list(value, name)) {
      map_.entries.push_back({std::move(key), *files, line_});
    }
    line_ = 0;
  }

  std::optional<std::uint32_t> file_list(std::string_view value, std::string_view name) {
    if (const auto known = lists_.find(value); known != lists_.end()) return known->second;
    std::vector<std::string> files;
    for (std::size_t begin = 0; (begin = value.find_first_not_of(separators, begin)) != std::string_view::npos;) {
      const auto end = std::min(value.find_first_of(separators, begin), value.size());
      const auto file = value.substr(begin, end - begin);
      if (std::any_of(file.begin(), file.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
        fault(line_, fmt::format("\"{}\" cannot be a file name", escaped(file)));
        return std::nullopt;
      }
      files.push_back(file.starts_with('/') ? std::string(file) : folder_ + std::string(file));
      begin = end;
    }
    if (files.empty()) {
      fault(line_, fmt::format("{} has no file: expected the PEM files with its private key and certificate chain",
                               escaped(name)));
      return std::nullopt;
    }
    // Two ways of writing them may mean the same files.
    std::string resolved;
    for (const auto& file : files) (resolved += file) += '\n';
    const auto [known, is_new] = lists_.emplace(std::move(resolved), static_cast<std::uint32_t>(map_.file_lists.size()));
    const auto number = known->second;
    if (is_new) map_.file_lists.push_back(std::move(files));
    lists_.emplace(std::string(value), number);
    return number;
  }

  void drop_duplicates() {
    std::unordered_map<std::string_view, std::uint32_t> line_of;
    line_of.reserve(map_.entries.size());
    std::vector<bool> drop(map_.entries.size());
    bool any = false;
    for (std::size_t i = 0; i < map_.entries.size(); ++i) {
      const auto& entry = map_.entries[i];
      const auto [first, is_new] = line_of.emplace(entry.key, entry.line);
      if (is_new) continue;
      drop[i] = any = true;
      fault(entry.line, fmt::format("{} stands in line {} already, which is the one that counts", entry.key,
                                    first->second), Fault::Severity::Warning);
    }
    if (!any) return;
    std::size_t i = 0;
    std::erase_if(map_.entries, [&](const MapEntry&) { return drop[i++]; });
  }

  void fault(std::uint32_t line, std::string text, Fault::Severity severity = Fault::Severity::Error) {
    map_.faults.push_back({severity, fmt::format("{}:{}", path_, line), std::move(text)});
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  std::string_view text_;
  const std::string& path_;
  std::string folder_;
  MapFile map_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> lists_;  // as written, and as resolved
  std::string logical_;
  std::uint32_t line_ = 0;  // where logical_ began; 0: there is none
};

}  // namespace

MapFile parse_map_file(std::string_view text, const std::string& path) { return Reader(text, path).read(); }

std::string index_key(std::string_view name) {
  std::string_view prefix;
  if (name.starts_with("*.")) {
    prefix = "*.";
  } else if (name.starts_with('.')) {
    prefix = ".";
  }
  const auto host = DnsName::from_utf8(name.substr(prefix.size()));
  return host ? std::string(prefix) + host->text() : std::string();
}

}  // namespace postern::certs
