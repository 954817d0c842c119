// Where certificates come from: `[[certificate]]` and `[certificates]`. config/ fills it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/dns_name.h"

namespace postern::certs {

/// Where in the configuration an entry stands, for messages: "posternd.toml:12:1".
using Origin = std::string;

/// One `[[certificate]]`.
struct ExplicitCertificate {
  std::string id;                  ///< may be empty; `default_certificate` can name it
  std::vector<std::string> names;  ///< host names and `*.` names; empty: the certificate's SANs
  std::string chain;               ///< path
  std::string key;                 ///< path; empty: the key stands in `chain`
  Origin origin;
};

enum class Names {
  All,       ///< every SAN of a certificate in a directory
  Declared,  ///< only names that a map or a `[[domain]]` declares
};

enum class Load {
  Eager,  ///< everything is read at once
  Lazy,   ///< only the leaves are; chain and key at the first use
};

struct SourceSettings {
  std::vector<ExplicitCertificate> certificates;
  std::vector<std::string> maps;         ///< Postfix tls_server_sni_maps source files
  std::vector<std::string> directories;
  std::string roots;                     ///< PEM file of trust anchors; empty: those of the system
  Names names = Names::All;
  Load load = Load::Eager;
  std::size_t cache = 10'000;            ///< certificates kept whole with Load::Lazy
  std::vector<DnsName> declared;         ///< MX names of the `[[domain]]`s, for Names::Declared
  bool require_tlsa = false;             ///< see Gate
  unsigned max_loss = 10;                ///< percent of the names that a new map may lack; see loses_too_much()
};

}  // namespace postern::certs
