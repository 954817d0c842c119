// IP addresses, networks and end points as values. (Mail addresses are in smtp/address.)
#pragma once

#include <array>
#include <compare>
#include <functional>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

/// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is held as the IPv4 address that it means,
/// so that one client is never counted as two.
class IpAddress {
 public:
  /// The IPv4 unspecified address.
  constexpr IpAddress() = default;

  static std::optional<IpAddress> parse(std::string_view text);
  static IpAddress from_v4(const std::array<std::uint8_t, 4>& octets);
  static IpAddress from_v6(const std::array<std::uint8_t, 16>& octets);

  bool is_v4() const { return v4_; }
  bool is_loopback() const;
  bool is_unspecified() const;

  /// 4 or 16 octets in network order.
  std::string_view octets() const;

  /// The address with all but the first `bits` set to zero.
  IpAddress masked(unsigned bits) const;

  std::string text() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> octets_{};  // the first four are used for IPv4, the others are zero then
  bool v4_ = true;
};

/// An address and a port: where a socket is bound or connected.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  /// `192.0.2.1:25`, `[2001:db8::1]:25`
  static std::optional<Endpoint> parse(std::string_view text);
  std::string text() const;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// An address block in CIDR notation; an address alone is a block of one.
struct Network {
  IpAddress address;
  unsigned bits = 0;

  static std::optional<Network> parse(std::string_view text);
  bool contains(const IpAddress& candidate) const;
  std::string text() const;

  friend bool operator==(const Network&, const Network&) = default;
};

/// Whether one of them has the address.
bool any_contains(const std::vector<Network>& networks, const IpAddress& address);

}  // namespace postern

template <>
struct std::hash<postern::IpAddress> {
  std::size_t operator()(const postern::IpAddress& address) const noexcept;
};
