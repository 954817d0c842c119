// What the ledger knows messages and envelopes by: keyed digests, so that the file says nothing about anybody's mail to
// whoever has it without the secret, and nobody can make a message that is taken for another.
//
// Two tries at one message are recognized by what its author wrote: sender, Message-ID, From, Date, Subject and the body
// to the last octet. All other header fields are left out, because they are what changes between two tries: Received,
// DKIM-Signature, ARC-*, Authentication-Results, X-* and whatever else a hop before us adds, when the second try comes
// by another way. Folding and white space in the four fields do not count either. A message without a Message-ID may be
// one of many that look alike (a report that is sent every minute): there every octet counts, and the client's address.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "smtp/address.h"
#include "tls/digest.h"

namespace postern::delivery {

/// 128 bits of an HMAC: enough that no two ever meet by chance.
using LedgerDigest = std::array<std::uint8_t, 16>;

/// A sender and one recipient: what is known at RCPT.
struct EnvelopeKey {
  LedgerDigest digest{};
  friend auto operator<=>(const EnvelopeKey&, const EnvelopeKey&) = default;
};

/// A message of a sender, whoever it is for: what is known behind the final dot.
struct MessageKey {
  LedgerDigest digest{};
  friend auto operator<=>(const MessageKey&, const MessageKey&) = default;
};

/// 32 random octets that never leave this machine.
struct LedgerSecret {
  std::array<std::uint8_t, 32> octets{};
};

/// `sender`: see canonical_sender().
EnvelopeKey envelope_key(const LedgerSecret& secret, std::string_view sender, const smtp::ForwardPath& to);

/// Makes the MessageKey of a message that comes in pieces. Keeps a part of one header line, never the message.
class MessageDigester {
 public:
  void receive(std::string_view bytes);

  /// Once, at the end of the message. `client` counts only without a Message-ID.
  MessageKey finish(const LedgerSecret& secret, std::string_view sender, const IpAddress& client);

 private:
  static constexpr std::size_t fields_counted = 4;
  static constexpr std::size_t name_octets_max = 16;

  void take_header_octet(char c);
  void begin_value();
  void add_to_value(char c);
  void flush_value();
  void end_header();

  enum class Place { LineStart, Name, Value, Body };
  Place place_ = Place::LineStart;
  std::string name_;                  // of the field that is being read, lower case, cut
  std::optional<std::size_t> field_;  // which of the fields that count it is
  std::string value_;                 // of that field, unfolded, not yet hashed
  bool value_begun_ = false;
  bool space_due_ = false;
  bool has_message_id_ = false;
  std::array<tls::Sha256, fields_counted> fields_;
  tls::Sha256 body_;   // with a Message-ID
  tls::Sha256 whole_;  // without
};

}  // namespace postern::delivery
