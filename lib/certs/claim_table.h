// Which certificates claim which names, and what follows for the map: the loader tells it what each holder (an item of a
// source) has now, and resolve() makes the next snapshot, deciding anew only the names that something happened to.
// Sixteen octets a name, so that 10^6 of them are cheap to keep beside the map.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "certs/contest.h"
#include "certs/difference.h"
#include "certs/fault.h"
#include "certs/loader.h"
#include "certs/name_index.h"
#include "certs/snapshot.h"

namespace postern::certs {

using HolderId = std::uint32_t;

struct Claim {
  NameIndex::Id name = 0;
  Basis basis = Basis::San;
  std::uint8_t credential = 0;  ///< which of the holder's
};

struct Holder {
  Strength strength = Strength::Directory;
  std::uint32_t order = 0;
  std::string lineage;
  std::string label;  ///< the file, for messages
  std::vector<std::shared_ptr<const tls::Credential>> credentials;
};

class ClaimTable {
 public:
  explicit ClaimTable(std::uint64_t first_version = 1);
  /// With a name index of its own, for that has one writer only.
  ClaimTable(const ClaimTable& other);
  ClaimTable& operator=(const ClaimTable&) = delete;

  /// The number of a key of the map (see NameIndex).
  NameIndex::Id intern(std::string_view key);
  std::string_view key(NameIndex::Id id) const { return names_->key(id); }
  std::size_t key_count() const { return names_->size(); }

  /// Replaces what a holder has. It keeps the right of the one who serves to the names that it claims again.
  void set(HolderId id, Holder holder, const std::vector<Claim>& claims);
  void remove(HolderId id);
  /// Time has changed something about the holder's certificates: its names are to be decided anew.
  void touch(HolderId id);

  struct Resolution {
    std::shared_ptr<const Snapshot> snapshot;  ///< the one before when nothing changed
    Changes changes;
    std::vector<Fault> new_conflicts;
  };
  /// Whether the chain of a certificate leads to a trust anchor. Asked only where that may decide who gets a name, once
  /// for each certificate.
  using Vouch = std::function<bool(const tls::Credential& credential)>;
  /// Without `vouch`, no chain leads anywhere.
  Resolution resolve(WallTime now, std::shared_ptr<const Snapshot::Index::Ids> ids, const Vouch& vouch = {});
  /// There are other anchors: all the names are to be decided anew.
  void forget_trust();

  /// Names that a holder was refused, now.
  std::vector<Fault> conflicts() const;

  /// Who claims a name, for those who want to know why it is served as it is.
  struct Contender {
    const tls::Credential* credential = nullptr;
    Basis basis = Basis::San;
    Strength strength = Strength::Directory;
    bool serving = false;    ///< in the last snapshot
    bool held_back = false;
    std::optional<bool> trusted = {};  ///< whether its chain leads to a trust anchor, if that was asked
  };
  std::vector<Contender> contenders(std::string_view key) const;
  void each_claim(HolderId id, const std::function<void(std::string_view key, const Claim& claim)>& visit) const;

  /// Names that the holder claims, and how many of them it serves.
  std::size_t claimed(HolderId id) const;
  std::size_t served(HolderId id) const;

  std::size_t memory() const;  ///< octets, without the certificates, entries and holders

 private:
  static constexpr std::uint32_t none = UINT32_MAX;

  struct Link {
    HolderId holder = 0;
    std::uint32_t next = none;
    std::uint8_t credential = 0;
    Basis basis = Basis::San;
    bool serving = false;
  };
  struct Record {
    Holder holder;
    std::vector<NameIndex::Id> names;  // sorted, each once
    std::vector<std::optional<bool>> trusted = {};  // one for each credential, once one of them was asked for
  };
  enum class ConflictKind : std::uint8_t { HeldBack, Duplicate };
  struct Conflict {
    HolderId loser, winner;
    ConflictKind kind;
    friend auto operator<=>(const Conflict&, const Conflict&) = default;
  };

  std::vector<NameIndex::Id> drop_claims(Record& record, HolderId id);
  void mark(NameIndex::Id id);
  void decide_name(NameIndex::Id id, WallTime now, const Vouch& vouch, Slots<Entry>::Editor& editor,
                   Resolution& resolution);
  bool is_trusted(Record& record, std::uint8_t credential, const Vouch& vouch);
  void note_conflicts(NameIndex::Id id, const Verdict& verdict);
  Fault conflict_fault(const Conflict& conflict, const std::set<NameIndex::Id>& names) const;

  std::shared_ptr<NameIndex> names_;
  std::vector<std::uint32_t> heads_;  // by name: its first link
  std::vector<Link> links_;
  std::uint32_t free_link_ = none;
  std::unordered_map<HolderId, Record> holders_;
  std::vector<NameIndex::Id> dirty_;
  std::vector<bool> is_dirty_;
  std::map<Conflict, std::set<NameIndex::Id>> conflicts_;
  std::unordered_map<NameIndex::Id, std::vector<Conflict>> conflicts_of_;
  std::set<Conflict> fresh_conflicts_;
  std::vector<Candidate> candidates_;  // of the name at hand
  std::vector<std::uint32_t> candidate_links_;
  Slots<Entry> entries_;
  Snapshot::Index::Counts counts_;
  std::uint64_t version_;   // of the last snapshot
  bool made_one_ = false;
  std::shared_ptr<const Snapshot> current_;
};

}  // namespace postern::certs
