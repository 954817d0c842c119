// The control socket: one JSON object a line each way. Requests and replies as values, for the daemon and the tool.
//
//   {"request":"status"}    →  {"reply":"status","version":"0.1.0",...}   the keys are the names of the members below
//   {"request":"reload"}    →  {"reply":"reload",...}
//   anything else           →  {"reply":"error","text":"unknown request ..."}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace postern::control {

struct StatusRequest {};
struct ReloadRequest {};
using Request = std::variant<StatusRequest, ReloadRequest>;

constexpr std::size_t request_octets_max = 64 * 1024;
constexpr std::size_t reply_octets_max = 64 * 1024 * 1024;  ///< a reload that renews 10^6 names still fits

/// One listening address.
struct ListenerStatus {
  std::string address;
  std::string tls;  ///< "starttls", "implicit", "none"
};

struct BackendStatus {
  std::string name;
  std::string target;
  std::uint64_t connections = 0;  ///< open now
  std::uint64_t idle = 0;
  std::uint64_t waiting = 0;      ///< transactions in line for a connection
  bool up = true;                 ///< false: not used until a look at it succeeds
  std::uint64_t failures = 0;     ///< connections that failed since the start
  std::string last_failure;       ///< empty: none
};

/// Who has a message, or was refused it, whose sender was told to come again. Counts since the start.
struct LedgerStatus {
  std::uint64_t entries = 0;       ///< now
  std::uint64_t recorded = 0;
  std::uint64_t deduplicated = 0;  ///< recipients that were not delivered to again
  std::uint64_t refused = 0;       ///< recipients that got the refusal of an earlier try
  std::uint64_t separated = 0;     ///< recipients that were sent to another transaction
  std::uint64_t dropped = 0;       ///< entries that made room for others
  std::uint64_t failures = 0;      ///< writes that failed
  std::string last_failure;        ///< empty: the last write went well
};

struct StatusReply {
  std::string version;
  std::uint64_t pid = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t workers = 0;
  std::uint64_t sessions = 0;           ///< open now
  std::uint64_t sessions_total = 0;
  std::uint64_t messages_total = 0;     ///< answered 250
  std::uint64_t names = 0;
  std::uint64_t certificates = 0;
  std::uint64_t map_version = 0;
  std::uint64_t config_generation = 0;
  std::vector<std::string> faults;      ///< of the last load, one line each
  std::vector<ListenerStatus> listeners;
  std::vector<BackendStatus> backends;
  LedgerStatus ledger;
};

struct ReloadReply {
  bool configuration_taken = false;     ///< false: `errors` says why and the old one goes on
  std::vector<std::string> errors;
  std::vector<std::string> warnings;    ///< among them: what needs a restart
  std::vector<std::string> added, removed, renewed;  ///< names
  std::vector<std::string> faults;
};

/// The request could not be understood or carried out.
struct ErrorReply {
  std::string text;
};
using Reply = std::variant<StatusReply, ReloadReply, ErrorReply>;

/// One line, without its LF. Never throws: octets that are not UTF-8 become U+FFFD.
std::string to_json(const Request& request);
std::string to_json(const Reply& reply);

/// The error's text is what the daemon answers as an ErrorReply: for an unknown request it names the known ones. A
/// request with keys that it does not take is malformed.
Result<Request> parse_request(std::string_view line);

/// Every field must be there and of its type; keys that are not known are passed over, so that an older tool
/// understands a newer daemon.
Result<Reply> parse_reply(std::string_view line);

}  // namespace postern::control
