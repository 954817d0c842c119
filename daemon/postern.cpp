// postern, the tool: its command line. What a subcommand does stands in daemon/tool/, one file each.
// CLI11 is a large header: nothing else of the tool includes it.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "daemon/tool/certs.h"
#include "daemon/tool/check.h"
#include "daemon/tool/dns.h"
#include "daemon/tool/output.h"
#include "daemon/tool/probe.h"
#include "daemon/tool/reload.h"
#include "daemon/tool/sessions.h"
#include "daemon/tool/sni.h"
#include "daemon/tool/status.h"
#include "daemon/tool/log_hash.h"
#include "daemon/tool/steer.h"
#include "daemon/tool/store.h"
#include "daemon/tool/tlsrpt.h"
#include "daemon/usage_error.h"

namespace {

using namespace postern;

/// The value of an option whose type_name() lists what it may be.
CLI::Validator one_of(std::vector<std::string> known) {
  return {[known = std::move(known)](std::string& value) {
            if (std::find(known.begin(), known.end(), value) != known.end()) return std::string();
            return "expected " + CLI::detail::join(known, ", ") + "; found \"" + escaped(value, 80) + '"';
          },
          ""};
}

/// Runs the subcommand that was chosen. CLI11 stores what it parsed through references, so they stand here.
int run(int argc, char** argv) {
  int exit_code = tool::exit_ok;
  CLI::App app("Asks and steers a running posternd, checks domains and their DNS, and serves the small mail store that comes with it.", "postern");
  app.set_version_flag("--version", "postern " POSTERN_VERSION);
  app.require_subcommand(0, 1);  // none is complained of below: CLI11 would say the same of a misspelt one
  app.footer("Exit codes: 0 all is well, 1 it failed or something has a fault, 2 wrong usage.\nSee postern(1).");

  std::string control = "/run/postern/control";
  bool json = false;
  const auto format = [&json] { return json ? tool::Format::Json : tool::Format::Text; };
  const auto add_control_options = [&](CLI::App* command) {
    command->add_option("--control", control, "The control socket of posternd")
        ->type_name("PATH")
        ->capture_default_str();
    command->add_flag("--json", json, "Print one JSON object instead of text");
  };

  auto* status =
      app.add_subcommand("status", "Say how a running posternd is: listeners, certificates, backends, faults");
  add_control_options(status);
  status->callback([&] { exit_code = tool::status({.control = control, .format = format()}); });

  auto* reload = app.add_subcommand(
      "reload", "Make posternd read its configuration and certificates anew; say what changed and what failed");
  add_control_options(reload);
  control::ReloadRequest reload_request;
  reload->add_flag("--dry-run", reload_request.dry_run, "Only say what would change");
  reload->add_flag("--accept-loss", reload_request.accept_loss,
                   "Take the new certificates although many names are missing among them (see certificates.max_loss)");
  auto faults = tool::Faults::Fail;
  reload->add_flag_callback(
      "--accept-faults", [&] { faults = tool::Faults::Accept; },
      "End with 0 when the configuration was taken, also when certificates have faults");
  reload->callback([&] {
    exit_code = tool::reload({.control = control, .request = reload_request, .faults = faults, .format = format()});
  });

  tool::SessionsArguments sessions_arguments;
  auto* sessions = app.add_subcommand("sessions", "List the sessions that are open: who, and what they are doing");
  add_control_options(sessions);
  sessions->add_option("--match", sessions_arguments.request.text,
                       "Only sessions with this text in their id, addresses, names or activity")
      ->type_name("TEXT");
  sessions->add_option("--limit", sessions_arguments.request.limit, "At most so many, the oldest first")
      ->type_name("NUMBER")
      ->capture_default_str();
  sessions->add_flag("--watch", sessions_arguments.watch, "Again every two seconds, until it is interrupted");
  sessions->callback([&] {
    sessions_arguments.control = control;
    sessions_arguments.format = format();
    exit_code = tool::sessions(sessions_arguments);
  });

  auto* drain = app.add_subcommand(
      "drain", "Make posternd unready at once, and refuse connections after timeouts.drain_notice; sessions go on");
  add_control_options(drain);
  drain->callback([&] { exit_code = tool::drain({.control = control, .format = format()}); });
  auto* undrain = app.add_subcommand("undrain", "Take connections again");
  add_control_options(undrain);
  undrain->callback([&] { exit_code = tool::undrain({.control = control, .format = format()}); });

  auto* log = app.add_subcommand("log", "Say or change how much is logged; find an address in the log");
  auto* log_level = log->add_subcommand("level", "Say or set the log level: error, warning, info or debug");
  log->require_subcommand(1);
  add_control_options(log_level);
  std::string level;
  log_level->add_option("LEVEL", level, "The level to set; without it the present one is printed")
      ->type_name("error|warning|info|debug")
      ->check(one_of({"error", "warning", "info", "debug"}));
  log_level->callback([&] { exit_code = tool::log_level({.control = control, .format = format()}, level); });
  auto* log_hash = log->add_subcommand("hash", "Print what stands in the log for an address when log.addresses is \"hash\"");
  tool::LogHashArguments log_hash_arguments{.configuration = tool::default_configuration, .addresses = {}};
  log_hash->add_option("-c,--config", log_hash_arguments.configuration, "The configuration of posternd")
      ->type_name("FILE")
      ->capture_default_str();
  log_hash->add_option("ADDRESS", log_hash_arguments.addresses, "user@domain")->required();
  log_hash->callback([&] { exit_code = tool::log_hash(log_hash_arguments); });

  tool::CertsArguments certs_arguments;
  auto* certs = app.add_subcommand("certs", "List certificates, say why a name gets its certificate, or go back");
  add_control_options(certs);
  certs->add_option("-c,--config", certs_arguments.configuration, "Read this configuration instead of asking posternd")
      ->type_name("FILE");
  certs->add_option("--name", certs_arguments.name, "Say which certificate a client gets that asks for this name, and why")
      ->type_name("NAME");
  certs->add_option("--match", certs_arguments.filter.text, "Only certificates with this text in a name or in the path")
      ->type_name("TEXT");
  certs->add_option("--state", certs_arguments.filter.state, "Only those in this state")
      ->type_name("served|shadowed|expired|not-yet-valid|incomplete|failed")
      ->check(one_of({"served", "shadowed", "expired", "not-yet-valid", "incomplete", "failed"}));
  certs->add_option("--expires-within", certs_arguments.filter.expires_within_days, "Only those that end within so many days")
      ->type_name("DAYS");
  auto* versions = certs->add_flag("--versions", certs_arguments.versions, "List the versions of the map that are kept");
  auto* rollback = certs->add_option("--rollback", certs_arguments.rollback,
                                     "Serve an earlier version of the map, until the next `postern reload`")
                       ->type_name("VERSION");
  for (auto* of_daemon : {versions, rollback}) of_daemon->excludes("--config");
  certs->callback([&] {
    certs_arguments.control = control;
    certs_arguments.format = format();
    exit_code = tool::certs(certs_arguments);
  });

  tool::CheckArguments check_arguments;
  check_arguments.configuration = tool::default_configuration;
  auto* check = app.add_subcommand("check", "Say what is wrong with domains, policies, MX names and certificates");
  const auto add_domain_options = [](CLI::App* command, std::string& configuration, std::vector<std::string>& resolvers) {
    command->add_option("-c,--config", configuration, "The configuration of posternd")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_option("--resolver", resolvers, "Ask this DNS server; can be given more than once")
        ->type_name("ADDRESS")
        ->allow_extra_args(false);
  };
  add_domain_options(check, check_arguments.configuration, check_arguments.resolvers);
  check->add_option("domain", check_arguments.domains, "Only these domains")->type_name("DOMAIN");
  check->add_option("--roots", check_arguments.roots, "Trust anchors of senders; those of the system if not given")
      ->type_name("FILE");
  check->add_option("--expires-within", check_arguments.expires_within_days,
                    "Warn of certificates that end within so many days")
      ->type_name("DAYS")
      ->capture_default_str();
  check->add_flag("--dns", check_arguments.dns, "Also look at what DNS says now");
  check->add_flag("--json", json, "Print one JSON object instead of text");
  check->callback([&] {
    check_arguments.format = format();
    exit_code = tool::check(check_arguments);
  });

  tool::DnsArguments dns_arguments;
  dns_arguments.configuration = tool::default_configuration;
  auto* dns = app.add_subcommand("dns", "Print the DNS records that domains should have, or compare them with DNS");
  add_domain_options(dns, dns_arguments.configuration, dns_arguments.resolvers);
  auto* dns_domains = dns->add_option("domain", dns_arguments.domains, "The domains")->type_name("DOMAIN");
  bool dns_all = false;
  dns->add_flag("--all", dns_all, "Every domain of the configuration")->excludes(dns_domains);
  dns->add_option("--next", dns_arguments.next_keys,
                  "TLSA records also for this key, which will be served one day: a PEM file with a private key, a public key "
                  "or a certificate; can be given more than once")
      ->type_name("FILE")
      ->allow_extra_args(false);
  dns->add_option("--ttl", dns_arguments.ttl_seconds, "Of the records, in seconds")->capture_default_str();
  dns->add_flag("--check", dns_arguments.check, "Compare with what DNS says now");
  dns->add_flag("--json", json, "With --check: print one JSON object instead of text");
  dns->callback([&] {
    if (dns_arguments.domains.empty() && !dns_all) {
      tool::complain("dns: name a domain, or say --all");
      exit_code = tool::exit_usage;
      return;
    }
    dns_arguments.format = format();
    exit_code = tool::dns(dns_arguments);
  });

  tool::ProbeArguments probe_arguments;
  auto* probe = app.add_subcommand("probe", "Do what a strict sender does, step by step, and say what senders would do");
  probe->add_option("target", probe_arguments.target, "A domain, or one host")->type_name("DOMAIN|HOST:PORT")->required();
  probe->add_option("--resolver", probe_arguments.resolvers, "Ask this DNS server; can be given more than once")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  probe->add_option("--roots", probe_arguments.roots, "Trust anchors; those of the system if not given")->type_name("FILE");
  probe->add_option("--connect", probe_arguments.connect, "Find every host at this address, whatever DNS says")
      ->type_name("ADDRESS");
  probe->add_option("--port", probe_arguments.port, "Of MX hosts")->capture_default_str();
  probe->add_option("--https-port", probe_arguments.https_port, "Of the policy host")->capture_default_str();
  probe->add_option("--timeout", probe_arguments.seconds, "For each connection, in seconds")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  probe->add_option("--hostname", probe_arguments.hostname, "What EHLO says; this machine's name if not given")
      ->type_name("NAME");
  probe->add_flag("--json", json, "Print one JSON object instead of text");
  probe->callback([&] {
    probe_arguments.format = format();
    exit_code = tool::probe(probe_arguments);
  });

  tool::TlsrptArguments tlsrpt_arguments;
  auto* tlsrpt = app.add_subcommand("tlsrpt", "Show the reports that senders make about our TLS (RFC 8460)");
  tlsrpt->add_option("file", tlsrpt_arguments.files,
                     "Reports: JSON, compressed by gzip or not, or the mail that brought it; -: standard input")
      ->type_name("FILE");
  tlsrpt->add_option("--maildir", tlsrpt_arguments.maildirs, "All reports in a Maildir; can be given more than once")
      ->type_name("DIR")
      ->allow_extra_args(false);
  tlsrpt->add_option("--domain", tlsrpt_arguments.domain, "Only what concerns this domain")->type_name("DOMAIN");
  bool with_score = false;
  auto* beside = tlsrpt->add_flag("--score", with_score, "Put beside it what posternd saw of the same senders, see sni");
  tlsrpt->add_option("--window", tlsrpt_arguments.window, "Of that score: how far back")
      ->type_name("1h|24h|7d")
      ->check(one_of({"1h", "24h", "7d"}))
      ->capture_default_str()
      ->needs(beside);
  add_control_options(tlsrpt);
  tlsrpt->callback([&] {
    if (tlsrpt_arguments.files.empty() && tlsrpt_arguments.maildirs.empty()) {
      tool::complain("tlsrpt: name a file, or a Maildir with --maildir");
      exit_code = tool::exit_usage;
      return;
    }
    if (with_score) tlsrpt_arguments.beside = tool::TlsrptArguments::Beside::Score;
    tlsrpt_arguments.control = control;
    tlsrpt_arguments.format = format();
    exit_code = tool::tlsrpt(tlsrpt_arguments);
  });

  tool::SniArguments sni_arguments;
  auto* sni = app.add_subcommand("sni", "Say which names senders ask for, and who refuses the certificates that they get");
  add_control_options(sni);
  auto* sni_domain = sni->add_option("--domain", sni_arguments.domain, "Of the mail to this domain: is `enforce` safe for it?")
                         ->type_name("DOMAIN");
  sni->add_flag("--failures", sni_arguments.failures, "The latest handshakes that failed, with what the client offered")
      ->excludes(sni_domain);
  sni->add_option("--window", sni_arguments.window, "How far back")
      ->type_name("1h|24h|7d")
      ->check(one_of({"1h", "24h", "7d"}))
      ->capture_default_str();
  sni->add_option("--limit", sni_arguments.limit, "How many senders, or failures")->type_name("N")->capture_default_str();
  sni->callback([&] {
    sni_arguments.control = control;
    sni_arguments.format = format();
    exit_code = tool::sni(sni_arguments);
  });

  tool::StoreArguments arguments;
  auto* store = app.add_subcommand("store", "Take mail over LMTP and write it to a Maildir for each recipient");
  store->add_option("--listen", arguments.listen, "Where to take mail; can be given more than once")
      ->type_name("unix:PATH|HOST:PORT")
      ->required()
      ->allow_extra_args(false);
  store->add_option("--maildir", arguments.maildir, "The directory of the Maildirs; made when it is missing")
      ->type_name("DIR")
      ->required();
  store
      ->add_option("--allow", arguments.allow, "Who may deliver over TCP besides this host; needed to listen beyond it")
      ->type_name("NETWORK")
      ->allow_extra_args(false);
  store->callback([&] { exit_code = tool::store(arguments); });

  app.failure_message(usage_error(argc, argv));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) {  // --help and --version come this way too
    return app.exit(end) == 0 ? tool::exit_ok : tool::exit_usage;
  }
  if (app.get_subcommands().empty()) {
    tool::complain("a command is needed; --help lists them");
    return tool::exit_usage;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv); }
