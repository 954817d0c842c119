// The control socket: one JSON object a line each way. Requests and replies as values, for the daemon and the tool.
//
//   {"request":"status"}                     →  {"reply":"status","version":"0.1.0",...}
//   {"request":"reload","dry_run":true}      →  {"reply":"reload",...}
//   anything else                            →  {"reply":"error","text":"unknown request ..."}
//
// The keys are the names of the members below. A request may leave out every key that has a default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace postern::control {

struct StatusRequest {};

struct ReloadRequest {
  bool dry_run = false;      ///< only say what a reload would do
  bool accept_loss = false;  ///< take the map although it has much fewer names than the one before
};

/// One page of the list of certificates.
struct CertificatesRequest {
  std::uint64_t from = 0;          ///< CertificatesReply::next of the page before
  std::uint64_t limit = 500;       ///< rows of a page; page_rows_max at most
  std::string text;                ///< part of a name or of a file's path
  std::string state;               ///< "served", "shadowed", "expired", "not-yet-valid", "incomplete", "failed"
  std::uint64_t expires_within_days = 0;  ///< 0: all
};

/// Which certificate a client gets that asks for `name`, and why.
struct ExplainRequest {
  std::string name;
};

/// The versions of the map that can be gone back to.
struct VersionsRequest {};

/// Go back to a version of the map, and stay there until the next reload by request.
struct RollbackRequest {
  std::uint64_t version = 0;
};

/// The sessions that are open.
struct SessionsRequest {
  std::string text;                ///< part of an id, an address, an EHLO or SNI name, or of what it is doing
  std::uint64_t limit = 500;       ///< sessions; page_rows_max at most
};

/// Readiness goes down at once; a while later nobody gets in any more. Sessions go on.
struct DrainRequest {};
struct UndrainRequest {};

/// Until the next reload.
struct LogLevelRequest {
  std::string level;               ///< "error", "warning", "info", "debug"; empty: only says which it is
};

/// The score of senders: what they ask for in SNI, and what they make of the certificates that they get.
struct SniRequest {
  std::string window = "24h";  ///< "1h", "24h" or "7d"
  std::uint64_t limit = 50;    ///< senders, the heaviest first
};

/// The same of the mail to one domain: whether `enforce` is safe.
struct SniDomainRequest {
  std::string domain;
  std::string window = "24h";
};

/// The latest handshakes that failed.
struct SniFailuresRequest {
  std::uint64_t limit = 50;
};

/// The same of many domains: first those for which `enforce` is not safe, then those with the most mail.
struct SniDomainsRequest {
  std::string window = "24h";
  std::uint64_t limit = 50;
};

/// What the page of the admin listener shows: the essence of the others, of bounded size.
struct PageRequest {
  std::string window = "24h";  ///< of the score
};

using Request = std::variant<StatusRequest, ReloadRequest, CertificatesRequest, ExplainRequest, VersionsRequest,
                             RollbackRequest, SessionsRequest, DrainRequest, UndrainRequest, LogLevelRequest, SniRequest,
                             SniDomainRequest, SniFailuresRequest, SniDomainsRequest, PageRequest>;

constexpr std::uint64_t page_rows_max = 2000;  ///< so that a page stays far below reply_octets_max

constexpr std::size_t request_octets_max = 64 * 1024;
constexpr std::size_t reply_octets_max = 64 * 1024 * 1024;  ///< a reload that renews 10^6 names still fits

/// One listening address.
struct ListenerStatus {
  std::string address;
  std::string protocol;  ///< "smtp", "mta-sts", "acme", "admin"
  std::string tls;  ///< "starttls", "implicit", "none"
};

struct BackendStatus {
  std::string name;
  std::string target;
  std::uint64_t connections = 0;  ///< open now
  std::uint64_t idle = 0;
  std::uint64_t waiting = 0;      ///< transactions in line for a connection
  bool up = true;                 ///< false: not used until a look at it succeeds
  std::uint64_t down_seconds = 0; ///< how long it has not been up, by the worker that says longest
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

struct WorkerStatus {
  std::uint64_t sessions = 0;          ///< open now
  std::uint64_t sessions_total = 0;
  std::uint64_t messages_total = 0;
};

/// How much of something came in the last minute, or since the start if that is shorter ago.
struct RateStatus {
  std::uint64_t seconds = 0;           ///< how long that is
  std::uint64_t sessions = 0;
  std::uint64_t messages = 0;
  std::uint64_t octets = 0;            ///< of messages
};

struct StatusReply {
  std::string version;
  std::uint64_t pid = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t workers = 0;
  bool ready = true;                    ///< what /readyz says
  std::vector<std::string> not_ready;   ///< why not
  bool draining = false;
  std::string log_level;
  std::uint64_t memory_octets = 0;      ///< resident
  std::uint64_t message_memory_octets = 0;  ///< of these for messages, against limits.message_memory
  std::uint64_t descriptors = 0;
  std::uint64_t descriptors_max = 0;
  RateStatus rates;
  std::vector<WorkerStatus> per_worker;
  std::uint64_t sessions = 0;           ///< open now
  std::uint64_t sessions_total = 0;
  std::uint64_t messages_total = 0;     ///< answered 250
  std::uint64_t key_queue_full = 0;     ///< handshakes that ended because too many waited for an RSA key
  std::uint64_t names = 0;
  std::uint64_t certificates = 0;
  std::uint64_t map_version = 0;
  std::uint64_t pinned_version = 0;     ///< of the map, which stays until the next reload by request; 0: none
  std::string held_back;                ///< why a newer map is not live; empty: there is none
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
  bool dry_run = false;                 ///< nothing of this has been done
  std::uint64_t map_version = 0;        ///< of the map that this made, or would have made
  std::vector<std::string> added, removed, renewed;  ///< names, against the map that is (or was) live
  std::vector<std::string> worse;       ///< "NAME: why its new certificate is not as good as the one before"
  std::vector<std::string> faults;
};

/// A certificate, or a file that gives none. Times as in RFC 3339; empty where there is no certificate.
struct CertificateRow {
  std::vector<std::string> names;       ///< that it matches, the first hundred
  std::uint64_t name_count = 0;
  std::uint64_t served_count = 0;       ///< names for which it is served
  std::string key;                      ///< "ECDSA P-256", "RSA 2048"
  std::string issuer;
  std::string not_before, not_after;
  std::int64_t days_left = 0;           ///< negative when it has expired
  std::string fingerprint;              ///< SHA-256 of the certificate, hexadecimal
  std::string source, key_source;       ///< files
  std::string state;                    ///< see CertificatesRequest::state
  std::string reason;                   ///< for all states but "served"
  std::string since;                    ///< for "failed"
};

struct CertificatesReply {
  std::uint64_t map_version = 0;
  std::vector<CertificateRow> certificates;
  std::uint64_t next = 0;               ///< ask again from here; 0: that was all
};

/// What one listening address serves to clients whose name is not in the map.
struct DefaultCertificate {
  std::string address;
  std::string certificate;              ///< as configured: a name, or an id
  std::vector<std::string> sources;     ///< files of what is served
};

struct ExplainReply {
  std::string name;
  std::string key;                      ///< the entry that matches; empty: the default is served
  std::string match;                    ///< "exact", "wildcard", "parent" or "default"
  std::vector<std::string> sources;     ///< files of what is served, ECDSA before RSA
  std::vector<std::string> steps;
  std::vector<DefaultCertificate> defaults;  ///< of each listening address with TLS
};

/// One version of the certificate map, and what it changed.
struct MapVersion {
  std::uint64_t version = 0;
  std::string time;                     ///< RFC 3339
  std::uint64_t names = 0, certificates = 0;
  std::uint64_t added = 0, removed = 0, renewed = 0, worse = 0, faults = 0;
  bool live = false;
};

struct VersionsReply {
  std::vector<MapVersion> versions;     ///< oldest first
  std::uint64_t pinned_version = 0;
};

struct RollbackReply {
  std::uint64_t version = 0;
  std::vector<std::string> added, removed, renewed;  ///< names, against the map that was live
  std::vector<std::string> missing;     ///< "NAME: why the certificate that it had then cannot be served"
};

/// One open session. Names are raw.
struct SessionRow {
  std::string id;
  std::string peer, local;
  std::string client_name;              ///< EHLO
  std::string tls_version;              ///< empty: in clear
  std::string sni;
  std::string doing;                    ///< "handshake", "idle", "transaction", "delivery", "closing"
  std::uint64_t milliseconds = 0;       ///< since it was accepted
  std::uint64_t messages = 0, recipients = 0, octets = 0;
};

struct SessionsReply {
  std::uint64_t matching = 0;           ///< sessions; there may be more than rows
  std::vector<SessionRow> sessions;     ///< the oldest first
};

struct DrainReply {
  bool draining = false;
  std::uint64_t accepts_for_seconds = 0;  ///< connections are still accepted so long
};

struct LogLevelReply {
  std::string level, before;
};

/// So many of one kind: of refusals, of reasons.
struct SniKind {
  std::string kind;
  std::uint64_t count = 0;
};

struct SniCounts {
  std::uint64_t handshakes = 0;  ///< begun; the five kinds of names that follow make their number
  std::uint64_t exact = 0, wildcard = 0, unknown = 0, unusable = 0, without_sni = 0;
  std::uint64_t tls13 = 0, tls12 = 0, older = 0;  ///< of those that came to their end
  std::uint64_t resumed = 0;
  std::uint64_t accepted = 0;    ///< MAIL came
  std::uint64_t left = 0;        ///< EHLO came, and no MAIL
  std::uint64_t failed = 0;      ///< for another reason than the certificate
  std::uint64_t refused = 0;
  std::vector<SniKind> refusals;
  std::uint64_t downgraded = 0;  ///< came back in clear within five minutes after it had refused or failed
  std::uint64_t clear_sessions = 0;  ///< with MAIL
  std::uint64_t messages = 0;    ///< taken, for each domain
};

struct SniSender {
  std::string sender;            ///< a domain, or a network
  bool verified = false;         ///< by DNS
  std::uint64_t missing = 0;     ///< sessions that these counts may lack, at most
  SniCounts counts;
};

/// Handshakes of one sender that ended without MAIL.
struct SniRefusal {
  std::string server_name;       ///< empty: it gave none, or one that is not ours
  std::string local;             ///< then: where it connected to
  std::string sender;
  bool verified = false;
  std::uint64_t refused = 0;
  std::vector<SniKind> how;
  std::uint64_t downgraded = 0;
  std::vector<std::string> domains;  ///< that it delivered to when it came back in clear
  std::vector<std::string> help;     ///< names that the default certificate there should cover
};

struct SniReply {
  bool enabled = true;
  std::string window;
  SniCounts totals;
  std::uint64_t sender_count = 0;
  std::vector<SniSender> senders;
  std::vector<SniRefusal> refusals;     ///< of certificates that were asked for by name
  std::vector<SniRefusal> nameless_refusals;  ///< of default certificates
  std::uint64_t dropped = 0;            ///< sessions that could not be counted
};

struct SniDomainSender {
  std::string sender;
  bool verified = false;
  std::uint64_t missing = 0;
  std::uint64_t ok = 0, at_risk = 0, without_sni = 0, in_clear = 0;  ///< messages
  std::vector<SniKind> why;      ///< at_risk
};

struct SniDomainReply {
  bool enabled = true;
  std::string domain;
  std::string window;
  std::string policy;            ///< "enforce", "testing", "none"; empty: the domain has none here
  std::vector<std::string> mx;
  std::string enforce;           ///< "safe", "unsafe", or "unknown": no sender has shown anything yet
  std::uint64_t ok = 0, at_risk = 0, other_name = 0, without_sni = 0, in_clear = 0;  ///< messages; other_name is of at_risk
  std::vector<SniKind> why;      ///< at_risk
  std::uint64_t refused = 0;     ///< handshakes under one of its MX names
  std::vector<SniDomainSender> senders;
  std::vector<SniRefusal> refusals;     ///< under one of its MX names
  std::vector<SniRefusal> nameless_refusals;  ///< that may be meant for it: those that came back with mail for it say so
  std::vector<std::string> advice;
};

struct SniDomainSummary {
  std::string domain;
  std::string policy, enforce;   ///< as in SniDomainReply
  std::uint64_t ok = 0, at_risk = 0, without_sni = 0, in_clear = 0;  ///< messages
  std::uint64_t refused = 0;     ///< handshakes: under its MX names, and without a name by senders that came back with mail for it
};

struct SniDomainsReply {
  bool enabled = true;
  std::string window;
  std::uint64_t domain_count = 0;  ///< that are known; there may be more than rows
  std::vector<SniDomainSummary> domains;
};

struct SniFailure {
  std::string time, sender, address, local, stage, reason, alert, server_name, version;
  /// What the client offered, as the registries of IANA name it or as hexadecimal numbers.
  std::vector<std::string> versions, cipher_suites, groups, signature_schemes, alpn;
};

struct SniFailuresReply {
  std::vector<SniFailure> failures;     ///< the latest first
};

/// What came in one stretch of time.
struct HistoryPoint {
  std::uint64_t milliseconds = 0;  ///< how long it is
  std::uint64_t sessions = 0, handshakes = 0, handshakes_failed = 0;
  std::uint64_t messages = 0, deferred = 0, refused = 0;  ///< whole messages, by the reply to them
  std::uint64_t octets = 0;        ///< of messages
  /// Microseconds, as far as histograms tell; 0: there was none.
  std::uint64_t delivery_median = 0, delivery_p95 = 0, handshake_p95 = 0;
};

/// What one backend was given since the start.
struct BackendTraffic {
  std::string name;
  std::uint64_t messages = 0;
  std::uint64_t taken = 0, deferred = 0, refused = 0;  ///< recipients
  std::uint64_t median = 0, p95 = 0;  ///< microseconds, to its last answer
};

struct ExpiringCertificate {
  std::string name;                ///< one for which it is served
  std::string not_after;           ///< RFC 3339
  std::int64_t days_left = 0;      ///< negative when it has expired
};

/// Of the log.
struct LoggedLine {
  std::string time, level, text;
};

struct PageReply {
  std::string time;                ///< RFC 3339
  std::string hostname;
  StatusReply status;              ///< the first of the faults, and of the backends those first that are down
  std::uint64_t fault_count = 0, target_count = 0;  ///< there may be more than in `status`
  HistoryPoint minute;                   ///< the last one
  std::vector<HistoryPoint> history;     ///< of ten minutes, oldest first, without gaps
  std::vector<SniKind> versions;         ///< handshakes since the start, by TLS version, or "failed"
  std::vector<SniKind> server_names;     ///< and by what was found for the name in SNI
  std::vector<SniKind> limits;           ///< clients that were refused something by a limit, by its key
  std::vector<BackendTraffic> backends;  ///< the busiest
  std::vector<ExpiringCertificate> certificates;  ///< that end first
  SniReply sni;
  SniDomainsReply domains;
  std::vector<SniFailure> failures;      ///< handshakes, the latest first
  std::vector<LoggedLine> log;           ///< warnings and errors, the latest first
};

/// The request could not be understood or carried out.
struct ErrorReply {
  std::string text;
};
using Reply = std::variant<StatusReply, ReloadReply, CertificatesReply, ExplainReply, VersionsReply, RollbackReply,
                           SessionsReply, DrainReply, LogLevelReply,
                           SniReply, SniDomainReply, SniFailuresReply, SniDomainsReply, PageReply, ErrorReply>;

/// One line, without its LF. Requests leave out what has its default value. Never throws: octets that are not UTF-8 become U+FFFD.
std::string to_json(const Request& request);
std::string to_json(const Reply& reply);
std::string to_json(const CertificateRow& row);

/// The error's text is what the daemon answers as an ErrorReply: for an unknown request it names the known ones. A
/// request with keys that it does not take, or of another type, is malformed.
Result<Request> parse_request(std::string_view line);

/// Every field must be there and of its type; keys that are not known are passed over, so that an older tool
/// understands a newer daemon.
Result<Reply> parse_reply(std::string_view line);

}  // namespace postern::control
