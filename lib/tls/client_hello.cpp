#include "tls/client_hello.h"

#include <algorithm>
#include <array>

#include "tls/compat.h"
#include "tls/settings.h"

namespace postern::tls {

namespace {

constexpr std::uint16_t tls12 = static_cast<std::uint16_t>(Version::Tls12);
constexpr std::uint16_t tls13 = static_cast<std::uint16_t>(Version::Tls13);

// Cipher suites up to TLS 1.2 that BoringSSL has, by what the server proves itself with.
constexpr std::array<std::uint16_t, 7> ecdhe_ecdsa_suites{0xc02b, 0xc02c, 0xcca9, 0xc009, 0xc00a, 0xc023, 0xc024};
constexpr std::array<std::uint16_t, 7> ecdhe_rsa_suites{0xc02f, 0xc030, 0xcca8, 0xc013, 0xc014, 0xc027, 0xc028};
constexpr std::array<std::uint16_t, 5> static_rsa_suites{0x009c, 0x009d, 0x002f, 0x0035, 0x000a};

// Signature schemes (RFC 8446 section 4.2.3).
constexpr std::uint16_t scheme_ed25519 = 0x0807;
constexpr std::array<std::uint16_t, 3> rsa_pss_schemes{0x0804, 0x0805, 0x0806};
constexpr std::array<std::uint16_t, 4> rsa_pkcs1_schemes{0x0401, 0x0501, 0x0601, 0x0201};
constexpr std::array<std::uint16_t, 4> ecdsa_schemes{0x0403, 0x0503, 0x0603, 0x0203};

constexpr std::array<std::uint16_t, 3> key_exchange_groups{group_x25519, group_p256, group_p384};

bool contains(const std::vector<std::uint16_t>& offered, std::uint16_t wanted) {
  return std::find(offered.begin(), offered.end(), wanted) != offered.end();
}

template <std::size_t N>
bool contains_any(const std::vector<std::uint16_t>& offered, const std::array<std::uint16_t, N>& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](std::uint16_t value) { return contains(offered, value); });
}

std::string_view bytes_of(const CBS& cbs) { return {reinterpret_cast<const char*>(CBS_data(&cbs)), CBS_len(&cbs)}; }

/// All of `list` as 16-bit values; nothing when there is an odd octet.
std::vector<std::uint16_t> read_u16s(CBS list) {
  std::vector<std::uint16_t> values;
  if (CBS_len(&list) % 2 != 0) return values;
  values.reserve(CBS_len(&list) / 2);
  for (std::uint16_t value = 0; CBS_get_u16(&list, &value) != 0;) values.push_back(value);
  return values;
}

/// An extension whose whole body is one list with a 16-bit length.
std::vector<std::uint16_t> read_u16_list(CBS body) {
  CBS list;
  if (!CBS_get_u16_length_prefixed(&body, &list) || CBS_len(&body) != 0) return {};
  return read_u16s(list);
}

/// The rules are BoringSSL's (one entry, although RFC 6066 would allow more), so that both come to the same result.
void read_server_name(CBS body, ClientHello& hello) {
  hello.sni = SniKind::Malformed;
  CBS list, name;
  std::uint8_t type = 0;
  if (!CBS_get_u16_length_prefixed(&body, &list) || !CBS_get_u8(&list, &type) ||
      !CBS_get_u16_length_prefixed(&list, &name)) {
    return;
  }
  hello.raw_server_name = bytes_of(name).substr(0, TLSEXT_MAXLEN_host_name);
  if (CBS_len(&list) != 0 || CBS_len(&body) != 0 || type != TLSEXT_NAMETYPE_host_name || CBS_len(&name) == 0 ||
      CBS_len(&name) > TLSEXT_MAXLEN_host_name || bytes_of(name).find('\0') != std::string_view::npos) {
    return;
  }
  hello.server_name = DnsName::parse(hello.raw_server_name);
  hello.sni = hello.server_name ? SniKind::HostName : SniKind::Unusable;
}

void read_alpn(CBS body, ClientHello& hello) {
  CBS list, protocol;
  if (!CBS_get_u16_length_prefixed(&body, &list) || CBS_len(&body) != 0) return;
  while (CBS_get_u8_length_prefixed(&list, &protocol) != 0) hello.alpn.emplace_back(bytes_of(protocol));
}

void read_versions(CBS body, ClientHello& hello) {
  CBS list;
  if (!CBS_get_u8_length_prefixed(&body, &list) || CBS_len(&body) != 0) return;
  auto versions = read_u16s(list);
  if (!versions.empty()) hello.versions = std::move(versions);
}

void read_extension(std::uint16_t type, const CBS& body, ClientHello& hello) {
  switch (type) {
    case TLSEXT_TYPE_server_name: read_server_name(body, hello); break;
    case TLSEXT_TYPE_supported_groups: hello.groups = read_u16_list(body); break;
    case TLSEXT_TYPE_signature_algorithms: hello.signature_schemes = read_u16_list(body); break;
    case TLSEXT_TYPE_application_layer_protocol_negotiation: read_alpn(body, hello); break;
    case TLSEXT_TYPE_supported_versions: read_versions(body, hello); break;
    case TLSEXT_TYPE_session_ticket: hello.has_session_ticket |= CBS_len(&body) > 0; break;
    case TLSEXT_TYPE_pre_shared_key: hello.has_session_ticket = true; break;
    default: break;
  }
}

/// False when an extension is cut off or stands there twice.
bool read_extensions(CBS extensions, ClientHello& hello) {
  std::vector<std::uint16_t> seen;
  while (CBS_len(&extensions) > 0) {
    std::uint16_t type = 0;
    CBS body;
    if (!CBS_get_u16(&extensions, &type) || !CBS_get_u16_length_prefixed(&extensions, &body)) return false;
    seen.push_back(type);
    read_extension(type, body, hello);
  }
  // Sorted: a hostile ClientHello holds 16,000 empty extensions.
  std::sort(seen.begin(), seen.end());
  return std::adjacent_find(seen.begin(), seen.end()) == seen.end();
}

std::uint16_t newest(const ClientHello& hello) {
  std::uint16_t version = 0;
  for (const std::uint16_t offered : hello.versions) {
    if (offered <= tls13) version = std::max(version, offered);  // GREASE values are all over TLS 1.3
  }
  return version;
}

bool can_exchange_keys(const ClientHello& hello) { return contains_any(hello.groups, key_exchange_groups); }

}  // namespace

bool ClientHello::offers_tls13() const { return contains(versions, tls13); }

bool ClientHello::accepts_ecdsa(std::uint16_t curve_group) const {
  if (offers_tls13()) {
    switch (curve_group) {
      case group_p256: return contains(signature_schemes, 0x0403);
      case group_p384: return contains(signature_schemes, 0x0503);
      case group_p521: return contains(signature_schemes, 0x0603);
      default: return false;
    }
  }
  // RFC 5246 section 7.4.1.4.1: without the extension SHA-1 is meant. A scheme fixes no curve before TLS 1.3.
  const bool can_verify =
      newest(*this) < tls12 || signature_schemes.empty() || contains_any(signature_schemes, ecdsa_schemes);
  return can_verify && can_exchange_keys(*this) && contains(groups, curve_group) &&
         contains_any(cipher_suites, ecdhe_ecdsa_suites);
}

bool ClientHello::accepts_rsa() const {
  if (offers_tls13()) return contains_any(signature_schemes, rsa_pss_schemes);
  if (contains_any(cipher_suites, static_rsa_suites)) return true;  // nothing is signed
  const bool can_verify = newest(*this) < tls12 || signature_schemes.empty() ||
                          contains_any(signature_schemes, rsa_pkcs1_schemes) ||
                          contains_any(signature_schemes, rsa_pss_schemes);
  return can_verify && can_exchange_keys(*this) && contains_any(cipher_suites, ecdhe_rsa_suites);
}

bool ClientHello::accepts_ed25519() const {
  if (!contains(signature_schemes, scheme_ed25519)) return false;
  if (offers_tls13()) return true;
  return newest(*this) == tls12 && can_exchange_keys(*this) && contains_any(cipher_suites, ecdhe_ecdsa_suites);
}

std::optional<ClientHello> parse_client_hello(std::string_view body) {
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const std::uint8_t*>(body.data()), body.size());
  std::uint16_t legacy_version = 0;
  CBS session_id, cipher_suites, compression_methods;
  if (!CBS_get_u16(&cbs, &legacy_version) || !CBS_skip(&cbs, SSL3_RANDOM_SIZE) ||
      !CBS_get_u8_length_prefixed(&cbs, &session_id) || CBS_len(&session_id) > SSL_MAX_SSL_SESSION_ID_LENGTH ||
      !CBS_get_u16_length_prefixed(&cbs, &cipher_suites) || CBS_len(&cipher_suites) < 2 ||
      CBS_len(&cipher_suites) % 2 != 0 || !CBS_get_u8_length_prefixed(&cbs, &compression_methods) ||
      CBS_len(&compression_methods) < 1) {
    return std::nullopt;
  }
  ClientHello hello;
  hello.versions = {legacy_version};
  hello.cipher_suites = read_u16s(cipher_suites);
  if (CBS_len(&cbs) == 0) return hello;  // up to TLS 1.2 the extensions may be missing
  CBS extensions;
  if (!CBS_get_u16_length_prefixed(&cbs, &extensions) || CBS_len(&cbs) != 0 || !read_extensions(extensions, hello)) {
    return std::nullopt;
  }
  return hello;
}

namespace {

constexpr std::size_t record_header_octets = 5;
constexpr std::size_t record_octets_max = 16384;  // RFC 8446 section 5.1
constexpr std::size_t empty_records_max = 32;     // BoringSSL's limit
constexpr std::size_t handshake_header_octets = 4;

std::uint8_t octet(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

}  // namespace

ClientHelloReader::State ClientHelloReader::receive(std::string_view bytes) {
  if (state_ != State::NeedMore) return state_;
  // The usual ClientHello comes whole: then nothing is copied.
  if (!record_.empty()) {
    record_ += bytes;
    bytes = record_;
  }
  while (state_ == State::NeedMore && !bytes.empty()) {
    const std::size_t before = bytes.size();
    state_ = read_record(bytes);
    if (bytes.size() == before) break;
  }
  if (state_ == State::NeedMore) {
    record_ = std::string(bytes);
  } else {
    std::string().swap(record_);
    std::string().swap(handshake_);
  }
  return state_;
}

/// Takes one whole record off `input`, or leaves it alone.
ClientHelloReader::State ClientHelloReader::read_record(std::string_view& input) {
  const bool first = handshake_.empty() && empty_records_ == 0;
  const State wrong = first && octet(input, 0) != SSL3_RT_ALERT ? State::NotTls : State::Malformed;
  if (octet(input, 0) != SSL3_RT_HANDSHAKE) return wrong;
  if (input.size() > 1 && octet(input, 1) != SSL3_VERSION_MAJOR) return wrong;
  if (input.size() < record_header_octets) return State::NeedMore;
  const std::size_t length = static_cast<std::size_t>(octet(input, 3) << 8 | octet(input, 4));
  if (length > record_octets_max) return State::Malformed;
  if (input.size() < record_header_octets + length) return State::NeedMore;
  const std::string_view fragment = input.substr(record_header_octets, length);
  input.remove_prefix(record_header_octets + length);
  if (fragment.empty()) return ++empty_records_ > empty_records_max ? State::Malformed : State::NeedMore;
  return read_handshake(fragment);
}

ClientHelloReader::State ClientHelloReader::read_handshake(std::string_view fragment) {
  if (!handshake_.empty()) {
    handshake_ += fragment;
    fragment = handshake_;
  }
  if (octet(fragment, 0) != SSL3_MT_CLIENT_HELLO) return State::Malformed;
  if (fragment.size() >= handshake_header_octets) {
    const std::size_t length =
        static_cast<std::size_t>(octet(fragment, 1) << 16 | octet(fragment, 2) << 8 | octet(fragment, 3));
    if (length > octets_max - handshake_header_octets) return State::Malformed;
    if (fragment.size() >= handshake_header_octets + length) {
      hello_ = parse_client_hello(fragment.substr(handshake_header_octets, length));
      return hello_ ? State::Complete : State::Malformed;
    }
  }
  if (handshake_.empty()) handshake_ = std::string(fragment);
  return State::NeedMore;
}

}  // namespace postern::tls
