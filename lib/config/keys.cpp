#include "config/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace postern::config {

const std::vector<Key>& keys() {
  using enum Change;
  static const std::vector<Key> all{
      {"hostname", "host name", "the name of the system", Reload, "the name in greeting, EHLO answer and Received"},
      {"workers", "integer", "0", Restart, "event loops; 0: one per core"},
      {"state_dir", "path", "\"/var/lib/postern\"", Restart, "lock file and state"},
      {"user", "string", "none", Restart, "whom posternd becomes when root starts it"},
      {"group", "string", "the user's own", Restart, "the group likewise"},
      {"sandbox", "boolean", "true", Restart, "files and system calls that are not needed are given up"},
      {"control", "path", "\"/run/postern/control\"", Restart, "control socket; \"\": none"},
      {"postmaster", "mailbox", "none", Reload, "who gets mail to <postmaster>"},
      {"ledger_ttl", "duration", "\"5d\"", Reload, "how long it is remembered who has a message that comes again"},
      {"ledger_entries", "integer", "100000", Reload, "of how many recipients"},
      {"include", "paths", "none", Reload, "more files, with * and ? patterns"},

      {"listen.address", "addresses", "required", Restart, "where to listen"},
      {"listen.protocol", "choice", "\"smtp\"", Reload, "smtp, mta-sts (policy host), acme (http-01) or admin"},
      {"listen.tls", "choice", "\"starttls\"", Reload, "starttls, implicit or none"},
      {"listen.hostname", "host name", "the top-level hostname", Reload, "this listener's own name"},
      {"listen.greet_as", "choice", "\"hostname\"", Reload, "the name in the EHLO answer over TLS: hostname or sni"},
      {"listen.default_certificate", "string", "required", Reload, "served when the SNI name matches nothing"},
      {"listen.backend", "string", "none", Reload, "which [[backend]] takes all its mail"},
      {"listen.proxy_protocol", "boolean", "false", Reload, "connections begin with a PROXY header"},
      {"listen.trusted_proxies", "networks", "none", Reload, "who may say who the client is"},
      {"listen.xclient_from", "networks", "none", Reload, "who may say by XCLIENT or XFORWARD who the client is"},
      {"listen.local.ADDRESS.hostname", "host name", "listen.hostname", Reload, "the name at one local address"},
      {"listen.local.ADDRESS.default_certificate", "string", "listen.default_certificate", Reload,
       "the default certificate at one local address"},
      {"listen.webroot", "path", "none", Reload, "where an ACME client puts its challenges"},
      {"listen.token_file", "path", "none", Restart, "admin: the token that readers of metrics must have"},
      {"listen.expires_within", "duration", "\"30d\"", Restart, "admin: certificates that end sooner are listed by name"},

      {"certificate.id", "string", "none", Reload, "a name for default_certificate to refer to"},
      {"certificate.names", "names", "those in the certificate", Reload, "host names it is served for"},
      {"certificate.chain", "path", "required", Reload, "PEM file: leaf and intermediates"},
      {"certificate.key", "path", "certificate.chain", Reload, "PEM file: private key"},
      {"certificates.directories", "paths", "none", Reload, "directories that hold certificates"},
      {"certificates.maps", "paths", "none", Reload, "Postfix tls_server_sni_maps source files"},
      {"certificates.roots", "path", "those of the system", Reload, "PEM file of the trust anchors that decide which chains are good"},
      {"certificates.names", "choice", "\"all\"", Reload, "all or declared"},
      {"certificates.max_loss", "integer", "10", Reload, "percent of the names that a reload may lose by itself"},
      {"certificates.require_tlsa", "boolean", "false", Reload, "a renewed certificate waits for its TLSA records"},
      {"certificates.load", "choice", "\"eager\"", Reload, "when chains and keys are read: eager or lazy"},
      {"certificates.cache", "integer", "10000", Reload, "certificates kept in memory with load = \"lazy\""},

      {"tls.min_version", "choice", "\"1.2\"", Reload, "oldest TLS version taken"},
      {"tls.tickets", "integer", "1", Reload, "TLS 1.3 session tickets a handshake"},
      {"tls.ticket_lifetime", "duration", "\"12h\"", Reload, "how long a ticket is good, and a ticket key seals"},
      {"tls.ticket_key_file", "path", "none", Reload, "ticket keys that several machines share"},

      {"smtp.smuggling", "choice", "\"reject\"", Reload, "messages with bare CR, LF or NUL: reject or normalize"},
      {"smtp.smuggling_exempt", "networks", "none", Reload, "clients whose messages are always normalized"},
      {"smtp.strict", "boolean", "false", Reload, "forgive no deviation from the grammar of addresses"},
      {"smtp.binarymime", "boolean", "false", Reload, "BINARYMIME is offered where every backend does"},
      {"smtp.offer", "names", "what every backend offers", Reload, "extensions offered to clients"},
      {"smtp.spill_at", "size", "\"1MiB\"", Reload, "larger messages wait in a temporary file"},
      {"smtp.spill_dir", "path", "state_dir", Reload, "where temporary files are made"},

      {"limits.message_size", "size", "\"50MB\"", Reload, "largest message"},
      {"limits.recipients", "integer", "1000", Reload, "accepted recipients a transaction"},
      {"limits.connections", "integer", "20000", Reload, "open connections"},
      {"limits.connections_per_address", "integer", "50", Reload, "open connections of one client address"},
      {"limits.connections_per_network", "integer", "500", Reload, "open connections of one /24, or /64 of IPv6"},
      {"limits.message_memory", "size", "\"512MiB\"", Reload, "what all messages may take of memory"},
      {"limits.spill_space", "size", "\"8GB\"", Reload, "what all messages may take of smtp.spill_dir"},
      {"limits.errors", "integer", "20", Reload, "errors since the last accepted message"},
      {"limits.commands", "integer", "10000", Reload, "commands since the last accepted message"},
      {"limits.unknown_commands", "integer", "10", Reload, "likewise, words that are no command"},
      {"limits.transactions", "integer", "0", Reload, "MAIL commands in a session; 0: any"},
      {"limits.data_rate", "size", "100", Reload, "octets of a message a second, on the average; 0: any"},
      {"limits.command_length", "size", "\"2KiB\"", Reload, "longest command line"},
      {"limits.line_length", "size", "0", Reload, "longest line of a message; 0: any"},
      {"limits.pipeline_depth", "integer", "32", Reload, "commands of one client worked on at a time"},

      {"timeouts.command", "duration", "\"5m\"", Reload, "waiting for a command"},
      {"timeouts.data", "duration", "\"3m\"", Reload, "waiting for more of a message"},
      {"timeouts.handshake", "duration", "\"30s\"", Reload, "a whole TLS handshake"},
      {"timeouts.drain", "duration", "\"30s\"", Reload, "how long a stopping daemon waits for its sessions"},
      {"timeouts.drain_notice", "duration", "\"15s\"", Reload, "connections are still accepted after postern drain"},
      {"timeouts.final", "duration", "\"8m\"", Reload, "from the end of a message to our reply"},
      {"timeouts.reverse_dns", "duration", "\"3s\"", Reload, "how long DNS is waited for to name a client"},

      {"dns.servers", "addresses", "those of /etc/resolv.conf", Restart, "which DNS servers are asked"},
      {"dns.reverse", "boolean", "true", Reload, "whether the names of clients are looked up"},

      {"score.enabled", "boolean", "true", Reload, "whether handshakes and deliveries are counted by sender"},
      {"score.retention", "duration", "\"7d\"", Reload, "how long they are kept"},
      {"score.senders", "integer", "5000", Reload, "senders, and domains, that are counted apart"},

      {"dns.addresses", "IP addresses", "those of the policy host's listeners", Reload, "what mta-sts.DOMAIN is to have"},
      {"dns.policy_host", "host name", "none", Reload, "mta-sts.DOMAIN is to be a CNAME of it"},

      {"log.level", "choice", "\"info\"", Reload, "error, warning, info or debug"},
      {"log.addresses", "choice", "\"full\"", Reload, "how mail addresses show: full, hash or domain"},
      {"log.file", "path", "none", Restart, "where the log goes instead of stderr; SIGUSR1 opens it anew"},
      {"log.format", "choice", "\"text\"", Reload, "text or json"},

      {"recipients.accepted_for", "duration", "\"1h\"", Reload, "how long a taken recipient is not asked about"},
      {"recipients.unknown_for", "duration", "\"1m\"", Reload, "how long an unknown one is not asked about"},
      {"recipients.cache", "integer", "100000", Reload, "recipients that are remembered"},
      {"recipients.catch_all_for", "duration", "\"1h\"", Reload, "how long a catch-all domain is not asked about"},
      {"recipients.catch_all_after", "integer", "3", Reload, "taken recipients before a random name is tried"},
      {"recipients.unknown_per_address", "integer", "100", Reload, "unknown recipients from one address; 0: any number"},
      {"recipients.unknown_per_network", "integer", "1000", Reload, "unknown recipients from one network; 0: any number"},
      {"recipients.unknown_window", "duration", "\"10m\"", Reload, "in what time"},
      {"recipients.unknown_exempt", "networks", "none", Reload, "clients that are not counted"},

      {"backend.name", "string", "required", Reload, "what [[domain]] refers to"},
      {"backend.deliver", "choice", "required", Reload, "lmtp, smtp or smtp-proxy"},
      {"backend.to", "targets", "required", Reload, "where it listens"},
      {"backend.balance", "choice", "\"order\"", Reload, "which target is tried first: order, least or hash"},
      {"backend.tls", "choice", "\"off\" on this machine", Reload, "off, starttls or implicit"},
      {"backend.tls_name", "host name", "that of the target", Reload, "what its certificate must be for"},
      {"backend.tls_ca", "path", "those of the system", Reload, "PEM file of trust anchors"},
      {"backend.tls_certificate", "path", "none", Reload, "PEM file: our own certificate for it"},
      {"backend.tls_key", "path", "backend.tls_certificate", Reload, "PEM file: private key"},
      {"backend.identity", "choice", "\"auto\"", Reload, "telling it of the client: auto, none, xclient or xforward"},
      {"backend.local_parts", "choice", "\"safe\" with smtp", Reload, "safe refuses what MTAs have read as more, or any"},
      {"backend.timeout", "duration or table", "as below", Reload, "one limit for all, or a table"},
      {"backend.timeout.connect", "duration", "\"10s\"", Reload, "connecting"},
      {"backend.timeout.command", "duration", "\"60s\"", Reload, "the answer to a command"},
      {"backend.timeout.after_dot", "duration", "\"5m\"", Reload, "the answers to a message"},
      {"backend.recipients", "choice or table", "\"verify\"", Reload, "verify, trust, or a file"},
      {"backend.recipients.file", "path", "required", Reload, "a list of users, one a line"},
      {"backend.recipients.delimiter", "string", "\"+\"", Reload, "what begins an address extension; \"\": nothing"},
      {"backend.recipients.case", "choice", "\"ignored\"", Reload, "of local parts: ignored or counts"},
      {"backend.max_connections", "integer", "20", Reload, "connections to one target"},
      {"backend.idle", "duration", "\"60s\"", Reload, "how long an unused connection is kept"},
      {"backend.max_age", "duration", "\"10m\"", Reload, "how long a connection is used"},
      {"backend.wait", "duration", "\"30s\"", Reload, "in line for a connection"},
      {"backend.max_waiting", "integer", "1000", Reload, "how many may wait for a connection"},
      {"backend.health", "duration", "\"30s\"", Reload, "between two looks at an unused target; 0s: none"},

      {"backend.connect", "choice", "\"late\"", Reload, "smtp-proxy: late or early"},
      {"backend.profile", "choice", "\"postfix\"", Reload, "smtp-proxy: what PROXY headers it bears"},
      {"backend.allow_auth", "boolean", "false", Reload, "smtp-proxy: AUTH passes under TLS"},
      {"backend.pass_extensions", "strings", "none", Reload, "smtp-proxy: extensions that pass besides the known"},
      {"backend.trace", "boolean", "false", Reload, "smtp-proxy: messages get our Received field"},

      {"route.sni", "names", "required", Reload, "names asked for in TLS"},
      {"route.backend", "string", "required", Reload, "which [[backend]] takes all mail of such a session"},

      {"domain.name", "domain", "none", Reload, "a recipient domain; \"*\": every one"},
      {"domain.file", "path", "none", Reload, "a file of domains, one a line"},
      {"domain.mx", "names", "none", Reload, "MX names of the domain"},
      {"domain.backend", "string", "required", Reload, "which [[backend]] takes its mail"},
      {"domain.mta_sts.mode", "choice", "\"testing\"", Reload, "enforce, testing or none"},
      {"domain.mta_sts.max_age", "duration", "\"7d\"", Reload, "how long senders keep the policy"},
      {"domain.mta_sts.mx", "names", "domain.mx", Reload, "the mx lines of the policy, where they differ"},
      {"domain.tlsrpt", "addresses", "none", Reload, "who gets the reports of senders (TLSRPT)"},
      {"domain.relay_everything", "boolean", "false", Reload, "confirms name = \"*\""},
  };
  return all;
}

namespace {

/// Whether the segments of `name` are those of the key as far as they go.
bool leads_to(const std::vector<std::string_view>& name, const std::vector<std::string_view>& key) {
  return name.size() <= key.size() && std::equal(name.begin(), name.end(), key.begin(), [](auto mine, auto theirs) {
           return mine == theirs || theirs == "ADDRESS";
         });
}

/// `listen.local.192.0.2.1.hostname`: the dots of an address do not separate.
std::vector<std::string_view> segments(std::string_view name) {
  constexpr std::string_view local = "listen.local.";
  if (!name.starts_with(local)) return split(name, '.');
  const std::string_view rest = name.substr(local.size());
  std::vector<std::string_view> made{"listen", "local"};
  const auto last = rest.rfind('.');
  const bool ends_in_word = last != std::string_view::npos && last + 1 < rest.size() && is_alpha(rest[last + 1]);
  made.push_back(ends_in_word ? rest.substr(0, last) : rest);
  if (ends_in_word) made.push_back(rest.substr(last + 1));
  return made;
}

}  // namespace

Standing standing_of(std::string_view name) {
  const auto wanted = segments(name);
  Standing standing = Standing::Unknown;
  for (const Key& key : keys()) {
    const auto known = split(key.name, '.');
    if (!leads_to(wanted, known)) continue;
    if (wanted.size() < known.size()) return Standing::Section;
    standing = Standing::Key;
  }
  return standing;
}

std::string suggestion_for(std::string_view name) {
  auto section = segments(name);
  const std::string_view misspelt = section.back();
  section.pop_back();
  std::vector<std::string_view> siblings;
  for (const Key& key : keys()) {
    const auto known = split(key.name, '.');
    if (known.size() > section.size() && leads_to(section, known)) siblings.push_back(known[section.size()]);
  }
  if (const auto nearest = nearest_word(misspelt, siblings)) return fmt::format("did you mean \"{}\"?", *nearest);
  // The usual reason for a right key in the wrong place: it stands below the header of another section.
  for (const Key& key : keys()) {
    if (split(key.name, '.').back() == misspelt) return fmt::format("did you mean \"{}\"?", key.name);
  }
  return {};
}

}  // namespace postern::config
