// The `[tls]` part of the configuration, as the TLS layer needs it. config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace postern::tls {

enum class Version : std::uint16_t { Tls10 = 0x0301, Tls11 = 0x0302, Tls12 = 0x0303, Tls13 = 0x0304 };

/// Where RSA private keys are used; all other kinds are quick and always used in place.
enum class RsaKeys {
  Inline,   ///< in the handshake, on the calling thread
  Outside,  ///< by whoever takes Stream::take_key_operation()
};

struct TlsSettings {
  Version min_version = Version::Tls12;
  unsigned tickets = 1;  ///< TLS 1.3 tickets a handshake; 0 for none
  std::chrono::seconds ticket_lifetime = std::chrono::hours(12);  ///< TLS 1.3 allows 7 days at most
  std::string ticket_key_file = {};  ///< path; empty: random keys of this process alone
  RsaKeys rsa_keys = RsaKeys::Inline;
};

}  // namespace postern::tls
