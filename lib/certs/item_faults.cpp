// What is wrong with an item of a source, in words for the operator.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "certs/loader_state.h"

namespace postern::certs {

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
      faults.push_back({Fault::Severity::Error, item.label(),
                        fmt::format("{}: the certificate for {} has expired on {}; it is served all the same",
                                    credential->source, names_for_people(item), rfc3339(leaf.not_after))});
    } else if (leaf.not_before > now) {
      faults.push_back({Fault::Severity::Error, item.label(),
                        fmt::format("{}: the certificate for {} is not valid before {}", credential->source,
                                    names_for_people(item), rfc3339(leaf.not_before))});
    }
    for (const auto& note : credential->notes) faults.push_back({Fault::Severity::Warning, item.label(), note});
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
    faults.push_back({Fault::Severity::Warning, item.label(),
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
  if (item.held) faults.push_back({item.held->severity, item.held->source, item.held->text + meanwhile(item)});
  faults.insert(faults.end(), item.remarks.begin(), item.remarks.end());
  for (const auto& lacking : item.lacking) {
    faults.push_back({Fault::Severity::Warning, item.label(), lacking.text});
  }
  add_validity_faults(item, faults);
  add_coverage_faults(item, faults);
  for (const auto& fault : faults) {
    if (std::find(item.faults.begin(), item.faults.end(), fault) == item.faults.end()) outcome.faults.push_back(fault);
  }
  item.faults = std::move(faults);
}

}  // namespace postern::certs
