// The only way to make a DnsName: whoever holds one knows that it is a host name in canonical form, fit to be compared
// byte by byte, to be a key of a map, and to be written to a log or a header as it is.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

class DnsName {
 public:
  /// A host name from the wire or a file: lower-cased, one trailing dot dropped, A-labels kept as they are. Nothing
  /// when it is no host name: a label that is empty, over 63 octets, or has other octets than letters, digits, hyphen
  /// and underscore (underscores do occur in real MX names); over 253 octets; or an all-numeric last label (an IPv4
  /// address literal, RFC 1123 section 2.1).
  static std::optional<DnsName> parse(std::string_view text);

  /// As parse(), but a name with octets over 0x7f is taken as UTF-8 and converted to A-labels (IDNA 2008, UTS 46).
  static std::optional<DnsName> from_utf8(std::string_view text);

  const std::string& text() const { return text_; }

  /// The name without its first label; nothing when there is only one.
  std::string_view parent() const;

  friend bool operator==(const DnsName&, const DnsName&) = default;
  friend auto operator<=>(const DnsName&, const DnsName&) = default;

 private:
  explicit DnsName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace postern

template <>
struct std::hash<postern::DnsName> {
  std::size_t operator()(const postern::DnsName& name) const noexcept {
    return std::hash<std::string>()(name.text());
  }
};
