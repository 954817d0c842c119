// An immutable map from host name to credentials. No file I/O: loader makes it, chooser asks it.
//
// Look-up order (DESIGN section 4): the exact name; then `*.` of its parent, kept apart from exact names (a wildcard
// never answers for its own apex, nor a name for its children); then `.parent` entries of Postfix maps, nearest first.
// Names are canonical (DnsName), so a look-up compares bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "tls/credential.h"

namespace postern::certs {

/// The credentials of one entry, at most one of each key family, so that the ClientHello can decide.
struct Entry {
  std::shared_ptr<const tls::Credential> ecdsa;    // EC and Ed25519 keys
  std::shared_ptr<const tls::Credential> rsa;
};

struct Found {
  const Entry* entry = nullptr;  ///< null: not in the map
  tls::Match match = tls::Match::Default;
};

class Snapshot {
 public:
  Found find(const DnsName& name) const noexcept;

  /// An entry for `default_certificate`: the `id` of a `[[certificate]]`, or a name.
  const Entry* find_default(std::string_view id_or_name) const noexcept;

  std::uint64_t version() const;
  std::size_t name_count() const;
  std::size_t certificate_count() const;

  // The owner of this file adds what builds and enumerates a snapshot.
  struct Index;
  explicit Snapshot(std::unique_ptr<const Index> index);
  ~Snapshot();
  const Index& index() const { return *index_; }

 private:
  std::unique_ptr<const Index> index_;
};

}  // namespace postern::certs
