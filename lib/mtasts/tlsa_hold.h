// A renewed certificate with a key that its published TLSA records do not cover would be refused by every sender that
// follows DANE. It is held back until the records are there: at all authoritative servers, and for twice their TTL, so that
// no cache has only the old ones any more (RFC 7671 section 8). No sockets and no clock: the caller asks the servers and
// says what they said.
//
//   TlsaHold hold(now, served_ends);
//   while (hold.standing() == TlsaHold::Standing::Held) hold.looked(what_each_server_says, now);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"

namespace postern::mtasts {

/// What one authoritative server says of the TLSA records of one MX name.
struct TlsaAtServer {
  enum class Says : std::uint8_t {
    Covers,   ///< a record that fits the held certificate
    Lacks,    ///< there are records that senders use, and none of them fits
    None,     ///< no record that senders use
    Nothing,  ///< it gave no answer
  };
  std::string server;       ///< for people
  Says says = Says::Nothing;
  std::chrono::seconds ttl{};  ///< of its records
};

/// One held certificate under one MX name.
class TlsaHold {
 public:
  /// `served_ends`: when the certificate ends that is served meanwhile.
  TlsaHold(WallTime now, WallTime served_ends);

  enum class Standing : std::uint8_t {
    Held,
    Free,    ///< seen long enough, or the name has no TLSA records: DANE says nothing of it
    Forced,  ///< the records never came, and the certificate that is served will end soon: an alarm
  };
  /// A look at all authoritative servers of the name; an empty one: they could not be found.
  void looked(const std::vector<TlsaAtServer>& servers, WallTime now);
  Standing standing() const { return standing_; }

  /// What it waits for, or why it ended, for people.
  const std::string& why() const { return why_; }
  /// When to look again.
  WallTime next_look() const { return next_look_; }
  /// Until when it is held at most.
  WallTime deadline() const { return deadline_; }

  /// How long before the end of the served certificate a hold ends, unless its whole remaining life is shorter than twice
  /// that: then at half of it.
  static constexpr std::chrono::hours margin{72};

 private:
  void judge(const std::vector<TlsaAtServer>& servers, WallTime now);
  void wait(std::string why, WallTime until);

  WallTime deadline_;
  std::chrono::seconds ttl_{};           // the longest that was seen: what caches may have
  std::optional<WallTime> seen_since_;   // by all servers
  Standing standing_ = Standing::Held;
  std::string why_ = "its TLSA records have not been looked up yet";
  WallTime next_look_;
};

}  // namespace postern::mtasts
