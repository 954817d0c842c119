#include "http/loopback_host.h"

#include "base/address.h"
#include "base/text.h"

namespace postern::http {

namespace {

/// Takes the port away, and the brackets of an IPv6 address.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    return end == std::string_view::npos ? std::string_view() : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

}  // namespace

bool means_loopback(std::string_view host) {
  if (host.empty()) return true;
  const std::string_view name = without_port(host);
  if (const auto address = IpAddress::parse(name)) return address->is_loopback();
  constexpr std::string_view local = "localhost";
  if (name.size() < local.size()) return false;
  const std::string_view above = name.substr(0, name.size() - local.size());
  const bool ends_so = starts_with_ignoring_case(name.substr(above.size()), local);
  return ends_so && (above.empty() || (above.size() > 1 && above.ends_with('.')));
}

}  // namespace postern::http
