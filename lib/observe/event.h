// What happened, as values: one record for each session and each recipient. Rendering is log_line's; sinks are the
// daemon's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/instant.h"

namespace postern::observe {

enum class Level { Error, Warning, Info, Debug };

/// "error", "warning", "info", "debug"
std::string_view to_string(Level level);

/// One line a session, when it ends.
struct SessionRecord {
  std::string id;
  Endpoint peer;
  Endpoint local;
  std::string client_name;   ///< EHLO, raw
  std::string dns_name;      ///< confirmed by DNS; empty: none is
  std::string proxy;         ///< who has said that this is the peer: a load balancer's address, and what else it said
  bool tls = false;
  std::string sni;           ///< raw; empty: none
  std::string sni_match;     ///< "exact", "wildcard", "parent", "default", empty without TLS
  std::string certificate;   ///< subject or first name of the certificate served, and its file
  std::string tls_version;
  std::string tls_cipher;
  bool resumed = false;
  std::string tls_error;     ///< why a handshake or the TLS connection failed
  std::string outcome;       ///< "quit", "too many errors", "peer closed", ...
  std::uint64_t messages = 0;
  std::uint64_t recipients = 0;
  std::uint64_t octets = 0;
  Duration handshake{};
  Duration total{};
};

/// One line a recipient of a transaction, also for refused ones (DESIGN "Who has my mail").
struct RecipientRecord {
  std::string transaction;
  std::string session;
  std::string from;
  std::string to;
  Endpoint peer;
  std::string client_name;
  std::string dns_name;
  std::string forwarded_for; ///< what a trusted peer has said by XFORWARD
  std::string tls_version;
  std::string tls_cipher;
  std::string sni;
  std::string message_id;
  std::uint64_t octets = 0;
  std::string backend;
  Duration delay{};
  int code = 0;
  std::string reply;         ///< text of the reply, raw
  /// Of the other recipients that the reply may be about; null: it is about this one alone.
  std::shared_ptr<const std::vector<std::string>> others;
  std::string status;        ///< "taken", "refused", "deferred", "deduplicated", "separated" (delivery/ledger.h)
  std::string sts;           ///< what a sender that validates by MTA-STS makes of the connection: "pass", "fail:name", ...
};

/// A command that the session itself has refused; refused recipients have a RecipientRecord.
struct RefusedCommand {
  std::string session;
  Endpoint peer;
  std::string verb;          ///< "MAIL"; "unknown" for what is no command
  std::string line;          ///< raw
  std::string path;          ///< of MAIL: what stands where the reverse-path should be, raw
  int code = 0;
  std::string reply;         ///< enhanced status code and text
};

/// What the daemon says beside its records.
struct Note {
  Level level = Level::Info;
  std::string message;                 ///< prose; what it quotes from the wire is escaped (base/text.h)
  std::vector<std::string> addresses{};  ///< paths whose local parts the message may name without their domain
  /// What it is about, if it may come often: then only its first is written at once (repeats.h). Never for what belongs
  /// to one session or message alone.
  std::string topic{};
  std::string matter{};  ///< what it says of the topic: another one is news
};

/// A backend has answered for all the recipients of a message that it was to take.
struct HandOff {
  std::string backend;       ///< its name in the configuration
  std::uint64_t taken = 0, refused = 0, deferred = 0;  ///< recipients
  Duration duration{};       ///< since the client's end of data
};

/// One line a request to the policy host or for an ACME challenge.
struct HttpRecord {
  std::string id;            ///< of the connection
  Endpoint peer;
  std::string tls_version;   ///< empty: in clear
  std::string sni;           ///< raw
  std::string host;          ///< raw, as method and target
  std::string method;
  std::string target;
  std::uint64_t status = 0;
};

}  // namespace postern::observe
