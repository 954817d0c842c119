// A version of the certificate map as it is kept on disk: which certificate each name has, the certificates themselves,
// and where their keys were. Never a key. Values ↔ octets only: no files are read here.
//
// A file holds either a whole map or what one version changed against the one before, so that a renewal writes what it
// renews and not 10^6 names. A SHA-256 stands at the end: a file that was damaged or cut is known as such.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/difference.h"
#include "certs/snapshot.h"
#include "tls/credential.h"

namespace postern::certs {

struct StoredCertificate {
  std::vector<std::string> chain;      ///< DER, leaf first
  std::string source;                  ///< as in tls::Credential
  std::vector<std::string> key_files;  ///< where the key may be found
};

/// SHA-256 of leaves; nothing for a kind that the name does not have. Neither: the name has gone.
struct StoredEntry {
  std::optional<tls::Digest> ecdsa, rsa;
};

/// What a version changed, in numbers, against the one before.
struct VersionSummary {
  std::uint64_t version = 0;
  WallTime time{};
  std::uint64_t names = 0, certificates = 0;
  std::uint64_t added = 0, removed = 0, renewed = 0, worse = 0, faults = 0;
};

struct VersionFile {
  VersionSummary summary;
  std::uint64_t base = 0;  ///< the version that this is to be applied to; 0: a whole map
  std::map<std::string, StoredEntry> entries;  ///< by key
  std::map<tls::Digest, StoredCertificate> certificates;
};

/// The whole of a snapshot.
VersionFile whole_version(const Snapshot& snapshot);
/// What is in `snapshot` of the names that `changes` tells; these are the changes against version `base`.
VersionFile changed_version(const Snapshot& snapshot, std::uint64_t base, const Changes& changes);

std::string encode(const VersionFile& file);
Result<VersionFile> decode_version(std::string_view octets);
/// Only what stands at the beginning, which is not checked against the digest: for lists.
Result<VersionSummary> decode_summary(std::string_view octets);

/// Makes `whole` the version that comes after it.
void apply(const VersionFile& change, VersionFile& whole);

/// How a map differs from a version that was kept.
Changes difference(const VersionFile& before, const Snapshot& after);

}  // namespace postern::certs
