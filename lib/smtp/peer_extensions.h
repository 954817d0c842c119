// What a server that we talk to offers, and what follows from it for a transaction. Values only; the course of a
// session is in client_session.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "smtp/address.h"
#include "smtp/parameters.h"
#include "smtp/reply.h"

namespace postern::smtp {

/// What the peer's LHLO or EHLO answer offered.
struct PeerExtensions {
  bool pipelining = false;
  bool eight_bit_mime = false;
  bool smtputf8 = false;
  bool chunking = false;
  bool binary_mime = false;
  bool dsn = false;
  bool starttls = false;
  bool require_tls = false;
  std::optional<std::uint64_t> size_max;  ///< SIZE (RFC 1870); 0: offered, no limit was said; absent: not offered
  std::vector<std::string> xclient;       ///< attributes that XCLIENT may set, upper case; empty: not offered
  std::vector<std::string> xforward;      ///< the same of XFORWARD
  std::vector<std::string> keywords;      ///< every keyword, upper case

  friend bool operator==(const PeerExtensions&, const PeerExtensions&) = default;
};

/// Of what a peer offers, what decides which messages it can be given at all. All true is the most.
struct Capabilities {
  bool smtputf8 = false;
  bool binary_mime = false;  ///< with CHUNKING
  bool dsn = false;
  bool require_tls = false;

  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};
/// Who can read what goes to a peer.
enum class Privacy {
  Open,   ///< whoever stands on the way: it may cross a network in clear
  Local,  ///< nobody outside this machine
  Tls,    ///< nobody but the peer, whose certificate was verified
};
/// Behind a store a message has arrived: all that REQUIRETLS asks of it is privacy. An MTA must promise to keep the rest of
/// the way private, by offering REQUIRETLS under TLS (RFC 8689 section 4.2.1).
enum class PeerRole { Store, Mta };
Capabilities capabilities_of(const PeerExtensions& offered, PeerRole role, Privacy privacy);
/// What both have.
Capabilities common(const Capabilities& one, const Capabilities& other);

/// Of the answer to EHLO or LHLO.
PeerExtensions parse_extensions(const Reply& hello);

/// Why a message with these parameters cannot go to a peer with these capabilities at all.
std::optional<Reply> cannot_carry(const MailParameters& parameters, const Capabilities& offered);

}  // namespace postern::smtp
