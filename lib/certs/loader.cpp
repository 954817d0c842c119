#include "certs/loader.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "certs/layout.h"
#include "certs/loader_state.h"
#include "certs/start_cache.h"
#include "certs/waves.h"

namespace postern::certs {

void run_inline(Tasks& tasks) {
  for (auto& task : tasks) task();
}

LoadOutcome Loader::State::load(const SourceSettings& settings, WallTime at, const Executor& executor,
                                tls::KeyCheck keys) {
  begin(at);
  key_check = keys;
  gate_is_asked = settings.require_tlsa;
  look_at_anchors(settings.roots);
  auto look = inventory.look(settings, now, executor);
  if (settings.load != load_mode) {
    load_mode = settings.load;
    read_all_again();
  }
  const bool other_names = settings.names != names_mode ||
                           (settings.names == Names::Declared && settings.declared != domain_names);
  if (other_names) {
    names_mode = settings.names;
    domain_names = names_mode == Names::Declared ? settings.declared : std::vector<DnsName>();
  }
  return finish(std::move(look), other_names ? Declared::Changed : Declared::AsBefore, nullptr, executor);
}

LoadOutcome Loader::State::load_changed(const std::vector<std::string>& folders, WallTime at,
                                        const Executor& executor) {
  begin(at);
  const std::set<std::string> only(folders.begin(), folders.end());
  return finish(inventory.look_again_at(only, now), Declared::AsBefore, &only, executor);
}

/// With other anchors than before, other chains are trusted, and other ones lack an issuer.
void Loader::State::look_at_anchors(const std::string& configured) {
  const auto before = anchors.fault();
  const bool others = anchors.look(*files, configured);
  if (anchors.fault() && anchors.fault() != before) outcome.faults.push_back(*anchors.fault());
  if (!others) return;
  read_all_again();
  claims.forget_trust();
}

void Loader::State::read_all_again() {
  for (auto& [id, item] : inventory.items()) {
    item.seen.clear();
    unread.insert(id);
  }
}

bool Loader::State::vouch_for(const tls::Credential& credential) const {
  if (!credential.deferred) return anchors.current()->vouch_for(credential, now);
  const auto whole = credential.deferred->read(credential);
  return whole && anchors.current()->vouch_for(**whole, now);
}

void Loader::State::begin(WallTime at) {
  now = at;
  key_check = tls::KeyCheck::Whole;
  outcome = LoadOutcome();
  touched.clear();
  to_claim.clear();
}

LoadOutcome Loader::State::finish(Inventory::Look look, Declared names, const std::set<std::string>* only,
                                  const Executor& executor) {
  outcome.files_read = look.files_read;
  outcome.folders_changed = look.folders_changed;
  outcome.look_again = look.look_again;
  outcome.look_again_at.assign(look.look_again_at.begin(), look.look_again_at.end());
  std::move(look.new_faults.begin(), look.new_faults.end(), std::back_inserter(outcome.faults));
  to_claim = std::move(look.renamed);
  unread.insert(look.added.begin(), look.added.end());
  for (const auto& removed : look.removed) forget(removed);
  ids_changed = !look.removed.empty();
  const bool maps_may_declare = names_mode == Names::Declared && (look.maps_changed || !look.removed.empty());
  if (names == Declared::Changed || maps_may_declare) remake_declared();
  read_items(only, executor);
  pass_validity_bounds();
  for (const auto id : to_claim) claim(id, inventory.items().at(id));
  if (ids_changed) remake_ids();
  auto resolution = claims.resolve(now, ids, anchors.current() ? [this](const tls::Credential& credential) {
    return vouch_for(credential);
  } : ClaimTable::Vouch());
  std::move(resolution.new_conflicts.begin(), resolution.new_conflicts.end(), std::back_inserter(outcome.faults));
  outcome.anything_changed = snapshot_version != resolution.snapshot->version();
  snapshot_version = resolution.snapshot->version();
  outcome.snapshot = std::move(resolution.snapshot);
  outcome.changes = std::move(resolution.changes);
  collect_standing();
  return std::move(outcome);
}

/// Other names are declared than before, so that folders may claim others.
void Loader::State::remake_declared() {
  declared.clear();
  for (const auto& name : domain_names) declared.insert(claims.intern(name.text()));
  for (const auto& [id, item] : inventory.items()) {
    if (names_mode != Names::Declared) break;
    if (item.place->kind == Strength::Map) declared.insert(item.declared.begin(), item.declared.end());
  }
  index_declared();
  for (const auto& [id, item] : inventory.items()) {
    if (item.place->kind == Strength::Directory) to_claim.insert(id);
  }
}

void Loader::State::index_declared() {
  declared_below.clear();
  for (const auto id : declared) {
    const auto key = claims.key(id);
    const auto dot = key.find('.');
    if (key.front() != '*' && dot != 0 && dot != std::string_view::npos) {
      declared_below[key.substr(dot + 1)].push_back(id);
    }
  }
}

/// `only`: items that have to do with these folders; null: all.
std::vector<Loader::State::Job> Loader::State::items_to_read(const std::set<std::string>* only) {
  std::vector<Job> jobs;
  const auto add = [&jobs](ItemId id, Item& item) {
    if (!item.missing_since) jobs.push_back({id, &item});
  };
  if (only == nullptr) {
    jobs.reserve(inventory.items().size());
    for (auto& [id, item] : inventory.items()) add(id, item);
  } else {
    for (const auto id : concerned_by(*only)) add(id, inventory.items().at(id));
  }
  return jobs;
}

void Loader::State::read_items(const std::set<std::string>* only, const Executor& executor) {
  const std::vector<Job> jobs = items_to_read(only);
  const HowToRead how{load_mode, now, anchors.current().get(), cache.get(), key_check};
  in_waves<Reading>(
      jobs.size(), executor,
      [&](std::size_t first, std::span<Reading> readings) {
        const auto ahead = files->ahead([&] {
          std::vector<Wish> wishes;
          for (std::size_t i = 0; i < readings.size(); ++i) add_wishes(*jobs[first + i].item, how, wishes);
          return wishes;
        });
        for (std::size_t i = 0; i < readings.size(); ++i) {
          readings[i] = read_item(files, *jobs[first + i].item, how, ahead.get());
        }
      },
      [&](std::size_t i, Reading reading) {
        Item& item = *jobs[i].item;
        // What is held is read each time: that is no news.
        if (!item.held) outcome.files_read += reading.files_read;
        if (!reading.changed) return;
        if (!item.held) ++(reading.from_cache ? outcome.items_remembered : outcome.items_read_anew);
        take(jobs[i].id, item, std::move(reading));
      });
  cache.reset();
}

std::set<ItemId> Loader::State::concerned_by(const std::set<std::string>& folders) const {
  std::set<ItemId> concerned = unread;
  concerned.insert(touched.begin(), touched.end());
  for (const auto& folder : folders) {
    const auto hash = std::hash<std::string>()(folder);
    for (auto at = by_folder.lower_bound({hash, 0}); at != by_folder.end() && at->first == hash; ++at) {
      const auto& around = inventory.items().at(at->second).folders;
      if (std::find(around.begin(), around.end(), folder) != around.end()) concerned.insert(at->second);
    }
  }
  return concerned;
}

void Loader::State::set_folders(ItemId id, Item& item, std::vector<std::string> folders) {
  if (item.folders == folders) return;
  outcome.folders_changed = true;
  index_folders(id, item.folders, folders);
  item.folders = std::move(folders);
}

void Loader::State::index_folders(ItemId id, const std::vector<std::string>& before,
                                  const std::vector<std::string>& after) {
  for (const auto& folder : before) by_folder.erase({std::hash<std::string>()(folder), id});
  for (const auto& folder : after) by_folder.emplace(std::hash<std::string>()(folder), id);
}

void Loader::State::forget(const Inventory::Removed& removed) {
  claims.remove(removed.id);
  unread.erase(removed.id);
  faulty.erase(removed.id);
  index_folders(removed.id, removed.folders, {});
}

/// Each certificate against the one of its kind that it would replace.
std::optional<Fault> Loader::State::held_back(const Item& item, const Reading& reading) const {
  if (!gate || !gate_is_asked) return std::nullopt;
  for (const auto& fresh : reading.credentials) {
    const auto served = std::find_if(item.good.begin(), item.good.end(),
                                     [&](const auto& old) { return is_rsa(*fresh) == is_rsa(*old); });
    if (served == item.good.end() || (*served)->leaf.fingerprint == fresh->leaf.fingerprint) continue;
    if (const auto why = gate(*fresh, **served)) return Fault{Fault::Severity::Warning, item.label(), *why};
  }
  return std::nullopt;
}

void Loader::State::take(ItemId id, Item& item, Reading reading) {
  item.held = held_back(item, reading);
  if (item.held) {
    unread.insert(id);  // whether its files change or not
    set_folders(id, item, std::move(reading.folders));
    return judge(id, item);
  }
  item.seen = std::move(reading.seen);
  unread.erase(id);
  set_folders(id, item, std::move(reading.folders));
  item.problems = std::move(reading.problems);
  if (item.problems.empty()) {
    item.failing_since.reset();
  } else if (!item.failing_since) {
    item.failing_since = now;
  }
  item.remarks = std::move(reading.remarks);
  item.lacking = std::move(reading.lacking);
  item.remembered = std::move(reading.remembered);
  const bool keys_were_believed = std::exchange(item.keys_are_believed, reading.keys_are_believed);
  if (item.keys_are_believed) to_prove.push_back(id);
  item.read_again_at = reading.read_again_at;
  // Equal chains have equal keys, unless that was only believed.
  bool same = !keys_were_believed && reading.credentials.size() == item.good.size();
  for (std::size_t i = 0; same && i < item.good.size(); ++i) same = same_credential(*reading.credentials[i], *item.good[i]);
  if (!reading.credentials.empty() && !same) {
    if (!item.problems.empty()) {
      // Some of several can be used: the others keep their last good one.
      for (const auto& old : item.good) {
        if (std::none_of(reading.credentials.begin(), reading.credentials.end(),
                         [&](const auto& fresh) { return is_rsa(*fresh) == is_rsa(*old); })) {
          reading.credentials.push_back(old);
        }
      }
    }
    item.good = std::move(reading.credentials);
    for (const auto& credential : item.good) {
      for (const auto bound : {credential->leaf.not_before, credential->leaf.not_after}) {
        if (bound > now) bounds.emplace(bound, id);
      }
    }
  }
  to_claim.erase(id);
  claim(id, item);  // now, while other threads read the next ones
}

void Loader::State::pass_validity_bounds() {
  while (!bounds.empty() && bounds.begin()->first <= now) {
    const auto id = bounds.begin()->second;
    bounds.erase(bounds.begin());
    const auto item = inventory.items().find(id);
    if (item == inventory.items().end()) continue;
    claims.touch(id);
    judge(id, item->second);
  }
}

void Loader::State::judge(ItemId id, Item& item) {
  update_faults(item);
  if (item.faults.empty()) {
    faulty.erase(id);
  } else {
    faulty.insert(id);
  }
}

void Loader::State::claim(ItemId id, Item& item) {
  const auto wanted = claims_of(item);
  Holder holder;
  holder.strength = item.place->kind;
  holder.order = item.order;
  // Only files of folders have a lineage: what the operator declares does not vouch for what tenants bring.
  holder.lineage = item.place->kind == Strength::Directory ? lineage_of(item.stem) : "\n" + item.key;
  holder.label = item.label();
  holder.credentials = item.good;
  claims.set(id, std::move(holder), wanted);
  if (!item.id.empty()) ids_changed = true;
  judge(id, item);
}

std::vector<Claim> Loader::State::claims_of(const Item& item) const {
  std::vector<Claim> out;
  if (item.declared.empty() && item.place->kind != Strength::Map) {
    claim_own_names(item, out);
  } else {
    claim_declared(item, out);
  }
  return out;
}

void Loader::State::claim_declared(const Item& item, std::vector<Claim>& out) const {
  for (const auto name : item.declared) {
    for (std::size_t i = 0; i < item.good.size(); ++i) out.push_back({name, Basis::Declared, static_cast<std::uint8_t>(i)});
  }
}

void Loader::State::claim_own_names(const Item& item, std::vector<Claim>& out) const {
  const bool of_operator = item.place->kind == Strength::Configuration;
  const bool only_declared = !of_operator && names_mode == Names::Declared;
  const std::string lineage = lineage_of(item.stem);
  for (std::size_t i = 0; i < item.good.size(); ++i) {
    const auto which = static_cast<std::uint8_t>(i);
    const auto basis = [&](std::string_view name) {
      if (of_operator) return Basis::Declared;
      return name == lineage ? Basis::NamedAfter : Basis::San;
    };
    for (const auto& name : item.good[i]->leaf.names) {
      const auto id = claims.intern(name.text());
      if (!only_declared || declared.contains(id)) out.push_back({id, basis(name.text()), which});
    }
    for (const auto& parent : item.good[i]->leaf.wildcards) {
      if (!only_declared) {
        out.push_back({claims.intern("*." + parent.text()), basis(parent.text()), which});
      } else if (const auto below = declared_below.find(parent.text()); below != declared_below.end()) {
        for (const auto id : below->second) out.push_back({id, basis(claims.key(id)), which});
      }
    }
  }
}

void Loader::State::remake_ids() {
  Snapshot::Index::Ids remade;
  for (const auto& [id, item] : inventory.items()) {
    if (item.id.empty() || item.good.empty()) continue;
    std::vector<Candidate> candidates;
    for (const auto& credential : item.good) {
      Candidate candidate;
      candidate.credential = credential.get();
      candidate.basis = Basis::Declared;
      candidates.push_back(candidate);
    }
    const auto verdict = decide(candidates, now);
    remade[item.id] = {.ecdsa = verdict.ecdsa ? item.good[*verdict.ecdsa] : nullptr,
                       .rsa = verdict.rsa ? item.good[*verdict.rsa] : nullptr};
  }
  if (remade != *ids) ids = std::make_shared<const Snapshot::Index::Ids>(std::move(remade));
}

void Loader::State::collect_standing() {
  auto& standing = outcome.standing;
  if (anchors.fault()) standing.push_back(*anchors.fault());
  auto of_places = inventory.faults();
  std::move(of_places.begin(), of_places.end(), std::back_inserter(standing));
  for (const auto id : faulty) {
    const auto& faults = inventory.items().at(id).faults;
    standing.insert(standing.end(), faults.begin(), faults.end());
  }
  auto conflicts = claims.conflicts();
  std::move(conflicts.begin(), conflicts.end(), std::back_inserter(standing));
}

/// What `declared_below` points to lies in the names.
Loader::State::State(const State& other)
    : files(other.files),
      claims(other.claims),
      ids(other.ids),
      inventory(other.inventory, *files, claims),
      anchors(other.anchors),
      by_folder(other.by_folder),
      unread(other.unread),
      faulty(other.faulty),
      to_prove(other.to_prove),
      bounds(other.bounds),
      gate(other.gate),
      gate_is_asked(other.gate_is_asked),
      load_mode(other.load_mode),
      names_mode(other.names_mode),
      domain_names(other.domain_names),
      declared(other.declared),
      snapshot_version(other.snapshot_version) {
  index_declared();
}

Loader::Loader(std::shared_ptr<FileSource> files, std::uint64_t first_version)
    : state_(std::make_unique<State>(std::move(files), first_version)) {}

Loader::Loader(std::unique_ptr<State> state) : state_(std::move(state)) {}

Loader::~Loader() = default;

std::unique_ptr<Loader> Loader::copy() const {
  return std::unique_ptr<Loader>(new Loader(std::make_unique<State>(*state_)));
}

LoadOutcome Loader::load(const SourceSettings& settings, WallTime now, const Executor& executor, tls::KeyCheck keys) {
  return state_->load(settings, now, executor, keys);
}

LoadOutcome Loader::load_changed(const std::vector<std::string>& folders, WallTime now, const Executor& executor) {
  return state_->load_changed(folders, now, executor);
}

std::optional<LoadOutcome> Loader::prove_keys(std::size_t items_max, WallTime now, const Executor& executor) {
  return state_->prove_keys(items_max, now, executor);
}

bool Loader::has_keys_to_prove() const { return !state_->to_prove.empty(); }

LoadOutcome Loader::load_touched(const std::vector<FolderChange>& changes, WallTime now, const Executor& executor) {
  return state_->load_touched(changes, now, executor);
}

void Loader::set_gate(Gate gate) { state_->gate = std::move(gate); }

void Loader::remember(std::shared_ptr<const StartCache> cache) { state_->cache = std::move(cache); }

Remembered Loader::remembered() const {
  Remembered known;
  if (const auto& anchors = state_->anchors.current()) known.anchors = anchors->digest();
  for (const auto& [id, item] : state_->inventory.items()) {
    if (!item.remembered.empty() && !item.keys_are_believed) known.items.push_back({item.key, item.remembered, item.good});
  }
  return known;
}

std::shared_ptr<const Anchors> Loader::anchors() const { return state_->anchors.current(); }

std::vector<std::string> Loader::watched_directories() const {
  std::unordered_set<std::string_view> known;  // most are found thrice, and there may be 10^5
  std::vector<std::string_view> folders;
  const auto add = [&](std::string_view folder) {
    if (known.insert(folder).second) folders.push_back(folder);
  };
  for (const auto& [key, place] : state_->inventory.places()) {
    if (place->kind == Strength::Directory) add(place->path);
    for (const auto& folder : place->folders) add(folder);
  }
  for (const auto& [id, item] : state_->inventory.items()) {
    for (const auto& folder : item.folders) add(folder);
  }
  std::sort(folders.begin(), folders.end());
  return {folders.begin(), folders.end()};
}

}  // namespace postern::certs
