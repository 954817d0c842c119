// What a Loader knows, for the files that implement it: loader.cpp (loading), touched_files.cpp (less of it),
// key_proof.cpp (what may follow it), item_faults.cpp (what is wrong, in words) and listing.cpp (what there is, for people).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "certs/anchors.h"
#include "certs/claim_table.h"
#include "certs/inventory.h"
#include "certs/item.h"
#include "certs/loader.h"

namespace postern::certs {

struct Loader::State {
  State(std::shared_ptr<FileSource> source, std::uint64_t first_version)
      : files(std::move(source)),
        claims(first_version),
        ids(std::make_shared<const Snapshot::Index::Ids>()),
        inventory(*files, claims) {}
  State(const State& other);

  LoadOutcome load(const SourceSettings& settings, WallTime at, const Executor& executor, tls::KeyCheck keys);

  LoadOutcome load_changed(const std::vector<std::string>& folders, WallTime at, const Executor& executor);
  LoadOutcome load_touched(const std::vector<FolderChange>& changes, WallTime at, const Executor& executor);
  std::optional<std::set<ItemId>> items_of(const std::string& folder, const std::set<std::string>& names) const;
  std::optional<LoadOutcome> prove_keys(std::size_t items_max, WallTime at, const Executor& executor);

  enum class Declared { AsBefore, Changed };
  void begin(WallTime at);
  LoadOutcome finish(Inventory::Look look, Declared names, const std::set<std::string>* only, const Executor& executor);
  void read_all_again();
  void remake_declared();
  void index_declared();
  struct Job {
    ItemId id;
    Item* item;
  };
  std::vector<Job> items_to_read(const std::set<std::string>* only);
  void read_items(const std::set<std::string>* only, const Executor& executor);
  std::set<ItemId> concerned_by(const std::set<std::string>& folders) const;
  void take(ItemId id, Item& item, Reading reading);
  std::optional<Fault> held_back(const Item& item, const Reading& reading) const;
  void set_folders(ItemId id, Item& item, std::vector<std::string> folders);
  void index_folders(ItemId id, const std::vector<std::string>& before, const std::vector<std::string>& after);
  void forget(const Inventory::Removed& removed);
  void judge(ItemId id, Item& item);
  void pass_validity_bounds();
  void claim(ItemId id, Item& item);
  std::vector<Claim> claims_of(const Item& item) const;
  void claim_declared(const Item& item, std::vector<Claim>& out) const;
  void claim_own_names(const Item& item, std::vector<Claim>& out) const;
  void update_faults(Item& item);
  void add_validity_faults(const Item& item, std::vector<Fault>& faults) const;
  void add_coverage_faults(const Item& item, std::vector<Fault>& faults) const;
  std::string meanwhile(const Item& item) const;
  std::string names_for_people(const Item& item) const;
  void look_at_anchors(const std::string& configured);
  bool vouch_for(const tls::Credential& credential) const;
  void remake_ids();
  void collect_standing();

  std::shared_ptr<FileSource> files;  // deferred credentials hold on to it
  mutable ClaimTable claims;  // interning a name changes nothing that can be seen
  std::shared_ptr<const Snapshot::Index::Ids> ids;
  Inventory inventory;
  AnchorFile anchors;
  // What a look at one folder concerns: items by the hashes of the folders that their files are in.
  std::set<std::pair<std::size_t, ItemId>> by_folder;
  std::set<ItemId> unread;  // items whose files are to be read whether they have changed or not
  std::set<ItemId> faulty;  // items with faults
  std::vector<ItemId> to_prove;  // items whose keys were believed; some may be proven, or gone, by now
  // When certificates begin or cease to be valid, so that their names are decided anew then.
  std::set<std::pair<WallTime, ItemId>> bounds;
  Gate gate;  // may be empty
  bool gate_is_asked = false;
  std::shared_ptr<const StartCache> cache;  // until the first load has ended
  Load load_mode = Load::Eager;
  // For Names::Declared: the names of domains and maps, and by parent, for wildcard certificates.
  Names names_mode = Names::All;
  std::vector<DnsName> domain_names;
  std::unordered_set<NameIndex::Id> declared;
  std::unordered_map<std::string_view, std::vector<NameIndex::Id>> declared_below;
  std::uint64_t snapshot_version = 0;
  // Of the load that is under way:
  WallTime now{};
  tls::KeyCheck key_check = tls::KeyCheck::Whole;
  LoadOutcome outcome;
  std::set<ItemId> touched;  // items of which files were touched, in folders that need not be listed
  std::set<ItemId> to_claim;
  bool ids_changed = false;
};

}  // namespace postern::certs
