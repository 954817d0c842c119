// What the sources hold: the items of the configuration, of maps and of folders, found anew at each look. Certificates
// themselves are not read here.
//
// An item that is gone from its place is removed only when a second look, `Loader::removal_delay` later, does not find
// it either; a place that cannot be read takes nothing away.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "certs/claim_table.h"
#include "certs/item.h"
#include "certs/layout.h"
#include "certs/loader.h"

namespace postern::certs {

using ItemId = HolderId;

/// Paths as the inventory makes them of a folder and a name in it, and back.
std::string joined(const std::string& folder, const std::string& name);
std::string_view last_part(std::string_view path);

/// Where items are listed.
struct Place {
  Strength kind = Strength::Directory;  ///< the configuration, a map, or a folder
  std::string path;
  std::uint32_t order = 0;
  unsigned depth = 0;                   ///< of a folder, below the one in the settings
  Place* parent = nullptr;              ///< of a folder in a folder
  std::uint64_t wanted_in_look = 0;     ///< when the settings, or the folder around it, had it last
  std::uint64_t listed_in_look = 0;     ///< when its items were found out in full last
  std::uint64_t same_in_look = 0;       ///< of a map: when it was seen not to have changed since, last
  std::vector<std::string> subfolders;  ///< of a folder, then: names, sorted
  std::vector<std::string> dangling;    ///< links to nothing in it, then; sorted
  bool had_subfolders = false;          ///< there is, or was, a place with this one as its parent
  std::set<std::uint32_t> items;        ///< those that it lists, or listed before (see Inventory)
  std::optional<FileState> state;       ///< of a map, when it was read last; of a folder, if that tells whether it has changed
  std::vector<std::string> folders;     ///< of a map: those of the file and of what it links to
  std::vector<Fault> faults;

  /// Whether a folder has this one in it, by its listing. A link that leads to nothing now is not gone: what it led to
  /// may be on a disk that is not mounted yet.
  bool still_has(const Place& below) const;
};

class Inventory {
 public:
  Inventory(FileSource& files, ClaimTable& names) : files_(files), names_(names) {}
  /// A copy that goes on with a copy of the names.
  Inventory(const Inventory& other, FileSource& files, ClaimTable& names);

  struct Removed {
    ItemId id;
    std::vector<std::string> folders;  ///< see Item
  };
  struct Look {
    std::vector<Removed> removed;
    std::vector<ItemId> added;
    std::set<ItemId> renamed;    ///< another set of declared names than before, or another rank
    bool maps_changed = false;
    bool folders_changed = false;   ///< there are other folders than before
    std::vector<Fault> new_faults;  ///< of places
    std::optional<WallTime> look_again;
    std::set<std::string> look_again_at;  ///< the folders, or the one around a map
    std::size_t files_read = 0;
  };
  Look look(const SourceSettings& settings, WallTime now, const Executor& executor = run_inline);
  /// Lists only these folders anew, and maps in them. Everything else is taken to be as it was.
  Look look_again_at(const std::set<std::string>& folders, WallTime now);

  std::map<ItemId, Item>& items() { return items_; }
  const std::map<ItemId, Item>& items() const { return items_; }
  /// By kind and path.
  using PlaceKey = std::pair<Strength, std::string_view>;
  using Places = std::map<PlaceKey, std::unique_ptr<Place>>;  ///< the path is that of the place itself
  const Places& places() const { return places_; }
  /// Of all places, those that stand now.
  std::vector<Fault> faults() const;

 private:
  struct Found {
    std::vector<std::string> files;
    Form form = Form::Pair;
    std::string stem, id, origin, distinction;
  };

  Place& place(Strength kind, const std::string& path, std::uint32_t order, Place* parent);
  void look_at_configuration(const SourceSettings& settings);
  void look_at_map(const std::string& path, std::uint32_t order);
  void take_map(Place& map, const FileContents& contents);
  /// What a look at a folder showed, so far as it can be found out beside other threads.
  struct Listed {
    std::optional<FileState> state;
    bool same = false;               ///< as at the last look; then there is nothing else here
    std::optional<std::string> error;
    Layout layout;
    std::vector<std::string> dangling;
    bool has_staples = false, has_links = false;
  };
  enum class Subfolders { All, New };
  /// `known`: the place, if it was listed before.
  static Listed list(FileSource& files, const std::string& path, unsigned depth, const Place* known);
  const Place* known_folder(const std::string& path) const;
  void look_at_folder(const std::string& path, std::uint32_t order, unsigned depth, Place* parent, Subfolders which,
                      Listed listed);
  void look_into(Place& folder, Subfolders which);
  void take_layout(Place& folder, Listed listed);
  void take_as_before(Place& folder);
  static std::string key_of(const Place& place, const Found& what);
  Item& found(Place& place, Found what);
  void declare(ItemId id, Item& item, std::vector<NameIndex::Id> names, const std::vector<NameIndex::Id>* elsewhere);
  void begin_look(WallTime now);
  void end_look();
  void drop_gone_folders();
  void drop_unwanted();
  void drop_missing();
  void judge_presence(ItemId id);
  void remove(ItemId id);
  void drop_leaving_names();
  void call_again(WallTime since, const Place& place);
  void set_faults(Place& place, std::vector<Fault> faults);
  void set_folders(Place& map, std::vector<std::string> folders);

  FileSource& files_;
  ClaimTable& names_;
  Places places_;
  std::map<ItemId, Item> items_;
  std::unordered_map<std::string_view, ItemId> ids_;  // by Item::key, that of the item itself
  std::set<ItemId> leaving_;                     // items with names that may have to go
  std::set<ItemId> missing_;                     // items with a missing_since
  std::set<PlaceKey> faulty_places_;
  ItemId next_id_ = 0;
  std::uint64_t looks_ = 0;
  std::set<std::pair<std::uint64_t, std::uint64_t>> visited_;  // folders of this look, by device and inode
  std::vector<Place*> listed_;                                 // places whose items this look has found out
  WallTime now_{};
  const Executor* executor_ = nullptr;
  Look look_;
};

}  // namespace postern::certs
