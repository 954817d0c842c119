#include "delivery/settings.h"

#include <fmt/format.h>
#include <sys/un.h>

#include "base/text.h"

namespace postern::delivery {

namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::size_t unix_path_octets_max = sizeof(sockaddr_un::sun_path) - 1;

std::optional<Target> parse_unix(std::string_view path) {
  if (!path.starts_with('/') || path.size() > unix_path_octets_max) return std::nullopt;
  if (path.find('\0') != std::string_view::npos) return std::nullopt;
  return UnixTarget{std::string(path)};
}

}  // namespace

std::optional<Target> parse_target(std::string_view text) {
  if (text.starts_with(unix_prefix)) return parse_unix(text.substr(unix_prefix.size()));
  if (const auto endpoint = Endpoint::parse(text)) {
    return endpoint->port == 0 ? std::nullopt : std::optional<Target>(*endpoint);
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto host = DnsName::parse(text.substr(0, colon));
  const auto port = parse_decimal(text.substr(colon + 1));
  if (!host || !port || *port == 0 || *port > 65535) return std::nullopt;
  return HostTarget{*host, static_cast<std::uint16_t>(*port)};
}

std::string to_string(const Target& target) {
  if (const auto* path = std::get_if<UnixTarget>(&target)) return fmt::format("{}{}", unix_prefix, path->path);
  if (const auto* endpoint = std::get_if<Endpoint>(&target)) return endpoint->text();
  const auto& host = std::get<HostTarget>(target);
  return fmt::format("{}:{}", host.host.text(), host.port);
}

bool is_local(const Target& target) {
  if (const auto* endpoint = std::get_if<Endpoint>(&target)) return endpoint->address.is_loopback();
  if (const auto* host = std::get_if<HostTarget>(&target)) return host->host.text() == "localhost";
  return true;
}

}  // namespace postern::delivery
