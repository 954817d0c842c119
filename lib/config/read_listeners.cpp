// Top-level keys and `[[listen]]`.
#include <fmt/format.h>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

constexpr unsigned workers_max = 1024;

/// A host name under `key`, in canonical form.
void read_host_name(const Section& section, std::string_view key, std::string& into) {
  const auto text = section.text(key);
  if (!text) return;
  if (const auto name = DnsName::from_utf8(text->value)) {
    into = name->text();
  } else {
    section.error(text->place, key,
                  fmt::format("expected a host name such as \"mx1.example.net\", found \"{}\"", escaped(text->value, 80)));
  }
}

void read_postmaster(const Section& root, RunConfig& run) {
  const auto text = root.text("postmaster");
  if (!text) return;
  run.postmaster = smtp::parse_mailbox(text->value);
  if (!run.postmaster || !run.postmaster->domain_name()) {
    root.error(text->place, "postmaster",
               fmt::format("expected a mail address such as \"postmaster@example.net\", found \"{}\"",
                           escaped(text->value, 80)));
  }
}

class ListenerReader {
 public:
  explicit ListenerReader(Config& config) : config_(config), run_(config.run) {}

  void read(const Section& section) {
    Listener listener;
    listener.origin = section.place().text();
    listener.hostname = run_.hostname;
    section.choice("protocol", listener.protocol,
                   {{"smtp", ListenerProtocol::Smtp},
                    {"mta-sts", ListenerProtocol::MtaSts},
                    {"acme", ListenerProtocol::Acme},
                    {"admin", ListenerProtocol::Admin}});
    if (listener.protocol == ListenerProtocol::Admin) {
      config_.start.admin.push_back(read_admin_listener(section, taken_));
      return;
    }
    refuse_admin_keys(section);
    read_tls(section, listener);
    read_host_name(section, "hostname", listener.hostname);
    section.choice("greet_as", listener.greet_as, {{"hostname", GreetAs::Hostname}, {"sni", GreetAs::Sni}});
    section.string("default_certificate", listener.default_certificate);
    if (listener.tls != ListenerTls::None) {
      section.require("default_certificate",
                      "the name or [[certificate]] id that is served when a client asks for no name, or an unknown one "
                      "(only tls = \"none\" does without)");
    }
    read_webroot(section, listener);
    section.string("backend", listener.backend);
    read_proxies(section, listener);
    read_addresses(section, listener);
    read_local(section, listener);
    run_.listeners.push_back(std::move(listener));
  }

 private:
  static void read_tls(const Section& section, Listener& listener) {
    const bool smtp = listener.protocol == ListenerProtocol::Smtp;
    if (listener.protocol == ListenerProtocol::MtaSts) listener.tls = ListenerTls::Implicit;
    if (listener.protocol == ListenerProtocol::Acme) listener.tls = ListenerTls::None;
    if (!smtp && section.has("tls")) {
      section.error(section.place(), "tls",
                    "is for SMTP: the policy host of \"mta-sts\" always has TLS, and \"acme\" never has");
      return;
    }
    section.choice("tls", listener.tls,
                   {{"starttls", ListenerTls::Starttls}, {"implicit", ListenerTls::Implicit}, {"none", ListenerTls::None}});
  }

  static void read_webroot(const Section& section, Listener& listener) {
    if (listener.protocol == ListenerProtocol::Acme) {
      section.require("webroot", "the directory that the ACME client knows as its webroot");
    } else if (section.has("webroot")) {
      section.warning("webroot", "means nothing except with protocol = \"acme\"");
    }
    section.path("webroot", listener.webroot);
  }

  void read_addresses(const Section& section, Listener& listener) {
    section.require("address", "one address or a list of them, such as [\"0.0.0.0:25\", \"[::]:25\"]");
    const auto texts = section.texts("address");
    for (const Text& text : texts) {
      const auto address = Endpoint::parse(text.value);
      if (!address || address->port == 0) {
        section.error(text.place, "address",
                      fmt::format("expected an IP address and a port such as \"0.0.0.0:25\" or \"[::]:25\", found \"{}\"",
                                  escaped(text.value, 80)));
      } else if (taken_.claim(section, "address", text.place, address->text())) {
        listener.addresses.push_back(*address);
      }
    }
    if (texts.empty() && section.has("address")) {
      section.error(section.place(), "address", "holds no address: name at least one, or remove this [[listen]]");
    }
  }

  static void read_proxies(const Section& section, Listener& listener) {
    listener.trusted_proxies = read_networks(section, "trusted_proxies");
    listener.xclient_from = read_networks(section, "xclient_from");
    if (listener.protocol != ListenerProtocol::Smtp && section.has("xclient_from")) {
      section.error(section.place(), "xclient_from", "is for listeners with protocol = \"smtp\" only");
    }
    bool required = false;
    section.boolean("proxy_protocol", required);
    if (!required) return;
    listener.proxy_protocol = ProxyProtocol::Required;
    if (listener.protocol != ListenerProtocol::Smtp) {
      section.error(section.place(), "proxy_protocol", "is for listeners with protocol = \"smtp\" only");
    }
    section.require("trusted_proxies", "the networks of the load balancers whose PROXY headers are believed");
  }

  static void read_local(const Section& section, Listener& listener) {
    const auto local = section.table("local");
    if (!local) return;
    for (const auto& [address_text, settings] : local->members()) {
      const auto address = IpAddress::parse(address_text.value);
      if (!address) {
        section.error(address_text.place, "local",
                      fmt::format("expected a local IP address as the key, found \"{}\"", escaped(address_text.value, 80)));
        continue;
      }
      LocalAddress made;
      if (std::string name; settings.has("hostname")) {
        read_host_name(settings, "hostname", name);
        made.hostname = name;
      }
      if (const auto certificate = settings.text("default_certificate")) made.default_certificate = certificate->value;
      const bool inserted = listener.local.try_emplace(*address, std::move(made)).second;
      if (!inserted) section.error(address_text.place, "local", fmt::format("{} stands here twice", address->text()));
    }
  }

  Config& config_;
  RunConfig& run_;
  UniqueNames taken_{"address"};
};

}  // namespace

void read_process(const Section& root, const Environment& environment, Config& config) {
  StartConfig& start = config.start;
  RunConfig& run = config.run;
  read_host_name(root, "hostname", run.hostname);
  if (!root.has("hostname")) {
    const auto name = DnsName::parse(environment.host_name);
    if (name) run.hostname = name->text();
    if (!name || name->parent().empty()) {
      const std::string text =
          fmt::format("is not set, and the system's name \"{}\" is no full one; set hostname = \"mx1.example.net\"",
                      escaped(environment.host_name, 80));
      if (name) {
        root.warning("hostname", text);
      } else {
        root.error(root.place(), "hostname", text);
      }
    }
  }
  root.integer("workers", start.workers, {0u, workers_max});
  root.path("state_dir", start.state_dir);
  root.string("user", start.user);
  root.string("group", start.group);
  if (!start.group.empty() && start.user.empty()) root.warning("group", "means nothing without user");
  root.boolean("sandbox", start.sandbox);
  if (root.holds_empty_string("control")) {
    start.control.clear();  // unlike other paths it may be empty: no control socket
  } else {
    root.path("control", start.control);
  }
  read_postmaster(root, run);
  root.duration("ledger_ttl", run.ledger.ttl, {std::chrono::seconds(1), std::chrono::hours(90 * 24)});
  if (run.ledger.ttl < std::chrono::hours(24)) {
    root.warning("ledger_ttl",
                 "senders try again for days (RFC 5321 section 4.5.4.1): a recipient who has a message already gets it "
                 "again when the sender comes back later than this");
  }
  root.integer("ledger_entries", run.ledger.entries_max, {std::size_t{100}, std::size_t{10'000'000}});
}

void read_listeners(const Section& root, Config& config) {
  const auto sections = root.tables("listen");
  ListenerReader reader(config);
  for (const Section& section : sections) reader.read(section);
  if (sections.empty() && !root.has("listen")) {
    root.error(root.place(), "listen",
               "there is no [[listen]]: add one with address = [\"0.0.0.0:25\", \"[::]:25\"] and default_certificate");
  }
}

}  // namespace postern::config
