#include "certs/layout.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"

namespace postern::certs {

namespace {

using NameSet = std::set<std::string_view>;

std::string_view last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

/// cert.pem, chain1.pem, fullchain-1700000000.pem, privkey2.pem: parts that ACME clients keep beside or behind the links
/// `fullchain.pem` and `privkey.pem`.
bool is_client_part(std::string_view name) {
  if (!name.ends_with(".pem")) return false;
  name.remove_suffix(4);
  while (!name.empty() && is_digit(name.back())) name.remove_suffix(1);
  if (name.ends_with('-')) name.remove_suffix(1);
  return name == "cert" || name == "chain" || name == "fullchain" || name == "privkey";
}

std::optional<LayoutItem> item_of_crt(std::string_view name, const NameSet& names) {
  if (name.ends_with(".issuer.crt") || name == "ca.crt") return std::nullopt;
  const std::string stem(name.substr(0, name.size() - 4));
  for (std::string key : {stem + ".key", std::string(name) + ".key"}) {
    if (names.contains(key)) return LayoutItem{std::string(name), std::move(key), stem};
  }
  return LayoutItem{std::string(name), "", stem};
}

std::optional<LayoutItem> item_of_pem(std::string_view name, const NameSet& names) {
  if (is_client_part(name)) return std::nullopt;
  const std::string stem(name.substr(0, name.size() - 4));
  if (names.contains(stem + ".crt") && names.contains(stem + ".key")) return std::nullopt;  // lego --pem
  for (std::string key : {stem + ".key", std::string(name) + ".key"}) {
    if (names.contains(key)) return LayoutItem{std::string(name), std::move(key), stem};
  }
  return LayoutItem{std::string(name), "", stem};
}

std::optional<LayoutItem> item_of(std::string_view name, const NameSet& names) {
  if (name.ends_with(".crt")) return item_of_crt(name, names);
  if (name.ends_with(".pem")) return item_of_pem(name, names);
  for (const std::string_view bundle : {".pem.rsa", ".pem.ecdsa"}) {
    if (name.ends_with(bundle)) {
      const auto stem = name.substr(0, name.size() - bundle.size());
      return LayoutItem{std::string(name), "", std::string(stem)};
    }
  }
  return std::nullopt;
}

/// A folder that holds one certificate under fixed names; whatever else is there belongs to it.
std::optional<LayoutItem> fixed_names(std::string_view folder, const NameSet& names) {
  struct Fixed {
    const char* chain;
    const char* key;
  };
  for (const auto& [chain, key] : {Fixed{"fullchain.pem", "privkey.pem"}, Fixed{"tls.crt", "tls.key"}}) {
    // One of the two is enough: that the other is missing is then said, instead of nothing.
    if (names.contains(chain) || names.contains(key)) return LayoutItem{chain, key, std::string(last_part(folder))};
  }
  return std::nullopt;
}

}  // namespace

Layout layout_of(std::string_view folder, const std::vector<DirectoryEntry>& entries) {
  Layout layout;
  NameSet files, folders;
  for (const auto& entry : entries) {
    if (entry.name.empty() || entry.name.front() == '.') continue;  // `..data`, and what programs hide
    (entry.is_directory ? folders : files).insert(entry.name);
  }
  if (folders.contains("live") && folders.contains("archive")) {
    folders = {"live"};  // the home of certbot
  }
  layout.subfolders.assign(folders.begin(), folders.end());
  if (auto fixed = fixed_names(folder, files)) {
    layout.items.push_back(std::move(*fixed));
    return layout;
  }
  for (const auto name : files) {
    if (auto item = item_of(name, files)) layout.items.push_back(std::move(*item));
  }
  return layout;
}

std::string lineage_of(std::string_view stem) {
  static constexpr std::array<std::string_view, 9> kinds{"rsa",  "rsa2048", "rsa4096", "ecdsa",  "ecc",
                                                         "ec",   "p256",    "p384",    "ed25519"};
  std::string lower = to_lower_ascii(stem);
  std::string_view rest = lower;
  const auto is_kind = [](std::string_view part) {
    return std::find(kinds.begin(), kinds.end(), part) != kinds.end() ||
           (part.size() == 4 && std::all_of(part.begin(), part.end(), is_digit));  // certbot's -0001
  };
  for (auto at = rest.find_last_of("-_."); at != std::string_view::npos && is_kind(rest.substr(at + 1));
       at = rest.find_last_of("-_.")) {
    rest = rest.substr(0, at);
  }
  if (is_kind(rest)) rest = {};
  for (const std::string_view wildcard : {"*.", "_.", "wildcard."}) {
    if (rest.starts_with(wildcard)) return std::string(rest.substr(wildcard.size()));
  }
  return std::string(rest);
}

}  // namespace postern::certs
