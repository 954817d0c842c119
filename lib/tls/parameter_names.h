// Names of what a ClientHello offers: those that BoringSSL knows, which are those that it can use. The rest are numbers, as
// "0x003c", so that what was of no use stands out.
#pragma once

#include <cstdint>
#include <string>

namespace postern::tls {

std::string cipher_suite_name(std::uint16_t number);
std::string group_name(std::uint16_t number);
std::string signature_scheme_name(std::uint16_t number);

}  // namespace postern::tls
