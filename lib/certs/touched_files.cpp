// Loading what was touched, of folders that need not be listed for it.
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "certs/loader_state.h"

namespace postern::certs {

namespace {
constexpr std::size_t worth_a_walk = 64;  // items of a folder: fewer are listed and looked at as fast
}  // namespace

LoadOutcome Loader::State::load_touched(const std::vector<FolderChange>& changes, WallTime at, const Executor& executor) {
  begin(at);
  std::set<std::string> to_list;
  for (const auto& change : changes) {
    if (auto items = change.names ? items_of(change.folder, *change.names) : std::nullopt) {
      touched.merge(*items);
    } else {
      to_list.insert(change.folder);
    }
  }
  return finish(inventory.look_again_at(to_list, now), Declared::AsBefore, &to_list, executor);
}

/// The items that are made of these files, if that is all that the folder's listing would tell: each name is one of them,
/// and there, or neither (what was renamed, or removed again). Nothing: it has to be listed. One walk through memory.
std::optional<std::set<ItemId>> Loader::State::items_of(const std::string& folder,
                                                        const std::set<std::string>& names) const {
  const auto place = inventory.places().find({Strength::Directory, folder});
  if (place == inventory.places().end() || place->second->items.size() < worth_a_walk) return std::nullopt;
  const auto hash = std::hash<std::string>()(folder);
  std::set<ItemId> items;
  std::set<std::string_view> known;
  std::size_t walked = 0;
  auto item = inventory.items().end();
  for (auto at = by_folder.lower_bound({hash, 0}); at != by_folder.end() && at->first == hash; ++at, ++walked) {
    if (item != inventory.items().end()) ++item;
    if (item == inventory.items().end() || item->first != at->second) item = inventory.items().find(at->second);
    // Others than the folder's own have to do with it through links, or a map.
    const bool is_own = item->second.place == place->second.get() && !item->second.may_be_links;
    if (!is_own || item->second.missing_since) return std::nullopt;
    for (const auto& file : item->second.files) {
      const auto name = names.find(std::string(last_part(file)));
      if (name == names.end()) continue;
      known.insert(*name);
      items.insert(item->first);
    }
  }
  if (walked != place->second->items.size()) return std::nullopt;
  for (const auto& name : names) {
    const std::string path = joined(folder, name);
    if (files->exists(path) != known.contains(name) || files->link_target(path)) return std::nullopt;
  }
  return items;
}

}  // namespace postern::certs
