// The folders of the inventory: listing them, beside other threads, and going into what they hold.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "certs/inventory.h"
#include "certs/start_cache.h"

namespace postern::certs {

namespace {

constexpr unsigned folder_depth_max = 3;
constexpr std::size_t folders_a_task = 64;  // so that handing out tasks costs nothing beside doing them

std::string joined(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + '/' + name;
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

bool Place::still_has(const Place& below) const {
  const auto name = last_part(below.path);
  return std::binary_search(subfolders.begin(), subfolders.end(), name) ||
         std::binary_search(dangling.begin(), dangling.end(), name);
}

/// From any thread: changes nothing here.
Inventory::Listed Inventory::list(const std::string& path, unsigned depth) const {
  Listed listed;
  if (const auto state = files_.state(path)) listed.state = *state;
  const auto known = places_.find(place_key(Strength::Directory, path));
  if (known != places_.end() && listed.state && known->second->state == listed.state && known->second->depth == depth) {
    listed.same = true;
    return listed;
  }
  const auto entries = files_.list(path);
  if (!entries) {
    listed.error = entries.error().text;
    return listed;
  }
  for (const auto& entry : *entries) {
    listed.has_staples = listed.has_staples || is_staple_name(entry.name);
    listed.has_links = listed.has_links || entry.may_be_link;
    if (entry.dangling) listed.dangling.push_back(entry.name);
  }
  std::sort(listed.dangling.begin(), listed.dangling.end());
  listed.layout = layout_of(path, *entries);
  return listed;
}

void Inventory::look_at_folder(const std::string& path, std::uint32_t order, unsigned depth, Place* parent,
                               Subfolders which, Listed listed) {
  Place& folder = place(Strength::Directory, path, order, parent);
  folder.depth = depth;
  if (listed.state && !visited_.emplace(listed.state->device, listed.state->inode).second) return;
  if (listed.same && !folder.state) listed = list(path, depth);  // its items get another rank
  if (listed.error) {
    folder.state.reset();
    set_faults(folder, {{Fault::Severity::Error, path,
                         *listed.error +
                             (folder.listed_in_look > 0 ? "; its certificates stay as they were read before" : "")}});
    return;
  }
  if (listed.same) {
    take_as_before(folder);
  } else {
    take_layout(folder, std::move(listed));
  }
  listed_.push_back(&folder);
  if (depth < folder_depth_max) look_into(folder, which);
}

void Inventory::take_as_before(Place& folder) {
  for (const auto id : folder.items) {
    Item& item = items_.at(id);
    if (item.seen_in_look == folder.listed_in_look) item.seen_in_look = looks_;
  }
  folder.listed_in_look = looks_;
}

void Inventory::take_layout(Place& folder, Listed listed) {
  set_faults(folder, {});
  folder.listed_in_look = looks_;
  // What a link to nothing will lead to some day, its folder does not tell.
  const bool tells = listed.state && listed.dangling.empty() && state_tells_changes(*listed.state, now_);
  folder.state = tells ? listed.state : std::nullopt;
  folder.subfolders = std::move(listed.layout.subfolders);
  folder.dangling = std::move(listed.dangling);
  for (auto& in_folder : listed.layout.items) {
    Found what;
    what.label = joined(folder.path, in_folder.chain);
    what.files.push_back(what.label);
    if (!in_folder.key.empty()) what.files.push_back(joined(folder.path, in_folder.key));
    what.form = in_folder.key.empty() ? Form::Together : Form::Pair;
    what.stem = std::move(in_folder.stem);
    Item& item = found(folder, std::move(what));
    item.may_have_staples = listed.has_staples;
    item.may_be_links = listed.has_links;
  }
}

/// All are listed at once, on as many threads as there are; then each is gone into.
void Inventory::look_into(Place& folder, Subfolders which) {
  struct Below {
    std::string path;
    Listed listed;
  };
  std::vector<Below> below;
  for (const auto& name : folder.subfolders) {
    auto path = joined(folder.path, name);
    if (which == Subfolders::New && places_.contains(place_key(Strength::Directory, path))) continue;
    below.push_back({std::move(path), {}});
  }
  if (below.empty()) return;  // nearly all folders: their files are a certificate and its key
  Tasks tasks;
  for (std::size_t begin = 0; begin < below.size(); begin += folders_a_task) {
    const std::size_t end = std::min(below.size(), begin + folders_a_task);
    tasks.emplace_back([this, &below, &folder, begin, end] {
      for (std::size_t i = begin; i < end; ++i) below[i].listed = list(below[i].path, folder.depth + 1);
    });
  }
  (*executor_)(tasks);
  for (auto& subfolder : below) {
    look_at_folder(subfolder.path, folder.order, folder.depth + 1, &folder, Subfolders::All, std::move(subfolder.listed));
  }
}

/// Folders that are not in the listing of the one around them hold nothing any more, nor do those in them.
void Inventory::drop_gone_folders() {
  for (std::size_t i = 0; i < listed_.size(); ++i) {  // which grows here
    Place* const parent = listed_[i];
    if (!parent->had_subfolders) continue;
    const auto below = place_key(Strength::Directory, joined(parent->path, ""));
    for (auto at = places_.lower_bound(below); at != places_.end() && at->first.starts_with(below); ++at) {
      Place& place = *at->second;
      if (place.parent != parent || place.wanted_in_look == looks_ || parent->still_has(place)) continue;
      place.listed_in_look = looks_;
      place.state.reset();
      place.subfolders.clear();
      place.dangling.clear();
      listed_.push_back(&place);
    }
  }
}

}  // namespace postern::certs
