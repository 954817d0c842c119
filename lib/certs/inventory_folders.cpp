// The folders of the inventory: listing them, beside other threads, and going into what they hold.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "certs/inventory.h"
#include "certs/start_cache.h"
#include "certs/waves.h"

namespace postern::certs {

namespace {

constexpr unsigned folder_depth_max = 3;

}  // namespace

std::string joined(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + '/' + name;
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool Place::still_has(const Place& below) const {
  const auto name = last_part(below.path);
  return std::binary_search(subfolders.begin(), subfolders.end(), name) ||
         std::binary_search(dangling.begin(), dangling.end(), name);
}

const Place* Inventory::known_folder(const std::string& path) const {
  const auto known = places_.find({Strength::Directory, path});
  return known == places_.end() ? nullptr : known->second.get();
}

/// From any thread: changes nothing here, and looks at nothing here but the place itself.
Inventory::Listed Inventory::list(FileSource& files, const std::string& path, unsigned depth, const Place* known) {
  Listed listed;
  if (known != nullptr && known->state && known->depth == depth) {
    const auto state = files.state(path);
    if (state && known->state == *state) {
      listed.state = *state;
      listed.same = true;
      return listed;
    }
  }
  const auto listing = files.list(path);
  if (!listing) {
    listed.error = listing.error().text;
    return listed;
  }
  listed.state = listing->state;
  for (const auto& entry : listing->entries) {
    listed.has_staples = listed.has_staples || is_staple_name(entry.name);
    listed.has_links = listed.has_links || entry.may_be_link;
    if (entry.dangling) listed.dangling.push_back(entry.name);
  }
  std::sort(listed.dangling.begin(), listed.dangling.end());
  listed.layout = layout_of(path, listing->entries);
  return listed;
}

void Inventory::look_at_folder(const std::string& path, std::uint32_t order, unsigned depth, Place* parent,
                               Subfolders which, Listed listed) {
  Place& folder = place(Strength::Directory, path, order, parent);
  folder.depth = depth;
  if (listed.state && !visited_.emplace(listed.state->device, listed.state->inode).second) return;
  if (listed.same && !folder.state) listed = list(files_, path, depth, &folder);  // its items get another rank
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
    what.files.reserve(2);
    what.files.push_back(joined(folder.path, in_folder.chain));
    if (!in_folder.key.empty()) what.files.push_back(joined(folder.path, in_folder.key));
    what.form = in_folder.key.empty() ? Form::Together : Form::Pair;
    what.stem = std::move(in_folder.stem);
    Item& item = found(folder, std::move(what));
    item.may_have_staples = listed.has_staples;
    item.may_be_links = listed.has_links;
  }
}

void Inventory::look_into(Place& folder, Subfolders which) {
  struct Below {
    std::string path;
    const Place* known;
  };
  std::vector<Below> below;
  for (const auto& name : folder.subfolders) {
    auto path = joined(folder.path, name);
    const Place* known = known_folder(path);
    if (which == Subfolders::All || known == nullptr) below.push_back({std::move(path), known});
  }
  if (below.empty()) return;  // nearly all folders: their files are a certificate and its key
  in_waves<Listed>(
      below.size(), *executor_,
      [&](std::size_t first, std::span<Listed> many) {
        const auto ahead = files_.ahead([&] {
          std::vector<Wish> wishes;
          for (std::size_t i = first; i < first + many.size(); ++i) {
            const bool may_be_same = below[i].known != nullptr && below[i].known->state;
            wishes.push_back({may_be_same ? Wish::What::State : Wish::What::List, below[i].path});
          }
          return wishes;
        });
        FileSource& files = ahead ? *ahead : files_;
        for (std::size_t i = 0; i < many.size(); ++i) {
          many[i] = list(files, below[first + i].path, folder.depth + 1, below[first + i].known);
        }
      },
      [&](std::size_t i, Listed listed) {
        look_at_folder(below[i].path, folder.order, folder.depth + 1, &folder, Subfolders::All, std::move(listed));
      });
}

/// Folders that are not in the listing of the one around them hold nothing any more, nor do those in them.
void Inventory::drop_gone_folders() {
  for (std::size_t i = 0; i < listed_.size(); ++i) {  // which grows here
    Place* const parent = listed_[i];
    if (!parent->had_subfolders) continue;
    const auto below = joined(parent->path, "");
    for (auto at = places_.lower_bound({Strength::Directory, below});
         at != places_.end() && at->second->path.starts_with(below); ++at) {
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
