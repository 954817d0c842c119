#include "certs/inventory.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "certs/map_file.h"

namespace postern::certs {

namespace {

constexpr std::size_t map_octets_max = std::size_t{512} * 1024 * 1024;

using Ids = std::vector<NameIndex::Id>;

void sort_unique(Ids& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

Ids without(const Ids& from, const Ids& these) {
  Ids rest;
  std::set_difference(from.begin(), from.end(), these.begin(), these.end(), std::back_inserter(rest));
  return rest;
}

}  // namespace

Inventory::Inventory(const Inventory& other, FileSource& files, ClaimTable& names)
    : files_(files),
      names_(names),
      items_(other.items_),
      leaving_(other.leaving_),
      missing_(other.missing_),
      next_id_(other.next_id_),
      looks_(other.looks_) {
  std::unordered_map<const Place*, Place*> copy_of{{nullptr, nullptr}};
  for (const auto& [key, place] : other.places_) {
    auto copy = std::make_unique<Place>(*place);
    copy_of[place.get()] = copy.get();
    if (!copy->faults.empty()) faulty_places_.emplace(copy->kind, copy->path);
    places_[{copy->kind, copy->path}] = std::move(copy);
  }
  for (auto& [key, place] : places_) place->parent = copy_of.at(place->parent);
  for (auto& [id, item] : items_) {
    item.place = copy_of.at(item.place);
    ids_.emplace(item.key, id);
  }
}

Inventory::Look Inventory::look(const SourceSettings& settings, WallTime now, const Executor& executor) {
  begin_look(now);
  executor_ = &executor;
  look_at_configuration(settings);
  std::uint32_t order = 0;
  for (const auto& path : settings.maps) look_at_map(path, order++);
  order = 0;
  for (const auto& path : settings.directories) {
    look_at_folder(path, order++, 0, nullptr, Subfolders::All, list(files_, path, 0, known_folder(path)));
  }
  drop_unwanted();
  end_look();
  return std::move(look_);
}

Inventory::Look Inventory::look_again_at(const std::set<std::string>& folders, WallTime now) {
  begin_look(now);
  const Executor here = run_inline;
  executor_ = &here;
  std::vector<Place*> concerned;
  const auto maps_end = places_.lower_bound({Strength::Directory, ""});
  for (auto map = places_.lower_bound({Strength::Map, ""}); map != maps_end; ++map) {
    const auto& around = map->second->folders;
    if (std::any_of(around.begin(), around.end(), [&](const auto& folder) { return folders.contains(folder); })) {
      concerned.push_back(map->second.get());
    }
  }
  for (const auto& folder : folders) {  // sorted: parents come first
    const auto known = places_.find({Strength::Directory, folder});
    if (known != places_.end()) concerned.push_back(known->second.get());
  }
  for (Place* place : concerned) {
    // A folder that its parent no longer has: drop_gone_folders() sees to it.
    const Place* parent = place->parent;
    if (parent != nullptr && parent->listed_in_look == looks_ && !parent->still_has(*place)) continue;
    if (place->kind == Strength::Map) {
      look_at_map(place->path, place->order);
    } else {
      place->state.reset();  // something has happened there, whatever its times say
      look_at_folder(place->path, place->order, place->depth, place->parent, Subfolders::New,
                     list(files_, place->path, place->depth, place));
    }
  }
  end_look();
  return std::move(look_);
}

void Inventory::begin_look(WallTime now) {
  ++looks_;
  now_ = now;
  look_ = Look();
  visited_.clear();
  listed_.clear();
}

void Inventory::end_look() {
  drop_gone_folders();
  drop_missing();
  drop_leaving_names();
}

Place& Inventory::place(Strength kind, const std::string& path, std::uint32_t order, Place* parent) {
  auto known = places_.find({kind, path});
  if (known == places_.end()) {
    auto fresh = std::make_unique<Place>();
    fresh->kind = kind;
    fresh->path = path;
    const PlaceKey key(kind, fresh->path);
    known = places_.emplace(key, std::move(fresh)).first;
    look_.folders_changed = true;
  }
  Place& place = *known->second;
  if (place.order != order) place.state.reset();  // its items get another rank: they are listed again
  place.order = order;
  place.parent = parent;
  if (parent != nullptr) parent->had_subfolders = true;
  place.wanted_in_look = looks_;
  return place;
}

/// The same files may be in several places, and are another item in each kind of place and in each map.
std::string Inventory::key_of(const Place& place, const Found& what) {
  const std::string_view map = place.kind == Strength::Map ? std::string_view(place.path) : std::string_view();
  std::size_t octets = 2 + map.size() + 1 + what.distinction.size();
  for (const auto& file : what.files) octets += 1 + file.size();
  std::string key;
  key.reserve(octets);
  key += static_cast<char>('0' + static_cast<int>(place.kind));
  (key += ':') += map;
  for (const auto& file : what.files) (key += '\0') += file;
  (key += '\0') += what.distinction;
  return key;
}

Item& Inventory::found(Place& place, Found what) {
  std::string key = key_of(place, what);
  const auto known = ids_.find(key);
  const bool is_new = known == ids_.end();
  const ItemId id = is_new ? next_id_++ : known->second;
  Item& item = is_new ? items_.try_emplace(items_.end(), id)->second : items_.at(id);
  if (is_new) {
    look_.added.push_back(id);
    item.key = std::move(key);
    ids_.emplace(item.key, id);
  }
  if (item.place != &place) {
    if (item.place != nullptr) item.place->items.erase(id);
    place.items.insert(id);
  }
  if (!is_new && (item.order != place.order || item.id != what.id)) look_.renamed.insert(id);
  item.place = &place;
  item.files = std::move(what.files);
  item.form = what.form;
  item.stem = std::move(what.stem);
  item.id = std::move(what.id);
  item.origin = std::move(what.origin);
  item.order = place.order;
  item.seen_in_look = looks_;
  return item;
}

void Inventory::set_faults(Place& place, std::vector<Fault> faults) {
  for (const auto& fault : faults) {
    if (std::find(place.faults.begin(), place.faults.end(), fault) == place.faults.end()) {
      look_.new_faults.push_back(fault);
    }
  }
  place.faults = std::move(faults);
  if (place.faults.empty()) {
    faulty_places_.erase({place.kind, place.path});
  } else {
    faulty_places_.emplace(place.kind, place.path);
  }
}

std::vector<Fault> Inventory::faults() const {
  std::vector<Fault> faults;
  for (const auto& key : faulty_places_) {
    const auto& of_place = places_.at(key)->faults;
    faults.insert(faults.end(), of_place.begin(), of_place.end());
  }
  return faults;
}

void Inventory::set_folders(Place& map, std::vector<std::string> folders) {
  if (folders != map.folders) look_.folders_changed = true;
  map.folders = std::move(folders);
}

void Inventory::look_at_configuration(const SourceSettings& settings) {
  Place& configuration = place(Strength::Configuration, "", 0, nullptr);
  configuration.listed_in_look = looks_;
  listed_.push_back(&configuration);
  std::vector<Fault> faults;
  std::map<std::vector<std::string>, unsigned> times;
  std::uint32_t order = 0;
  for (const auto& given : settings.certificates) {
    configuration.order = order++;
    Found what;
    what.files.push_back(given.chain);
    if (!given.key.empty()) what.files.push_back(given.key);
    what.form = given.key.empty() ? Form::Together : Form::Pair;
    what.id = given.id;
    what.origin = given.origin;
    // The same files may stand there twice, with different names.
    if (const unsigned n = times[what.files]++; n > 0) what.distinction = fmt::format("{}", n);
    Item& item = found(configuration, std::move(what));
    Ids names;
    for (const auto& name : given.names) {
      const auto key = index_key(name);
      if (key.empty()) {
        faults.push_back({Fault::Severity::Error, item.label(),
                          fmt::format("\"{}\" is no host name: expected one like mx.example.com or *.example.com",
                                      escaped(name))});
      } else {
        names.push_back(names_.intern(key));
      }
    }
    declare(ids_.at(item.key), item, std::move(names), nullptr);
  }
  set_faults(configuration, std::move(faults));
}

void Inventory::look_at_map(const std::string& path, std::uint32_t order) {
  Place& map = place(Strength::Map, path, order, nullptr);
  const auto state = files_.state(path);
  set_folders(map, folders_of(files_, path));
  if (state && map.state == *state) {
    map.same_in_look = looks_;
    listed_.push_back(&map);
    return;
  }
  std::optional<std::string> error;
  if (!state) {
    error = state.error().text;
  } else {
    const auto contents = files_.read(path, map_octets_max);
    ++look_.files_read;
    if (contents) return take_map(map, *contents);
    error = contents.error().text;
  }
  map.state.reset();
  set_faults(map, {{Fault::Severity::Error, path,
                    *error + (map.listed_in_look > 0 ? "; its names stay as they were read before" : "")}});
}

void Inventory::take_map(Place& map, const FileContents& contents) {
  map.state = contents.state;
  MapFile parsed = parse_map_file(contents.bytes, map.path);
  std::vector<Ids> names_of(parsed.file_lists.size());
  Ids all;
  for (const auto& entry : parsed.entries) {
    const auto name = names_.intern(entry.key);
    names_of[entry.files].push_back(name);
    all.push_back(name);
  }
  sort_unique(all);
  const bool whole = std::none_of(parsed.faults.begin(), parsed.faults.end(), [](const Fault& fault) {
    return fault.severity == Fault::Severity::Error;
  });
  // In a map with an error, names may seem to be gone whose line could not be understood: nothing is taken away then.
  if (whole || map.listed_in_look == 0) map.listed_in_look = looks_;
  listed_.push_back(&map);
  for (std::size_t i = 0; i < parsed.file_lists.size(); ++i) {
    Found what;
    what.files = std::move(parsed.file_lists[i]);
    what.form = Form::Together;
    Item& item = found(map, std::move(what));
    declare(ids_.at(item.key), item, std::move(names_of[i]), &all);
  }
  for (const auto id : map.items) {
    if (Item& item = items_.at(id); item.seen_in_look != looks_) declare(id, item, {}, &all);
  }
  look_.maps_changed = true;
  set_faults(map, std::move(parsed.faults));
}

/// `elsewhere`: all names of the item's map. One that went over to other files leaves at once; one that is nowhere any
/// more may be in a map that is just being written. Null: names that are not given leave at once.
void Inventory::declare(ItemId id, Item& item, Ids names, const Ids* elsewhere) {
  sort_unique(names);
  item.leaving.clear();
  leaving_.erase(id);
  if (elsewhere != nullptr) {
    const Ids gone = without(without(item.declared, names), *elsewhere);
    if (!gone.empty()) {
      names.insert(names.end(), gone.begin(), gone.end());
      sort_unique(names);
      if (item.place->listed_in_look == looks_ && item.seen_in_look == looks_) {
        item.leaving = gone;
        item.leaving_since = now_;
        leaving_.insert(id);
      }
    }
  }
  if (names == item.declared) return;
  item.declared = std::move(names);
  look_.renamed.insert(id);
}

void Inventory::call_again(WallTime since, const Place& place) {
  if (place.kind == Strength::Directory) look_.look_again_at.insert(place.path);
  if (place.parent != nullptr) look_.look_again_at.insert(place.parent->path);  // the folder itself may have gone
  look_.look_again_at.insert(place.folders.begin(), place.folders.end());
  const auto at = since + Loader::removal_delay;
  if (!look_.look_again || at < *look_.look_again) look_.look_again = at;
}

void Inventory::remove(ItemId id) {
  const auto item = items_.find(id);
  look_.removed.push_back({id, std::move(item->second.folders)});
  look_.folders_changed = true;
  look_.renamed.erase(id);
  leaving_.erase(id);
  missing_.erase(id);
  item->second.place->items.erase(id);
  ids_.erase(item->second.key);
  items_.erase(item);
}

/// Whole sources that the operator took out of the settings; then folders that have gone, once they hold nothing.
void Inventory::drop_unwanted() {
  const auto unwanted = [&](const Place* place) {
    while (place->parent != nullptr) place = place->parent;
    return place->wanted_in_look != looks_;
  };
  if (std::none_of(places_.begin(), places_.end(),
                   [&](const auto& place) { return place.second->wanted_in_look != looks_; })) {
    return;
  }
  for (const auto& [key, place] : places_) {
    if (!unwanted(place.get())) continue;
    for (const auto id : std::vector<ItemId>(place->items.begin(), place->items.end())) remove(id);
  }
  std::set<const Place*> used;
  for (const auto& [key, place] : places_) {
    if (place->items.empty()) continue;
    for (const Place* at = place.get(); at != nullptr; at = at->parent) used.insert(at);
  }
  // The other way round, so that no folder outlives the parent that it points to.
  for (auto place = places_.end(); place != places_.begin();) {
    --place;
    if (place->second->wanted_in_look != looks_ && !used.contains(place->second.get())) {
      faulty_places_.erase(place->first);
      place = places_.erase(place);
      look_.folders_changed = true;
    }
  }
}

/// Only items of places whose listing is new can have gone, and those that were missing already.
void Inventory::drop_missing() {
  std::set<ItemId> candidates = missing_;
  for (const Place* place : listed_) {
    for (const auto id : place->items) {
      if (items_.at(id).seen_in_look < place->listed_in_look) candidates.insert(id);
    }
  }
  for (const auto id : candidates) judge_presence(id);
}

void Inventory::judge_presence(ItemId id) {
  Item& item = items_.at(id);
  if (item.seen_in_look >= item.place->listed_in_look) {
    item.missing_since.reset();
    missing_.erase(id);
    return;
  }
  if (item.place->kind == Strength::Configuration) return remove(id);
  missing_.insert(id);
  if (!item.missing_since || *item.missing_since > now_) {
    item.missing_since = now_;
    call_again(now_, *item.place);
  } else if (now_ - *item.missing_since >= Loader::removal_delay &&
             std::max(item.place->listed_in_look, item.place->same_in_look) == looks_) {
    remove(id);
  } else {
    call_again(*item.missing_since, *item.place);
  }
}

void Inventory::drop_leaving_names() {
  for (auto id = leaving_.begin(); id != leaving_.end();) {
    Item& item = items_.at(*id);
    if (item.leaving_since > now_) item.leaving_since = now_;
    if (now_ - item.leaving_since < Loader::removal_delay) {
      call_again(item.leaving_since, *item.place);
      ++id;
      continue;
    }
    item.declared = without(item.declared, item.leaving);
    item.leaving.clear();
    look_.renamed.insert(*id);
    id = leaving_.erase(id);
  }
}

}  // namespace postern::certs
