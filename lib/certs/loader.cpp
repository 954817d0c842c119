#include "certs/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "certs/claim_table.h"
#include "certs/inventory.h"
#include "certs/item.h"
#include "certs/layout.h"

namespace postern::certs {

namespace {

constexpr std::size_t items_a_task = 64;  // so that handing out tasks costs nothing beside doing them

}  // namespace

void run_inline(Tasks& tasks) {
  for (auto& task : tasks) task();
}

struct Loader::State {
  explicit State(std::unique_ptr<FileSource> source)
      : files(std::move(source)), ids(std::make_shared<const Snapshot::Index::Ids>()), inventory(*files, claims) {}

  LoadOutcome load(const SourceSettings& settings, WallTime at, const Executor& executor);

  LoadOutcome load_changed(const std::vector<std::string>& folders, WallTime at, const Executor& executor);

  enum class Declared { AsBefore, Changed };
  void begin(WallTime at);
  LoadOutcome finish(Inventory::Look look, Declared names, const std::set<std::string>* only, const Executor& executor);
  void remake_declared();
  void read_items(const std::set<std::string>* only, const Executor& executor);
  void take(ItemId id, Item& item, Reading reading);
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
  void remake_ids();
  void collect_standing();

  std::unique_ptr<FileSource> files;
  mutable ClaimTable claims;  // interning a name changes nothing that can be seen
  std::shared_ptr<const Snapshot::Index::Ids> ids;
  Inventory inventory;
  // When certificates begin or cease to be valid, so that their names are decided anew then.
  std::set<std::pair<WallTime, ItemId>> bounds;
  // For Names::Declared: the names of domains and maps, and by parent, for wildcard certificates.
  Names names_mode = Names::All;
  std::vector<DnsName> domain_names;
  std::unordered_set<NameIndex::Id> declared;
  std::unordered_map<std::string_view, std::vector<NameIndex::Id>> declared_below;
  std::uint64_t snapshot_version = 0;
  // Of the load that is under way:
  WallTime now{};
  LoadOutcome outcome;
  std::set<ItemId> to_claim;
  bool ids_changed = false;
};

LoadOutcome Loader::State::load(const SourceSettings& settings, WallTime at, const Executor& executor) {
  begin(at);
  auto look = inventory.look(settings, now);
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

void Loader::State::begin(WallTime at) {
  now = at;
  outcome = LoadOutcome();
  to_claim.clear();
}

LoadOutcome Loader::State::finish(Inventory::Look look, Declared names, const std::set<std::string>* only,
                                  const Executor& executor) {
  outcome.files_read = look.files_read;
  outcome.look_again = look.look_again;
  outcome.faults = std::move(look.new_faults);
  to_claim = std::move(look.renamed);
  for (const auto id : look.removed) claims.remove(id);
  ids_changed = !look.removed.empty();
  const bool maps_may_declare = names_mode == Names::Declared && (look.maps_changed || !look.removed.empty());
  if (names == Declared::Changed || maps_may_declare) remake_declared();
  read_items(only, executor);
  pass_validity_bounds();
  for (const auto id : to_claim) claim(id, inventory.items().at(id));
  if (ids_changed) remake_ids();
  auto resolution = claims.resolve(now, ids);
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
  declared_below.clear();
  for (const auto& name : domain_names) declared.insert(claims.intern(name.text()));
  for (const auto& [id, item] : inventory.items()) {
    if (names_mode != Names::Declared) break;
    if (item.place->kind == Strength::Map) declared.insert(item.declared.begin(), item.declared.end());
  }
  for (const auto id : declared) {
    const auto key = claims.key(id);
    const auto dot = key.find('.');
    if (key.front() != '*' && dot != 0 && dot != std::string_view::npos) {
      declared_below[key.substr(dot + 1)].push_back(id);
    }
  }
  for (const auto& [id, item] : inventory.items()) {
    if (item.place->kind == Strength::Directory) to_claim.insert(id);
  }
}

/// `only`: items that have to do with these folders; null: all.
void Loader::State::read_items(const std::set<std::string>* only, const Executor& executor) {
  struct Job {
    ItemId id;
    Item* item;
    Reading reading;
  };
  std::vector<Job> jobs;
  for (auto& [id, item] : inventory.items()) {
    if (item.missing_since) continue;
    const bool concerned = only == nullptr || item.seen.empty() ||
                           std::any_of(item.folders.begin(), item.folders.end(),
                                       [&](const std::string& folder) { return only->contains(folder); });
    if (concerned) jobs.push_back({id, &item, {}});
  }
  Tasks tasks;
  for (std::size_t begin = 0; begin < jobs.size(); begin += items_a_task) {
    const std::size_t end = std::min(jobs.size(), begin + items_a_task);
    tasks.emplace_back([this, &jobs, begin, end] {
      for (std::size_t i = begin; i < end; ++i) jobs[i].reading = read_item(*files, *jobs[i].item);
    });
  }
  executor(tasks);
  for (auto& job : jobs) {
    outcome.files_read += job.reading.files_read;
    if (job.reading.changed) take(job.id, *job.item, std::move(job.reading));
  }
}

void Loader::State::take(ItemId id, Item& item, Reading reading) {
  item.seen = std::move(reading.seen);
  item.folders = std::move(reading.folders);
  item.problems = std::move(reading.problems);
  bool same = reading.credentials.size() == item.good.size();
  for (std::size_t i = 0; same && i < item.good.size(); ++i) same = same_chain(*reading.credentials[i], *item.good[i]);
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
  to_claim.insert(id);
}

void Loader::State::pass_validity_bounds() {
  while (!bounds.empty() && bounds.begin()->first <= now) {
    const auto id = bounds.begin()->second;
    bounds.erase(bounds.begin());
    const auto item = inventory.items().find(id);
    if (item == inventory.items().end()) continue;
    claims.touch(id);
    update_faults(item->second);
  }
}

void Loader::State::claim(ItemId id, Item& item) {
  const auto wanted = claims_of(item);
  Holder holder;
  holder.strength = item.place->kind;
  holder.order = item.order;
  // Only files of folders have a lineage: what the operator declares does not vouch for what tenants bring.
  holder.lineage = item.place->kind == Strength::Directory ? lineage_of(item.stem) : "\n" + item.key;
  holder.label = item.label;
  holder.credentials = item.good;
  claims.set(id, std::move(holder), wanted);
  if (!item.id.empty()) ids_changed = true;
  update_faults(item);
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

std::string Loader::State::names_for_people(const Item& item) const {
  constexpr std::size_t names_told = 3;
  std::vector<std::string> names;
  for (const auto id : item.declared) names.emplace_back(claims.key(id));
  if (names.empty()) {
    for (const auto& credential : item.good) {
      for (const auto& name : credential->leaf.names) names.push_back(name.text());
      for (const auto& parent : credential->leaf.wildcards) names.push_back("*." + parent.text());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  if (names.empty()) return item.stem;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), names_told); ++i) list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > names_told) list += fmt::format(" and {} more", names.size() - names_told);
  return list;
}

std::string Loader::State::meanwhile(const Item& item) const {
  const std::string names = names_for_people(item);
  if (!item.good.empty()) {
    return fmt::format("; the certificate that was read before stays for {} (it ends {})", names,
                       rfc3339(item.good.front()->leaf.not_after));
  }
  return names.empty() ? "" : fmt::format("; no certificate from here for {}", names);
}

void Loader::State::add_validity_faults(const Item& item, std::vector<Fault>& faults) const {
  for (const auto& credential : item.good) {
    const auto& leaf = credential->leaf;
    if (leaf.not_after <= now) {
      faults.push_back({Fault::Severity::Error, item.label,
                        fmt::format("{}: the certificate for {} has expired on {}; it is served all the same",
                                    credential->source, names_for_people(item), rfc3339(leaf.not_after))});
    } else if (leaf.not_before > now) {
      faults.push_back({Fault::Severity::Error, item.label,
                        fmt::format("{}: the certificate for {} is not valid before {}", credential->source,
                                    names_for_people(item), rfc3339(leaf.not_before))});
    }
    for (const auto& note : credential->notes) faults.push_back({Fault::Severity::Warning, item.label, note});
  }
}

void Loader::State::add_coverage_faults(const Item& item, std::vector<Fault>& faults) const {
  const auto covered = [](const tls::LeafFacts& leaf, std::string_view key) {
    if (key.starts_with("*.")) {
      return std::any_of(leaf.wildcards.begin(), leaf.wildcards.end(),
                         [&](const DnsName& parent) { return parent.text() == key.substr(2); });
    }
    // `.example.com`: nothing covers any depth; a wildcard for it is what one can have.
    if (key.starts_with('.')) {
      return std::any_of(leaf.wildcards.begin(), leaf.wildcards.end(),
                         [&](const DnsName& parent) { return parent.text().ends_with(key.substr(1)); });
    }
    const auto name = DnsName::parse(key);
    return name && leaf.covers(*name);
  };
  for (const auto& credential : item.good) {
    std::size_t uncovered = 0;
    std::string first;
    for (const auto id : item.declared) {
      if (covered(credential->leaf, claims.key(id))) continue;
      if (uncovered++ == 0) first = claims.key(id);
    }
    if (uncovered == 0) continue;
    faults.push_back({Fault::Severity::Warning, item.label,
                      fmt::format("{}: the certificate is declared for {}{}, which is not among the names that it "
                                  "covers: a sender that checks will refuse it",
                                  credential->source, first,
                                  uncovered > 1 ? fmt::format(" and {} more", uncovered - 1) : "")});
  }
}

void Loader::State::update_faults(Item& item) {
  std::vector<Fault> faults;
  for (const auto& problem : item.problems) {
    faults.push_back({problem.severity, problem.source, problem.text + meanwhile(item)});
  }
  add_validity_faults(item, faults);
  add_coverage_faults(item, faults);
  for (const auto& fault : faults) {
    if (std::find(item.faults.begin(), item.faults.end(), fault) == item.faults.end()) outcome.faults.push_back(fault);
  }
  item.faults = std::move(faults);
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
  for (const auto& [key, place] : inventory.places()) {
    standing.insert(standing.end(), place->faults.begin(), place->faults.end());
  }
  for (const auto& [id, item] : inventory.items()) {
    standing.insert(standing.end(), item.faults.begin(), item.faults.end());
  }
  auto conflicts = claims.conflicts();
  std::move(conflicts.begin(), conflicts.end(), std::back_inserter(standing));
}

Loader::Loader(std::unique_ptr<FileSource> files) : state_(std::make_unique<State>(std::move(files))) {}

Loader::~Loader() = default;

LoadOutcome Loader::load(const SourceSettings& settings, WallTime now, const Executor& executor) {
  return state_->load(settings, now, executor);
}

LoadOutcome Loader::load_changed(const std::vector<std::string>& folders, WallTime now, const Executor& executor) {
  return state_->load_changed(folders, now, executor);
}

std::vector<std::string> Loader::watched_directories() const {
  std::set<std::string> folders;
  for (const auto& [key, place] : state_->inventory.places()) {
    if (place->kind == Strength::Directory) folders.insert(place->path);
    folders.insert(place->folders.begin(), place->folders.end());
  }
  for (const auto& [id, item] : state_->inventory.items()) folders.insert(item.folders.begin(), item.folders.end());
  return {folders.begin(), folders.end()};
}

}  // namespace postern::certs
