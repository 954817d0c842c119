#include "report/sender.h"

#include <libpsl.h>

namespace postern::report {

std::string registrable_domain(const DnsName& name) {
  const char* registrable = psl_registrable_domain(psl_builtin(), name.text().c_str());
  // A name without one is a public suffix itself, or has one label, as `localhost`.
  return registrable != nullptr ? registrable : name.text();
}

std::string sender_of(const IpAddress& address, const std::optional<DnsName>& confirmed_name) {
  if (confirmed_name) return registrable_domain(*confirmed_name);
  constexpr unsigned bits_v4 = 24, bits_v6 = 64;
  const unsigned bits = address.is_v4() ? bits_v4 : bits_v6;
  return Network{address.masked(bits), bits}.text();
}

bool is_verified(std::string_view sender) { return sender.find('/') == std::string_view::npos; }

}  // namespace postern::report
