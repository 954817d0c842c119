// TLSA records as DANE senders of mail read them (RFC 7672).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "dns/message.h"

namespace postern::mtasts {

/// `_25._tcp.MX` as text, for a name that may be longer than host names are.
std::string tlsa_owner(const DnsName& mx);

/// 3 1 1: the server's own key, SHA-256 of its SubjectPublicKeyInfo (DER).
dns::TlsaRecord tlsa_of_key(std::string_view key_info);

/// Whether mail senders can use it (RFC 7672 section 3.1): usage 2 or 3, with selector and matching type that are known.
bool is_usable(const dns::TlsaRecord& record);

/// Which certificate of the chain (DER, leaf first) a usable record means: for usage 3 only the leaf is looked at, for
/// usage 2 all are. Nothing when none.
std::optional<std::size_t> matched_certificate(const dns::TlsaRecord& record, const std::vector<std::string>& chain);

}  // namespace postern::mtasts
