// The control socket: one JSON object a line each way. Requests and replies as values, for the daemon and the tool.
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
  std::uint64_t failures = 0;     ///< connections that failed since the start
  std::string last_failure;       ///< empty: none
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

/// One line, without its LF.
std::string to_json(const Request& request);
std::string to_json(const Reply& reply);
Result<Request> parse_request(std::string_view line);
Result<Reply> parse_reply(std::string_view line);

}  // namespace postern::control
