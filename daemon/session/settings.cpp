#include "daemon/session/settings.h"

namespace postern::session {

const std::string& ListenerSettings::hostname_at(const IpAddress& local_address) const {
  const auto found = local.find(local_address);
  return found != local.end() && found->second.hostname ? *found->second.hostname : hostname;
}

std::vector<std::string> ListenerSettings::hostnames() const {
  std::vector<std::string> names{hostname};
  for (const auto& [address, here] : local) {
    if (here.hostname) names.push_back(*here.hostname);
  }
  return names;
}

const std::string& ListenerSettings::default_certificate_at(const IpAddress& local_address) const {
  const auto found = local.find(local_address);
  return found != local.end() && found->second.default_certificate ? *found->second.default_certificate
                                                                   : default_certificate;
}

}  // namespace postern::session
