// Who gets a name that several certificates have: the order of strength and the conflict rules of DESIGN section 4, as
// one pure decision.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "tls/credential.h"

namespace postern::certs {

/// Stronger sources first.
enum class Strength : std::uint8_t { Configuration, Map, Directory };

/// Why a certificate may serve a name.
enum class Basis : std::uint8_t {
  Declared,    ///< the operator said so, in the configuration or in a map
  NamedAfter,  ///< the file, or its folder, is named after the name
  San,         ///< the certificate says so itself; its file is named after something else
};

struct Candidate {
  const tls::Credential* credential = nullptr;
  std::uint32_t holder = 0;     ///< the file (or group of files) that it came from
  Strength strength = Strength::Directory;
  std::uint32_t order = 0;      ///< place of the source among those of its strength
  Basis basis = Basis::San;
  std::string_view lineage = {};  ///< see lineage_of()
  bool serving = false;         ///< the holder serves the name now
};

struct Verdict {
  std::optional<std::size_t> ecdsa;    ///< a candidate with an EC or Ed25519 key
  std::optional<std::size_t> rsa;
  std::optional<std::size_t> primary;  ///< the one with the best right to the name
  /// Candidates that would take the name, or half of it, away from a file with a better right: to be reported.
  std::vector<std::size_t> held_back;
  /// Candidates that the operator declared for the name although a better one of the same kind is declared too.
  std::vector<std::size_t> duplicates;
};

/// Whether the chain of a candidate, given by its index, leads to a trust anchor. Costly: asked only where the answer may
/// decide.
using Trusted = std::function<bool(std::size_t candidate)>;

/// For each kind of key: the stronger source; valid (neither expired nor from the future) before not; a chain that leads
/// to a trust anchor before one that does not; not self-signed before self-signed; the file named after the name before a SAN elsewhere; an EC key before an Ed25519 key, which few
/// senders can verify; later notBefore before earlier.
///
/// Before that, a tenant's certificate must not capture a neighbour's name: while a valid certificate serves the name
/// (or, where none does yet, while the best candidate is valid), a mere SAN in a file of another lineage is held back,
/// for both kinds of key: else a neighbour's RSA certificate would capture the senders that know no ECDSA.
/// Without `trusted`, no chain leads anywhere.
Verdict decide(const std::vector<Candidate>& candidates, WallTime now, const Trusted& trusted = {});

bool is_valid(const tls::Credential& credential, WallTime now);
bool is_rsa(const tls::Credential& credential);

}  // namespace postern::certs
