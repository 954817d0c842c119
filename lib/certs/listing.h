// What the sources hold, for people: one row a certificate, or a file that gives none; and why a name gets the
// certificate that it gets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "base/instant.h"
#include "certs/snapshot.h"
#include "tls/credential.h"

namespace postern::certs {

enum class RowState : std::uint8_t {
  Served,       ///< for all the names that it has, or some of them (see Row::served_count)
  Shadowed,     ///< other certificates are served for all of its names, or it has none
  Expired,      ///< and served all the same, if nothing else is
  NotYetValid,
  Incomplete,   ///< served, but its chain lacks an issuer, so that a sender that checks refuses it
  Failed,       ///< its files cannot be used as they are now; what was read before may be served
};
std::string_view to_string(RowState state);
std::optional<RowState> row_state(std::string_view text);

struct Row {
  static constexpr std::size_t names_max = 100;

  std::vector<std::string> names;  ///< that it matches: hosts, `*.` and `.` names; the first names_max of them
  std::uint64_t name_count = 0;
  std::uint64_t served_count = 0;  ///< of the names, those for which it is served
  std::optional<tls::KeyKind> key_kind;  ///< nothing, like what follows, for a file that gives no certificate
  unsigned key_bits = 0;
  std::string subject, issuer;
  WallTime not_before{}, not_after{};
  tls::Digest fingerprint{};
  std::string source;              ///< the file
  std::string key_source;
  RowState state = RowState::Served;
  std::string reason;              ///< for all states but Served
  std::optional<WallTime> since;   ///< for Failed: when that was seen first
};

struct RowFilter {
  std::string text;                      ///< part of a name or of a file's path; empty: all
  std::optional<RowState> state;
  std::optional<WallTime> ends_before;   ///< only certificates that expire before
};

struct RowPage {
  std::vector<Row> rows;
  std::optional<std::uint64_t> next;     ///< where to go on; nothing: that was all
};

/// One that is asked for is explained in sentences; what a listener without a match serves is up to the caller.
struct Explanation {
  std::vector<std::string> steps;
  std::string key;                       ///< of the entry that matched; empty: none
  tls::Match match = tls::Match::Default;
  std::vector<std::string> sources;      ///< of what is served, ECDSA before RSA
};

}  // namespace postern::certs
