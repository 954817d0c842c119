// `[[listen]]` with protocol = "admin".
#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

constexpr std::string_view unix_prefix = "unix:";

/// What other listeners have and this one does not.
constexpr std::array<std::string_view, 10> foreign_keys{"tls",     "hostname", "greet_as",       "default_certificate",
                                                       "local",   "webroot",  "proxy_protocol", "trusted_proxies",
                                                       "backend", "xclient_from"};

void read_addresses(const Section& section, UniqueNames& taken, AdminListener& admin) {
  section.require("address", "one address or a list of them, such as \"127.0.0.1:9125\" or \"unix:/run/postern/admin\"");
  for (const Text& text : section.texts("address")) {
    const auto address = Endpoint::parse(text.value);
    const bool is_path = text.value.starts_with(unix_prefix) && text.value.size() > unix_prefix.size();
    if (is_path) {
      const auto path = text.value.substr(unix_prefix.size());
      if (taken.claim(section, "address", text.place, path)) admin.sockets.push_back(path);
    } else if (!address || address->port == 0) {
      section.error(text.place, "address",
                    fmt::format("expected an IP address and a port such as \"127.0.0.1:9125\", or \"unix:PATH\", found "
                                "\"{}\"",
                                escaped(text.value, 80)));
    } else if (!address->address.is_loopback() && !section.has("token_file")) {
      section.error(text.place, "address",
                    fmt::format("{} can be reached from elsewhere: set token_file, or listen on 127.0.0.1, [::1] or a "
                                "unix socket",
                                address->text()));
    } else if (taken.claim(section, "address", text.place, address->text())) {
      admin.addresses.push_back(*address);
    }
  }
}

void read_own_keys(const Section& section, AdminListener& admin) {
  section.path("token_file", admin.token_file);
  section.duration("expires_within", admin.expires_within, {std::chrono::hours(0), std::chrono::hours(24 * 3650)});
}

}  // namespace

AdminListener read_admin_listener(const Section& section, UniqueNames& taken) {
  AdminListener admin;
  for (const std::string_view key : foreign_keys) {
    if (section.has(key)) section.warning(key, "means nothing with protocol = \"admin\"");
  }
  read_own_keys(section, admin);
  read_addresses(section, taken, admin);
  return admin;
}

void refuse_admin_keys(const Section& section) {
  for (const std::string_view key : {"token_file", "expires_within"}) {
    if (section.has(key)) section.warning(key, "means nothing except with protocol = \"admin\"");
  }
  AdminListener unused;
  read_own_keys(section, unused);
}

}  // namespace postern::config
