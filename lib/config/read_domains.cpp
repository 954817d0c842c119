// `[[domain]]` and the files that list domains.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/readers.h"
#include "config/source.h"

namespace postern::config {

namespace {

constexpr std::string_view placeholder = "{domain}";
// A file that is no list of domains at all should not fill the screen.
constexpr std::size_t bad_lines_max = 10;

class DomainReader {
 public:
  DomainReader(const Environment& environment, const UniqueNames& backends, Diagnostics& diagnostics, RunConfig& run)
      : environment_(environment), backends_(backends), diagnostics_(diagnostics), run_(run) {}

  void read(const Section& section) {
    const Common common{read_backend_name(section, backends_), section.texts("mx"), read_policy(section),
                        read_report_addresses(section)};
    if (!is_null_mx(common.mx)) {
      section.require("backend", "the name of the [[backend]] that takes the mail of this domain");
    }
    if (section.has("name") == section.has("file")) {
      section.error(section.place(), "",
                    "needs either name = \"example.com\" or file = \"domains.txt\", and not both");
    }
    bool relay_everything = false;
    section.boolean("relay_everything", relay_everything);
    if (const auto name = section.text("name")) {
      if (name->value == "*") {
        read_catch_all(section, *name, common, relay_everything);
      } else {
        if (relay_everything) section.warning("relay_everything", "means nothing except with name = \"*\"");
        add(section, "name", *name, common);
      }
    }
    if (const auto file = section.text("file")) read_file(section, *file, common);
  }

 private:
  /// `mta_sts`, before a domain is put into it.
  struct PolicyTemplate {
    mtasts::Policy policy;    // but for its mx
    std::vector<Text> mx;
    std::shared_ptr<const mtasts::Policy> shared;  // the finished one, when it is the same for every domain
  };

  /// What all domains of one section share.
  struct Common {
    std::string backend;
    std::vector<Text> mx;
    std::optional<PolicyTemplate> policy;
    std::shared_ptr<const std::string> tlsrpt;
  };

  /// RFC 8460 section 3: mailto: and https: URIs; a mail address alone will do. In one of them `,`, `;` and `!` must be
  /// percent-encoded.
  static std::shared_ptr<const std::string> read_report_addresses(const Section& section) {
    std::string uris;
    for (const Text& text : section.texts("tlsrpt")) {
      const bool is_uri = text.value.starts_with("mailto:") || text.value.starts_with("https://");
      const std::string uri = is_uri ? text.value : "mailto:" + text.value;
      const bool clean = std::all_of(uri.begin(), uri.end(), [](char c) {
        return c > ' ' && c < 0x7f && std::string_view(",;!\"\\").find(c) == std::string_view::npos;
      });
      const auto address = std::string_view(uri).substr(uri.find(':') + 1);
      const bool good = uri.starts_with("mailto:") ? smtp::parse_mailbox(address).has_value() : address.size() > 2;
      if (!clean || !good) {
        section.error(text.place, "tlsrpt",
                      fmt::format("expected a mail address, or a mailto: or https: URI without , ; and !, found \"{}\"",
                                  escaped(text.value, 80)));
        continue;
      }
      uris += (uris.empty() ? "" : ",") + uri;
    }
    return uris.empty() ? nullptr : std::make_shared<const std::string>(std::move(uris));
  }

  static std::optional<PolicyTemplate> read_policy(const Section& section) {
    const auto mta_sts = section.table("mta_sts");
    if (!mta_sts) return std::nullopt;
    PolicyTemplate made;
    mta_sts->choice("mode", made.policy.mode,
                    {{"enforce", mtasts::Mode::Enforce}, {"testing", mtasts::Mode::Testing}, {"none", mtasts::Mode::None}});
    Duration max_age = made.policy.max_age;
    mta_sts->duration("max_age", max_age, {Duration::zero(), mtasts::max_age_max});
    made.policy.max_age = std::chrono::duration_cast<std::chrono::seconds>(max_age);
    made.mx = mta_sts->has("mx") ? mta_sts->texts("mx") : section.texts("mx");
    if (made.mx.empty() && made.policy.mode != mtasts::Mode::None) {
      section.error(mta_sts->place(), "mta_sts", "a policy names the MX hosts: set mx = [\"mx.example.com\"] in this [[domain]]");
      return std::nullopt;
    }
    const bool same_for_all = std::none_of(made.mx.begin(), made.mx.end(), [](const Text& text) {
      return text.value.find(placeholder) != std::string::npos;
    });
    if (same_for_all) made.shared = policy_for(section, made, "");
    return made;
  }

  static std::shared_ptr<const mtasts::Policy> policy_for(const Section& section, const PolicyTemplate& from,
                                                          std::string_view domain) {
    auto made = std::make_shared<mtasts::Policy>(from.policy);
    for (const Text& text : from.mx) {
      std::string name = text.value;
      if (const auto at = name.find(placeholder); at != std::string::npos) name.replace(at, placeholder.size(), domain);
      if (auto pattern = mtasts::MxPattern::parse(name)) {
        made->mx.push_back(std::move(*pattern));
      } else {
        section.error(text.place, "mta_sts.mx",
                      fmt::format("expected host names such as \"mx.example.com\" or \"*.example.com\", found \"{}\"",
                                  escaped(name, 80)));
      }
    }
    return made;
  }

  /// The policy host of a domain needs a certificate of its own.
  void add_policy(const Section& section, const PolicyTemplate& from, const DnsName& domain) {
    run_.policies->add(domain, from.shared ? from.shared : policy_for(section, from, domain.text()));
    if (auto host = DnsName::parse("mta-sts." + domain.text())) run_.certificates.declared.push_back(std::move(*host));
  }

  void read_catch_all(const Section& section, const Text& name, const Common& common, bool relay_everything) {
    if (!relay_everything) {
      section.error(name.place, "name",
                    "\"*\" takes mail for every domain of the world: where the backend passes it on, this is an open "
                    "relay; if it is meant, write relay_everything = true in this [[domain]]");
    }
    if (common.policy) section.error(name.place, "mta_sts", "\"*\" is no domain that could have a policy");
    if (common.tlsrpt) section.error(name.place, "tlsrpt", "\"*\" is no domain whose senders could be asked for reports");
    if (!taken_.claim(section, "name", name.place, name.value)) return;
    delivery::DomainSettings domain;
    domain.backend = common.backend;
    read_mx(section, common.mx, nullptr, domain);
    run_.domains.push_back(std::move(domain));
  }

  /// Says what is wrong with one domain, under `key`; false then.
  bool add(const Section& section, std::string_view key, const Text& text, const Common& common) {
    const auto name = DnsName::from_utf8(text.value);
    if (!name) {
      section.error(text.place, key,
                    fmt::format("expected a domain such as \"example.com\", found \"{}\"", escaped(text.value, 80)));
      return false;
    }
    if (!taken_.claim(section, key, text.place, name->text())) return false;
    delivery::DomainSettings domain;
    domain.name = *name;
    domain.backend = common.backend;
    domain.tlsrpt = common.tlsrpt;
    read_mx(section, common.mx, &*name, domain);
    if (common.policy) add_policy(section, *common.policy, *name);
    run_.domains.push_back(std::move(domain));
    return true;
  }

  /// RFC 7505: the domain exists, and takes no mail.
  static bool is_null_mx(const std::vector<Text>& mx) { return mx.size() == 1 && mx.front().value == "."; }

  /// `domain_name` is null for the catch-all, which has no name to put into a template.
  void read_mx(const Section& section, const std::vector<Text>& templates, const DnsName* domain_name,
               delivery::DomainSettings& domain) {
    domain.null_mx = is_null_mx(templates) && domain_name != nullptr;
    if (domain.null_mx) return;
    for (const Text& text : templates) {
      std::string filled = text.value;
      const auto at = filled.find(placeholder);
      if (at != std::string::npos && domain_name != nullptr) filled.replace(at, placeholder.size(), domain_name->text());
      const auto mx = DnsName::from_utf8(filled);
      if (!mx) {
        section.error(text.place, "mx",
                      fmt::format("expected host names such as \"mx.example.com\" or \"mx.{{domain}}\", found \"{}\"",
                                  escaped(filled, 80)));
        continue;
      }
      domain.mx.push_back(*mx);
      run_.certificates.declared.push_back(*mx);
    }
  }

  void read_file(const Section& section, const Text& file, const Common& common) {
    const std::string path = relative_to(*file.place.file, file.value);
    const auto content = environment_.read_file(path);
    if (!content) {
      section.error(file.place, "file", fmt::format("{} cannot be read: {}", path, content.error().text));
      return;
    }
    const auto path_pointer = std::make_shared<const std::string>(path);
    unsigned line_number = 0;
    std::size_t bad_lines = 0;
    for (const std::string_view line : split(*content, '\n')) {
      ++line_number;
      const auto word = trimmed(line.substr(0, line.find('#')));
      if (word.empty()) continue;
      const Place place{path_pointer, line_number, static_cast<unsigned>(word.data() - line.data()) + 1};
      if (add(section, "file", Text{std::string(word), place}, common)) continue;
      if (++bad_lines == bad_lines_max) {
        diagnostics_.error(place, "", fmt::format("{} bad lines: the rest of the file was not read", bad_lines));
        return;
      }
    }
  }

  const Environment& environment_;
  const UniqueNames& backends_;
  Diagnostics& diagnostics_;
  RunConfig& run_;
  UniqueNames taken_{"domain"};
};

void read_published_addresses(const Section& root, RunConfig& run) {
  const auto section = root.table("dns");
  if (!section) return;
  for (const Text& text : section->texts("addresses")) {
    if (const auto address = IpAddress::parse(text.value)) {
      run.published.addresses.push_back(*address);
    } else {
      section->error(text.place, "addresses",
                     fmt::format("expected IP addresses such as \"192.0.2.1\", found \"{}\"", escaped(text.value, 80)));
    }
  }
  if (const auto text = section->text("policy_host")) {
    run.published.policy_host = DnsName::from_utf8(text->value);
    if (!run.published.policy_host) {
      section->error(text->place, "policy_host",
                     fmt::format("expected a host name such as \"sts.example.net\", found \"{}\"", escaped(text->value, 80)));
    }
  }
}

void warn_of_unserved_postmaster(const Section& root, const RunConfig& run) {
  if (!run.postmaster || run.domains.empty()) return;
  const auto domain = run.postmaster->domain_name();
  const bool served = std::any_of(run.domains.begin(), run.domains.end(), [&](const delivery::DomainSettings& candidate) {
    return !candidate.name || candidate.name == domain;
  });
  if (!served) {
    root.warning("postmaster", fmt::format("no [[domain]] is \"{}\", so that mail to postmaster has no way to go",
                                           domain ? domain->text() : run.postmaster->domain));
  }
}

}  // namespace

void read_domains(const Section& root, const Environment& environment, const UniqueNames& backends,
                  Diagnostics& diagnostics, RunConfig& run) {
  read_published_addresses(root, run);
  DomainReader reader(environment, backends, diagnostics, run);
  for (const Section& section : root.tables("domain")) reader.read(section);
  auto& declared = run.certificates.declared;
  std::sort(declared.begin(), declared.end());
  declared.erase(std::unique(declared.begin(), declared.end()), declared.end());
  warn_of_unserved_postmaster(root, run);
}

}  // namespace postern::config
