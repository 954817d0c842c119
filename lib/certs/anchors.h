// Trust anchors: whether the public (or those whom the operator names) would follow a chain that we serve.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/instant.h"
#include "base/result.h"
#include "certs/fault.h"
#include "certs/loader.h"
#include "tls/credential.h"
#include "tls/peer_check.h"

namespace postern::certs {

/// Immutable; may be asked from several threads.
class Anchors {
 public:
  /// `source` names the file in errors. Fails when there is no certificate, or a damaged one.
  static Result<std::shared_ptr<const Anchors>> from_pem(std::string_view pem, std::string source);

  /// Whether the chain leads to an anchor: half a millisecond. An expired leaf is judged as it was when it was valid, for
  /// its expiry is another matter.
  bool vouch_for(const tls::Credential& credential, WallTime now) const;

  /// What a chain lacks, found by comparing names: no signature is verified for it.
  struct MissingIssuer {
    std::size_t place;   ///< of the certificate in the chain that was issued by it; 1 is the leaf
    std::string issuer;  ///< for people
  };
  std::optional<MissingIssuer> missing_issuer(const tls::Chain& chain, WallTime now) const;

  const std::string& source() const { return source_; }
  const tls::Digest& digest() const { return digest_; }  ///< SHA-256 of the file

 private:
  std::string source_;
  tls::Digest digest_{};
  bssl::UniquePtr<X509_STORE> store_;
  std::set<std::string, std::less<>> subjects_;  // distinguished names, DER
};

/// Where the distributions keep the anchors of the system; nothing when this system has none.
std::optional<std::string> system_anchor_file(FileSource& files);

/// The file of anchors, read again when it is another one.
class AnchorFile {
 public:
  /// `configured` is a path; empty: the system's, if it has any. True when there are other anchors than before. What is
  /// wrong with the file is a fault, and the anchors that were read before stay.
  bool look(FileSource& files, const std::string& configured);

  /// Null: none, and nothing can be said about chains.
  const std::shared_ptr<const Anchors>& current() const { return current_; }
  const std::optional<Fault>& fault() const { return fault_; }

 private:
  std::string path_;
  std::optional<FileState> state_;
  std::shared_ptr<const Anchors> current_;
  std::optional<Fault> fault_;
};

}  // namespace postern::certs
