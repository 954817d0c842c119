// Keys that session tickets are sealed with (RFC 5077): made and rotated by ourselves, or read from a file that several
// machines share. They live outside the SSL_CTX, so that a reload of the configuration ends no ticket.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/shared_view.h"

namespace postern::tls {

struct TicketKey {
  std::array<std::uint8_t, 16> name{};  ///< public: stands in front of each ticket
  std::array<std::uint8_t, 32> hmac{};  ///< HMAC-SHA-256
  std::array<std::uint8_t, 32> aes{};   ///< AES-256-CBC
};

/// All keys that open tickets, and which of them seals new ones. Immutable; wipes itself.
class TicketKeys {
 public:
  TicketKeys(TicketKeys&&) = default;
  TicketKeys& operator=(TicketKeys&&) = default;
  ~TicketKeys();

  static TicketKeys random();

  /// A fresh key seals from now on, the one that sealed until now still opens, older ones are gone. Called once a
  /// ticket lifetime, so that every ticket can be used for the whole of it.
  TicketKeys rotated() const;

  /// One key a line, oldest first: 80 octets in base64, `openssl rand -base64 80 | tr -d '\n'` (HAProxy's
  /// tls-ticket-keys); empty lines and those that begin with # do not count. All open; the last but one seals, so that
  /// a new key can be put at the end on every machine before any machine uses it. A single key does both.
  static Result<TicketKeys> parse(std::string_view text, std::string_view source);

  const TicketKey& sealing() const { return keys_[sealing_]; }
  /// Null: unknown, the ticket is ignored.
  const TicketKey* find(std::string_view name) const;
  /// Whether a ticket under `key`, one of ours, should be replaced by a new one.
  bool is_outdated(const TicketKey& key) const { return &key < &sealing(); }

 private:
  TicketKeys(std::vector<TicketKey> keys, std::size_t sealing) : keys_(std::move(keys)), sealing_(sealing) {}

  std::vector<TicketKey> keys_;  // oldest first, never empty
  std::size_t sealing_ = 0;
};

/// The control thread publishes, handshakes on all threads read.
using TicketKeyring = Publisher<TicketKeys>;

}  // namespace postern::tls
