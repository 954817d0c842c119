// Names of TLS alerts, for logs and the score of senders.
#pragma once

#include <string_view>

namespace postern::tls {

constexpr int alert_close_notify = 0;

/// The name in the IANA registry ("bad_certificate"); "unknown" for a number that is not registered.
std::string_view alert_name(int alert);

}  // namespace postern::tls
