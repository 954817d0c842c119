// Invariant: whatever the text, every entry has a canonical key that no other entry has, and absolute paths; and a map
// written from the entries reads as the same entries, without a fault.
#include "certs/map_file.h"

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

using namespace postern::certs;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const MapFile map = parse_map_file(text, "/etc/postern/sni.map");
  std::set<std::string_view> keys;
  std::string written;
  for (const auto& entry : map.entries) {
    require(keys.insert(entry.key).second);
    require(index_key(entry.key) == entry.key);
    require(entry.line > 0 && entry.files < map.file_lists.size());
    written += entry.key;
    require(!map.file_lists[entry.files].empty());
    for (const auto& file : map.file_lists[entry.files]) {
      require(file.starts_with('/'));
      written += ' ' + file;
    }
    written += '\n';
  }
  const MapFile again = parse_map_file(written, "/elsewhere");
  require(again.faults.empty() && again.entries.size() == map.entries.size());
  for (std::size_t i = 0; i < again.entries.size(); ++i) {
    require(again.entries[i].key == map.entries[i].key);
    require(again.file_lists[again.entries[i].files] == map.file_lists[map.entries[i].files]);
  }
  return 0;
}
