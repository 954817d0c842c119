// Version 2 (proxy-protocol.txt section 2.2):
//
//   signature (12)   version << 4 | command   family << 4 | transport   length of the rest (2)
//   source address, destination address, source port, destination port
//   TLVs: type (1), length (2), value
//
// Every length is checked against what is left of the header, which Cursor alone can take from.
#include "proxy/header_v2.h"

#include <algorithm>
#include <array>

namespace postern::proxy::v2 {

namespace {

constexpr std::size_t fixed_octets = 16;
constexpr std::size_t crc_octets = 4;
constexpr std::size_t unique_id_octets_max = 128;

enum Family : std::uint8_t { Inet = 1, Inet6 = 2, Unix = 3 };
constexpr std::uint8_t transport_stream = 1;
constexpr std::uint8_t transport_datagram = 2;

enum Type : std::uint8_t {
  Alpn = 0x01,
  Authority = 0x02,
  Crc32c = 0x03,
  UniqueId = 0x05,
  Ssl = 0x20,
  SslVersion = 0x21,
  SslCommonName = 0x22,
  SslCipher = 0x23,
};

// The bits of PP2_TYPE_SSL's `client`.
constexpr unsigned client_ssl = 0x01;
constexpr unsigned client_cert_conn = 0x02;
constexpr unsigned client_cert_sess = 0x04;

/// What is left of a header, or of one of its TLVs.
class Cursor {
 public:
  explicit Cursor(std::string_view left) : left_(left) {}

  bool empty() const { return left_.empty(); }

  std::optional<std::string_view> take(std::size_t octets) {
    if (octets > left_.size()) return std::nullopt;
    const auto taken = left_.substr(0, octets);
    left_.remove_prefix(octets);
    return taken;
  }

  /// Big-endian, 1 to 4 octets.
  std::optional<std::uint32_t> number(std::size_t octets) {
    const auto taken = take(octets);
    if (!taken) return std::nullopt;
    std::uint32_t value = 0;
    for (const char octet : *taken) value = value << 8 | static_cast<std::uint8_t>(octet);
    return value;
  }

 private:
  std::string_view left_;
};

struct Tlv {
  std::uint32_t type;
  std::string_view value;
};

std::optional<Tlv> take_tlv(Cursor& cursor) {
  const auto type = cursor.number(1);
  const auto length = cursor.number(2);
  if (!type || !length) return std::nullopt;
  const auto value = cursor.take(*length);
  if (!value) return std::nullopt;
  return Tlv{*type, *value};
}

/// CRC-32C (Castagnoli), bit by bit: a header is short, and few carry one.
std::uint32_t crc32c(std::string_view before, std::string_view zeroed, std::string_view behind) {
  std::uint32_t crc = 0xffffffff;
  const auto add = [&crc](std::uint8_t octet) {
    crc ^= octet;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  };
  for (const char octet : before) add(static_cast<std::uint8_t>(octet));
  for (std::size_t i = 0; i < zeroed.size(); ++i) add(0);
  for (const char octet : behind) add(static_cast<std::uint8_t>(octet));
  return ~crc;
}

/// `field` is the value of the checksum's TLV, which points into `header`.
bool checksum_holds(std::string_view header, std::string_view field) {
  if (field.size() != crc_octets) return false;
  const auto at = static_cast<std::size_t>(field.data() - header.data());
  return Cursor(field).number(crc_octets) == crc32c(header.substr(0, at), field, header.substr(at + field.size()));
}

bool read_tls(std::string_view value, Header& header) {
  Cursor cursor(value);
  const auto client = cursor.number(1);
  const auto verify = cursor.number(4);
  if (!client || !verify) return false;
  TlsFacts facts;
  if ((*client & (client_cert_conn | client_cert_sess)) != 0) {
    facts.verified = *verify == 0 ? TlsFacts::Verified::Good : TlsFacts::Verified::Failed;
  }
  while (!cursor.empty()) {
    const auto tlv = take_tlv(cursor);
    if (!tlv) return false;
    if (tlv->type == SslVersion) facts.version = tlv->value;
    if (tlv->type == SslCommonName) facts.common_name = tlv->value;
    if (tlv->type == SslCipher) facts.cipher = tlv->value;
  }
  if ((*client & client_ssl) != 0) header.tls = std::move(facts);
  return true;
}

bool read_tlvs(Cursor& cursor, std::string_view whole, Header& header) {
  while (!cursor.empty()) {
    const auto tlv = take_tlv(cursor);
    if (!tlv) return false;
    switch (tlv->type) {
      case Alpn: header.alpn = tlv->value; break;
      case Authority: header.authority = tlv->value; break;
      case UniqueId:
        if (tlv->value.size() > unique_id_octets_max) return false;
        header.unique_id = tlv->value;
        break;
      case Crc32c:
        if (!checksum_holds(whole, tlv->value)) return false;
        break;
      case Ssl:
        if (!read_tls(tlv->value, header)) return false;
        break;
      default: break;  // unknown types must be skipped
    }
  }
  return true;
}

template <std::size_t octets>
std::array<std::uint8_t, octets> as_array(std::string_view text) {
  std::array<std::uint8_t, octets> made{};
  std::transform(text.begin(), text.end(), made.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  return made;
}

IpAddress address_of(std::string_view octets) {
  return octets.size() == 4 ? IpAddress::from_v4(as_array<4>(octets)) : IpAddress::from_v6(as_array<16>(octets));
}

bool read_addresses(Cursor& cursor, std::size_t address_octets, Header& header) {
  const auto source = cursor.take(address_octets);
  const auto destination = cursor.take(address_octets);
  const auto source_port = cursor.number(2);
  const auto destination_port = cursor.number(2);
  if (!source || !destination || !source_port || !destination_port) return false;
  header.source = Endpoint{address_of(*source), static_cast<std::uint16_t>(*source_port)};
  header.destination = Endpoint{address_of(*destination), static_cast<std::uint16_t>(*destination_port)};
  return true;
}

/// `whole` is the header from its signature to its end.
Result<Header> parse(std::string_view whole, unsigned command, unsigned family_and_transport) {
  Cursor cursor(whole.substr(fixed_octets));
  Header header;
  if (command == 0) header.command = Header::Command::Local;
  const unsigned family = family_and_transport >> 4;
  const unsigned transport = family_and_transport & 0x0f;
  constexpr std::size_t unix_path_octets = 108;
  bool sound = true;
  if (transport == transport_stream || transport == transport_datagram) {
    switch (family) {
      case Inet: sound = read_addresses(cursor, 4, header); break;
      case Inet6: sound = read_addresses(cursor, 16, header); break;
      case Unix: sound = cursor.take(2 * unix_path_octets).has_value(); break;
      default: cursor = Cursor({}); break;  // how long its addresses are is unknown, so where TLVs begin is, too
    }
  } else if (family_and_transport != 0) {
    cursor = Cursor({});
  }
  if (!sound) return fail("a PROXY header that is too short for its addresses");
  if (!read_tlvs(cursor, whole, header)) return fail("a PROXY header with a malformed TLV");
  if (header.command == Header::Command::Local) return Header{Header::Command::Local, {}, {}, {}, {}, {}, {}};
  return header;
}

std::string number(std::size_t value, int octets) {
  std::string made;
  for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8) made += static_cast<char>(value >> shift & 0xff);
  return made;
}

std::string tlv(Type type, std::string_view value) {
  return static_cast<char>(type) + number(value.size(), 2) + std::string(value);
}

std::string tlv_unless_empty(Type type, std::string_view value) { return value.empty() ? std::string() : tlv(type, value); }

enum class CommonName { Told, LeftOut };

std::string tls_tlv(const TlsFacts& facts, CommonName common_name) {
  const bool asked = facts.verified != TlsFacts::Verified::NotAsked;
  const unsigned client = client_ssl | (asked ? client_cert_conn | client_cert_sess : 0);
  std::string value = number(client, 1) + number(facts.verified == TlsFacts::Verified::Good ? 0 : 1, 4);
  value += tlv_unless_empty(SslVersion, facts.version);
  value += tlv_unless_empty(SslCipher, facts.cipher);
  if (common_name == CommonName::Told) value += tlv_unless_empty(SslCommonName, facts.common_name);
  return tlv(Ssl, value);
}

std::string octets_of(const IpAddress& address, std::size_t octets) {
  std::string made;
  if (octets == 16 && address.is_v4()) made.append(10, '\0').append(2, '\xff');
  return made + std::string(address.octets());
}

}  // namespace

Result<std::optional<Header>> take(std::string_view& input) {
  if (input.size() < fixed_octets) return std::optional<Header>();
  Cursor fixed(input.substr(signature.size(), fixed_octets - signature.size()));
  const auto version_and_command = *fixed.number(1);
  const auto family_and_transport = *fixed.number(1);
  const std::size_t octets = fixed_octets + *fixed.number(2);
  const unsigned command = version_and_command & 0x0f;
  if (version_and_command >> 4 != 2) return fail("a PROXY header of unknown version {}", version_and_command >> 4);
  if (command > 1) return fail("a PROXY header with unknown command {}", command);
  if (octets > header_octets_max) return fail("a PROXY header of {} octets", octets);
  if (input.size() < octets) return std::optional<Header>();
  auto header = parse(input.substr(0, octets), command, family_and_transport);
  if (!header) return fail_with(std::move(header.error()));
  input.remove_prefix(octets);
  return std::optional(std::move(*header));
}

}  // namespace postern::proxy::v2

namespace postern::proxy {

std::string render_v2(const Header& header, std::size_t octets_max) {
  using namespace v2;
  const bool local = header.command == Header::Command::Local;
  const bool addressed = !local && header.source && header.destination;
  std::string made(signature);
  made += local ? '\x20' : '\x21';
  std::string rest;
  if (addressed) {
    const bool v4 = header.source->address.is_v4() && header.destination->address.is_v4();
    made += static_cast<char>((v4 ? Inet : Inet6) << 4 | transport_stream);
    rest += octets_of(header.source->address, v4 ? 4 : 16) + octets_of(header.destination->address, v4 ? 4 : 16);
    rest += number(header.source->port, 2) + number(header.destination->port, 2);
  } else {
    made += '\0';
  }
  const auto add = [&rest, octets_max](const std::string& more) {
    const bool fits = fixed_octets + rest.size() + more.size() <= octets_max;
    if (fits) rest += more;
    return fits;
  };
  if (!local) {
    add(tlv_unless_empty(Authority, header.authority));
    if (header.tls && !add(tls_tlv(*header.tls, CommonName::Told))) add(tls_tlv(*header.tls, CommonName::LeftOut));
    add(tlv_unless_empty(Alpn, header.alpn));
    add(tlv_unless_empty(UniqueId, header.unique_id.substr(0, unique_id_octets_max)));
  }
  return made + number(rest.size(), 2) + rest;
}

}  // namespace postern::proxy
