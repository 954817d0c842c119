// An immutable map from host name to credentials. No file I/O: loader makes it, chooser asks it.
//
// Look-up order (DESIGN section 4): the exact name; then `*.` of its parent, kept apart from exact names (a wildcard
// never answers for its own apex, nor a name for its children); then `.parent` entries of Postfix maps, nearest first.
// Names are canonical (DnsName), so a look-up compares bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dns_name.h"
#include "certs/name_index.h"
#include "certs/slots.h"
#include "tls/credential.h"

namespace postern::certs {

/// The credentials of one entry, at most one of each key family, so that the ClientHello can decide.
struct Entry {
  std::shared_ptr<const tls::Credential> ecdsa;    // EC and Ed25519 keys
  std::shared_ptr<const tls::Credential> rsa;

  bool empty() const { return !ecdsa && !rsa; }
  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Found {
  const Entry* entry = nullptr;  ///< null: not in the map
  tls::Match match = tls::Match::Default;
  /// The key of the entry that matched: "mx.example.com", "*.example.com", ".example.com". It lies in the snapshot.
  std::string_view key;
};

class Snapshot {
 public:
  /// No allocation; what no cache can be expected to have is read from memory in two steps for a hit
  /// (the cell; then the text and the entry) and in one for a miss (the cells of all the keys).
  Found find(const DnsName& name) const noexcept { return find_canonical(name.text()); }

  /// An entry for `default_certificate`: the `id` of a `[[certificate]]`, or a name, which is looked up as find() does
  /// (or given as it stands in the map: `*.example.com`). Case does not matter for names.
  const Entry* find_default(std::string_view id_or_name) const noexcept;

  /// The entry of exactly this key, as each() tells it.
  const Entry* find_key(std::string_view key) const noexcept;

  /// Counts the generations of one loader, from 1.
  std::uint64_t version() const;
  std::size_t name_count() const;
  std::size_t certificate_count() const;

  /// Calls `visit` with every entry and its key, in the order in which the names were first seen.
  void each(const std::function<void(std::string_view key, const Entry& entry)>& visit) const;

  /// What a snapshot is made of; the loader fills it.
  struct Index;
  explicit Snapshot(std::unique_ptr<const Index> index);
  ~Snapshot();
  const Index& index() const { return *index_; }

 private:
  Found find_canonical(std::string_view name) const noexcept;
  Found entry_of(const NameIndex::Probe& probe, tls::Match match) const noexcept;

  std::unique_ptr<const Index> index_;
};

/// Parts that generations share: `names` only grows, `entries` are copied page by page where they change.
struct Snapshot::Index {
  using Ids = std::map<std::string, Entry, std::less<>>;

  std::shared_ptr<const NameIndex> names;
  Slots<Entry> entries;  ///< by the number of the name; an empty Entry for a name that has gone
  std::shared_ptr<const Ids> ids;
  std::uint64_t version = 0;

  struct Counts {
    std::size_t names = 0;
    std::size_t wildcards = 0;  ///< of the names; look-ups pass over kinds that do not occur
    std::size_t parents = 0;
    std::size_t certificates = 0;

    /// Counts a name by its kind; `by` is 1 or -1.
    void add_name(std::string_view key, std::ptrdiff_t by);
  };
  Counts counts;
};

/// A map of these entries, each key once; for maps that come from no loader.
std::shared_ptr<const Snapshot> make_snapshot(const std::vector<std::pair<std::string, Entry>>& entries,
                                              std::shared_ptr<const Snapshot::Index::Ids> ids, std::uint64_t version);

/// A map without names: what is served before the first load.
std::shared_ptr<const Snapshot> empty_snapshot();

}  // namespace postern::certs
