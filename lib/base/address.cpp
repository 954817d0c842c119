#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/text.h"

namespace postern {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string terminated(text);
  if (std::array<std::uint8_t, 4> v4{}; inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) return from_v4(v4);
  if (std::array<std::uint8_t, 16> v6{}; inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1) return from_v6(v6);
  return std::nullopt;
}

IpAddress IpAddress::from_v4(const std::array<std::uint8_t, 4>& octets) {
  IpAddress made;
  std::copy(octets.begin(), octets.end(), made.octets_.begin());
  made.v4_ = true;
  return made;
}

IpAddress IpAddress::from_v6(const std::array<std::uint8_t, 16>& octets) {
  static constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(mapped_prefix.begin(), mapped_prefix.end(), octets.begin())) {
    return from_v4({octets[12], octets[13], octets[14], octets[15]});
  }
  IpAddress made;
  made.octets_ = octets;
  made.v4_ = false;
  return made;
}

bool IpAddress::is_loopback() const {
  if (v4_) return octets_[0] == 127;
  return std::all_of(octets_.begin(), octets_.end() - 1, [](auto octet) { return octet == 0; }) && octets_[15] == 1;
}

bool IpAddress::is_unspecified() const {
  return std::all_of(octets_.begin(), octets_.end(), [](auto octet) { return octet == 0; });
}

std::string_view IpAddress::octets() const {
  return {reinterpret_cast<const char*>(octets_.data()), v4_ ? std::size_t{4} : octets_.size()};
}

IpAddress IpAddress::masked(unsigned bits) const {
  IpAddress made = *this;
  for (unsigned i = 0; i < octets().size(); ++i) {
    const unsigned kept = bits > i * 8 ? std::min(bits - i * 8, 8u) : 0;
    made.octets_[i] = static_cast<std::uint8_t>(made.octets_[i] & (0xff00u >> kept));
  }
  return made;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(v4_ ? AF_INET : AF_INET6, octets_.data(), buffer.data(), static_cast<socklen_t>(buffer.size()));
  return buffer.data();
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Without brackets the last group of an IPv6 address would be taken for a port.
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal(text.substr(colon + 1));
  if (!address || !port || *port > 65535) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(*port)};
}

std::string Endpoint::text() const {
  return address.is_v4() ? fmt::format("{}:{}", address.text(), port) : fmt::format("[{}]:{}", address.text(), port);
}

std::optional<Network> Network::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits_max = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Network{*address, bits_max};
  const auto bits = parse_decimal(text.substr(slash + 1));
  if (!bits || *bits > bits_max) return std::nullopt;
  return Network{address->masked(static_cast<unsigned>(*bits)), static_cast<unsigned>(*bits)};
}

bool Network::contains(const IpAddress& candidate) const {
  return candidate.is_v4() == address.is_v4() && candidate.masked(bits) == address;
}

bool any_contains(const std::vector<Network>& networks, const IpAddress& address) {
  return std::any_of(networks.begin(), networks.end(), [&](const Network& network) { return network.contains(address); });
}

std::string Network::text() const { return fmt::format("{}/{}", address.text(), bits); }

}  // namespace postern

std::size_t std::hash<postern::IpAddress>::operator()(const postern::IpAddress& address) const noexcept {
  return std::hash<std::string_view>()(address.octets());
}
