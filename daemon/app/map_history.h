// The last versions of the certificate map, in `state_dir/certs/`: so that one can go back to them, also after a restart.
// Certificates and digests only: the keys stay where they are. Blocking: for the loading thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/loader.h"
#include "certs/version_file.h"

namespace postern::app {

class MapHistory {
 public:
  static constexpr std::size_t versions_kept = 20;

  /// Looks at what is there; creates nothing. A folder that cannot be read has no versions.
  explicit MapHistory(std::string folder);

  std::uint64_t last_version() const { return versions_.empty() ? 0 : versions_.back().version; }

  /// Writes down the first map of this process: what it changes against the last version, or the whole map.
  /// Returns the changes.
  Result<certs::Changes> begin(const certs::Snapshot& snapshot, std::size_t faults, WallTime now);
  /// Writes down the map that follows the one that was written down last.
  Result<void> add(const certs::Snapshot& snapshot, const certs::Changes& changes, std::size_t faults, WallTime now);

  /// Those that one can go back to, oldest first.
  std::vector<certs::VersionSummary> list() const;
  Result<certs::VersionFile> read(std::uint64_t version) const;

  /// Which version stays live, also over a restart; 0: none.
  Result<void> pin(std::uint64_t version);
  std::uint64_t pinned() const;

 private:
  struct Kept {
    std::uint64_t version = 0;
    bool whole = false;
    std::uint64_t octets = 0;
  };

  std::string path_of(const Kept& kept) const;
  Result<void> write(certs::VersionFile file);
  bool whole_is_due() const;
  void drop_old();

  std::string folder_;
  std::vector<Kept> versions_;  // by version
};

/// A map of a version that was kept, with the keys that can still be found.
struct RestoredMap {
  std::shared_ptr<const certs::Snapshot> snapshot;
  std::vector<std::string> missing;  ///< "NAME: why its certificate of then cannot be served": it keeps that of now
};

/// Certificates that `live` has too are taken from there; keys of the others are read from their files, or from those
/// that the names have in `live`.
RestoredMap restore(const certs::VersionFile& version, const certs::Snapshot& live, certs::FileSource& files);

}  // namespace postern::app
