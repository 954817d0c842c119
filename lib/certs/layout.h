// Which files of a folder are certificates and keys, in the layouts of
//   certbot, dehydrated   NAME/fullchain.pem + NAME/privkey.pem (with links; README, cert.pem, chain.pem are passed over)
//   lego                  NAME.crt + NAME.key (not NAME.issuer.crt, NAME.json, NAME.pem)
//   Kubernetes            tls.crt + tls.key, in the folder or one below (with `..data` links)
//   HAProxy               NAME.pem with key and chain; NAME.pem + NAME.key; NAME.pem + NAME.pem.key; NAME.pem.rsa
// Names only: no file is read here, and no layout has to be chosen.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "certs/loader.h"

namespace postern::certs {

/// A certificate in a folder. Paths are names in that folder.
struct LayoutItem {
  std::string chain;
  std::string key;   ///< empty: the key stands in `chain`
  std::string stem;  ///< what it is named after: a file name without its ending, or the name of the folder

  friend bool operator==(const LayoutItem&, const LayoutItem&) = default;
};

struct Layout {
  std::vector<LayoutItem> items;
  std::vector<std::string> subfolders;  ///< to be looked into
};

/// `folder` is the path of the folder (its last part names certificates such as tls.crt).
Layout layout_of(std::string_view folder, const std::vector<DirectoryEntry>& entries);

/// What a stem says about the certificate: `mx.example.com-rsa`, `mx.example.com-0001` and `mx.example.com` are one
/// lineage, so that the files with the ECDSA and the RSA certificate of one name are known to belong together. In
/// lower case, and `_.` or `*.` for wildcards left off.
std::string lineage_of(std::string_view stem);

}  // namespace postern::certs
