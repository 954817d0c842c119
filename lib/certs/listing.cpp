#include "certs/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "certs/loader_state.h"

namespace postern::certs {

namespace {

constexpr std::array<std::pair<RowState, std::string_view>, 6> state_words{{
    {RowState::Served, "served"},
    {RowState::Shadowed, "shadowed"},
    {RowState::Expired, "expired"},
    {RowState::NotYetValid, "not-yet-valid"},
    {RowState::Incomplete, "incomplete"},
    {RowState::Failed, "failed"},
}};

std::string kind_of(const tls::Credential& credential) {
  return is_rsa(credential) ? fmt::format("RSA {}", credential.leaf.key_bits)
                            : std::string(to_string(credential.leaf.key_kind));
}

const tls::Credential* served_as(const Entry* entry, const tls::Credential& credential) {
  if (entry == nullptr) return nullptr;
  return (is_rsa(credential) ? entry->rsa : entry->ecdsa).get();
}

bool is_served(const Snapshot& live, std::string_view key, const tls::Credential& credential) {
  const auto* served = served_as(live.find_key(key), credential);
  return served != nullptr && served->leaf.fingerprint == credential.leaf.fingerprint &&
         served->source == credential.source;
}

std::string end_of(const tls::LeafFacts& leaf, WallTime now) {
  const auto days = std::chrono::floor<std::chrono::days>(leaf.not_after - now).count();
  if (leaf.not_after <= now) return fmt::format("expired on {}", rfc3339(leaf.not_after));
  if (leaf.not_before > now) return fmt::format("not valid before {}", rfc3339(leaf.not_before));
  return fmt::format("{} {} left", days, days == 1 ? "day" : "days");
}

std::string_view basis_of(Basis basis) {
  switch (basis) {
    case Basis::Declared: return "declared for the name";
    case Basis::NamedAfter: return "named after the name";
    case Basis::San: return "has the name among its names";
  }
  return "";
}

}  // namespace

std::string_view to_string(RowState state) {
  return std::find_if(state_words.begin(), state_words.end(), [&](const auto& word) { return word.first == state; })
      ->second;
}

std::optional<RowState> row_state(std::string_view text) {
  for (const auto& [state, word] : state_words) {
    if (word == text) return state;
  }
  return std::nullopt;
}

namespace {

/// Makes the rows of one item.
class RowMaker {
 public:
  RowMaker(const ClaimTable& claims, const Snapshot& live, WallTime now) : claims_(claims), live_(live), now_(now) {}

  std::vector<Row> rows_of(ItemId id, const Item& item) const {
    std::vector<Row> rows;
    for (std::size_t i = 0; i < item.good.size(); ++i) rows.push_back(row_of(id, item, i));
    if (rows.empty()) {
      Row row;
      for (const auto name : item.declared) add_name(row, claims_.key(name));
      row.source = item.label();
      rows.push_back(std::move(row));
    }
    for (Row& row : rows) judge(row, id, item);
    return rows;
  }

 private:
  Row row_of(ItemId id, const Item& item, std::size_t which) const {
    const tls::Credential& credential = *item.good[which];
    Row row;
    claims_.each_claim(id, [&](std::string_view key, const Claim& claim) {
      if (claim.credential != which) return;
      add_name(row, key);
      if (is_served(live_, key, credential)) ++row.served_count;
    });
    const auto& leaf = credential.leaf;
    row.key_kind = leaf.key_kind;
    row.key_bits = leaf.key_bits;
    row.subject = leaf.subject;
    row.issuer = leaf.issuer;
    row.not_before = leaf.not_before;
    row.not_after = leaf.not_after;
    row.fingerprint = leaf.fingerprint;
    row.source = credential.source;
    row.key_source = item.files.back();
    return row;
  }

  static void add_name(Row& row, std::string_view key) {
    ++row.name_count;
    if (row.names.size() < Row::names_max) row.names.emplace_back(key);
  }

  void judge(Row& row, ItemId id, const Item& item) const {
    if (!item.problems.empty()) {
      row.state = RowState::Failed;
      row.reason = item.problems.front().text;
      if (item.problems.size() > 1) row.reason += fmt::format(" (and {} more)", item.problems.size() - 1);
      row.since = item.failing_since;
    } else if (item.held) {
      row.state = RowState::Failed;  // its files cannot be used as they are now
      row.reason = item.held->text;
    } else if (row.served_count == 0) {
      row.state = RowState::Shadowed;
      row.reason = row.name_count == 0 ? "none of its names may be served from here" : why_shadowed(id);
    } else if (row.not_after <= now_) {
      row.state = RowState::Expired;
      row.reason = "it is served all the same, for there is nothing better";
    } else if (row.not_before > now_) {
      row.state = RowState::NotYetValid;
      row.reason = fmt::format("not valid before {}", rfc3339(row.not_before));
    } else if (const auto* lacking = lacking_of(row, item)) {
      row.state = RowState::Incomplete;
      row.reason = lacking->text;
    }
  }

  static const Lacking* lacking_of(const Row& row, const Item& item) {
    const auto found = std::find_if(item.lacking.begin(), item.lacking.end(),
                                    [&](const Lacking& lacking) { return lacking.leaf == row.fingerprint; });
    return found == item.lacking.end() ? nullptr : &*found;
  }

  std::string why_shadowed(ItemId id) const {
    std::string by;
    claims_.each_claim(id, [&](std::string_view key, const Claim&) {
      if (!by.empty()) return;
      if (const Entry* entry = live_.find_key(key)) by = (entry->ecdsa ? entry->ecdsa : entry->rsa)->source;
    });
    return by.empty() ? "the map that is live has none of its names" : fmt::format("{} is served instead", by);
  }

  const ClaimTable& claims_;
  const Snapshot& live_;
  WallTime now_;
};

bool matches(const RowFilter& filter, const Row& row) {
  if (filter.state && row.state != *filter.state) return false;
  if (filter.ends_before && (!row.key_kind || row.not_after >= *filter.ends_before)) return false;
  if (filter.text.empty() || row.source.find(filter.text) != std::string::npos) return true;
  return std::any_of(row.names.begin(), row.names.end(),
                     [&](const std::string& name) { return name.find(filter.text) != std::string::npos; });
}

/// One step for each key that the look-up tries.
class Explainer {
 public:
  Explainer(const ClaimTable& claims, const Snapshot& live, WallTime now) : claims_(claims), live_(live), now_(now) {}

  Explanation explain(const DnsName& name) {
    const auto& text = name.text();
    said_.steps.push_back(fmt::format("{} is asked for", text));
    look_for(text, tls::Match::Exact, "the name itself");
    auto dot = text.find('.');
    if (dot != std::string::npos) {
      look_for("*" + text.substr(dot), tls::Match::Wildcard, "the wildcard of its parent");
      for (; dot != std::string::npos; dot = text.find('.', dot + 1)) {
        look_for(text.substr(dot), tls::Match::Parent, "an entry for all names below");
      }
    }
    if (said_.key.empty()) said_.steps.push_back("nothing in the map matches: the default certificate of the listener is served");
    return std::move(said_);
  }

 private:
  void look_for(const std::string& key, tls::Match match, std::string_view what) {
    const Entry* entry = live_.find_key(key);
    const bool decided = !said_.key.empty();
    const auto contenders = claims_.contenders(key);
    if (entry == nullptr && contenders.empty()) {
      // A long list of parents that nobody has says nothing.
      if (match != tls::Match::Parent) said_.steps.push_back(fmt::format("{} ({}): not in the map", key, what));
      return;
    }
    said_.steps.push_back(fmt::format("{} ({}): {}", key, what,
                                      entry == nullptr ? "not in the map that is live"
                                      : decided        ? "in the map, but what matched before is stronger"
                                                       : "in the map: this entry is served"));
    for (const auto& contender : contenders) said_.steps.push_back("  " + about(key, contender, contenders));
    if (entry == nullptr || decided) return;
    said_.key = key;
    said_.match = match;
    for (const auto& credential : {entry->ecdsa, entry->rsa}) {
      if (credential) said_.sources.push_back(credential->source);
    }
    if (entry->ecdsa && entry->rsa) {
      said_.steps.push_back("  a client that can verify ECDSA gets that certificate, any other the one with the RSA key");
    }
  }

  using Contenders = std::vector<ClaimTable::Contender>;

  std::string about(const std::string& key, const ClaimTable::Contender& contender, const Contenders& all) const {
    const tls::Credential& credential = *contender.credential;
    std::string text = fmt::format("{}: {}, issued by {}, {}, {}{}: ", credential.source, kind_of(credential),
                                   credential.leaf.issuer, end_of(credential.leaf, now_), basis_of(contender.basis),
                                   trust_of(contender));
    if (is_served(live_, key, credential)) return text + "served";
    if (contender.serving) return text + "not live yet";
    if (contender.held_back) return text + "held back, for a file that is better entitled to the name serves it";
    const auto* served = served_as(live_.find_key(key), credential);
    if (served == nullptr) return text + "not served";
    return text + fmt::format("not served, {} comes before it{}", served->source,
                              chain_decided(contender, *served, all) ? ", for its chain leads to a trust anchor" : "");
  }

  static std::string_view trust_of(const ClaimTable::Contender& contender) {
    if (!contender.trusted) return "";
    return *contender.trusted ? ", its chain leads to a trust anchor" : ", its chain leads to no trust anchor";
  }

  /// What comes before the chain in the order of strength was the same for the loser and the one that is served.
  bool chain_decided(const ClaimTable::Contender& loser, const tls::Credential& served, const Contenders& all) const {
    if (loser.trusted.value_or(true)) return false;
    return std::any_of(all.begin(), all.end(), [&](const ClaimTable::Contender& winner) {
      return winner.credential == &served && winner.trusted.value_or(false) && winner.strength == loser.strength &&
             is_valid(served, now_) == is_valid(*loser.credential, now_);
    });
  }

  const ClaimTable& claims_;
  const Snapshot& live_;
  WallTime now_;
  Explanation said_;
};

}  // namespace

RowPage Loader::rows(const Snapshot& live, const RowFilter& filter, std::uint64_t from, std::size_t rows_max,
                     WallTime now) const {
  RowPage page;
  const RowMaker maker(state_->claims, live, now);
  const auto& items = state_->inventory.items();
  for (auto item = items.lower_bound(static_cast<ItemId>(std::min<std::uint64_t>(from, UINT32_MAX)));
       item != items.end(); ++item) {
    if (page.rows.size() >= rows_max) {
      page.next = item->first;
      break;
    }
    for (Row& row : maker.rows_of(item->first, item->second)) {
      if (matches(filter, row)) page.rows.push_back(std::move(row));
    }
  }
  return page;
}

Explanation Loader::explain(const Snapshot& live, const DnsName& name, WallTime now) const {
  return Explainer(state_->claims, live, now).explain(name);
}

}  // namespace postern::certs
