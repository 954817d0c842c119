// Which private key belongs to which certificates in PEM text that holds several of each. Only block borders are looked
// at here; tls/credential reads the blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::certs {

/// One private key and the certificates with it, as PEM text; either may be missing.
struct PemGroup {
  std::string text;
  bool has_key = false;
  bool has_certificate = false;
};

/// Splits the texts of the files of one map entry. Postfix's order is key, leaf, issuers, key, leaf, ...; what HAProxy
/// and others write (leaf, issuers, key) is understood too, as are a key and its chain in a file each.
std::vector<PemGroup> pem_groups(const std::vector<std::string_view>& files);

}  // namespace postern::certs
