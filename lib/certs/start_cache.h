// What a process found out about certificate files, for the next one: which certificates they hold, what those say, and
// that the keys fit. So a start with 10^5 certificates decodes no key and reads only what holds keys.
//
// Nothing in it is believed of a file that is not the same one: by device, inode, size and times; and by its SHA-256
// wherever the file is read, which is where it holds keys, and where its times are too young to tell a later change.
// Nothing is believed at all of a cache that is damaged, or of another program version or machine. It holds
// certificates, names and digests; never a key. Values ↔ octets only: no files are read here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/loader.h"
#include "tls/credential.h"

namespace postern::certs {

struct RememberedFile {
  FileState state;
  std::optional<tls::Digest> digest;  ///< SHA-256 of its octets, if they were read
  bool tells_changes = false;         ///< see state_tells_changes(); else only its octets tell whether it is the same
};

/// Of one item (see Item), to be written.
struct RememberedItem {
  std::string key;
  std::vector<RememberedFile> files;
  std::vector<std::shared_ptr<const tls::Credential>> credentials;
};

struct Remembered {
  std::optional<tls::Digest> anchors;  ///< of the trust anchors under which no chain lacks an issuer
  std::vector<RememberedItem> items;
};

/// What is remembered of an item: credentials without their keys, and without chains if they were loaded lazily.
struct Recollection {
  std::vector<RememberedFile> files;
  std::vector<std::shared_ptr<tls::Credential>> credentials;
};

/// Whether a change after `seen_at` is sure to give the file, or folder, another state. Its times come from a clock that
/// stands still for some milliseconds, in old file systems for two seconds: two changes within one such tick look the same.
bool state_tells_changes(const FileState& state, WallTime seen_at);

/// `stamp` says for whom the cache is good: program version and machine.
std::string encode_start_cache(const Remembered& remembered, std::string_view stamp);

class StartCache {
 public:
  /// Fails when it is not exactly what encode_start_cache() wrote with this stamp; the error is a predicate ("is
  /// damaged").
  static Result<std::shared_ptr<const StartCache>> read(std::string octets, std::string_view stamp);

  /// What is known of the item of this key. From any thread.
  std::optional<Recollection> find(std::string_view key) const;
  const std::optional<tls::Digest>& anchors() const { return anchors_; }
  std::size_t size() const { return items_.size(); }

 private:
  StartCache() = default;

  std::string octets_;
  std::optional<tls::Digest> anchors_;
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> issuers_;
  std::unordered_map<std::string_view, std::string_view> items_;  // by key: the rest, encoded
};

}  // namespace postern::certs
