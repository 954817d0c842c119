#include "dns/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace postern::dns {

namespace {

constexpr std::size_t header_octets = 12;
constexpr std::size_t name_octets_max = 255;  // RFC 1035 section 2.3.4
constexpr std::size_t aliases_max = 16;
constexpr unsigned class_in = 1;

/// Reads a message from front to back; once something does not fit, ok() is false and everything read is zero or empty.
class Reader {
 public:
  explicit Reader(std::string_view message, std::size_t position = 0) : message_(message), position_(position) {}

  bool ok() const { return ok_; }
  std::size_t position() const { return position_; }

  std::uint8_t u8() {
    if (!has(1)) return 0;
    return static_cast<std::uint8_t>(message_[position_++]);
  }
  std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  std::string_view octets(std::size_t count) {
    if (!has(count)) return {};
    position_ += count;
    return message_.substr(position_ - count, count);
  }

  /// A name, lower case, with a dot after each label; `.` for the root. What stands in a label stands there as it is.
  std::string name() {
    std::string text;
    std::size_t at = position_;
    bool jumped = false;
    for (;;) {
      if (at >= message_.size()) return bad();
      const auto length = static_cast<std::uint8_t>(message_[at]);
      if (length >= 0xc0) {
        if (at + 1 >= message_.size()) return bad();
        const auto target = static_cast<std::size_t>((length & 0x3fU) << 8 | static_cast<std::uint8_t>(message_[at + 1]));
        if (!jumped) position_ = at + 2;
        jumped = true;
        if (target >= at) return bad();  // only backwards, so that it ends
        at = target;
        continue;
      }
      if (length >= 0x40 || at + 1 + length > message_.size()) return bad();
      if (length == 0) break;
      text += to_lower_ascii(message_.substr(at + 1, length)) + '.';
      if (text.size() >= name_octets_max) return bad();
      at += 1U + length;
    }
    if (!jumped) position_ = at + 1;
    return text.empty() ? "." : text;
  }

 private:
  bool has(std::size_t count) {
    if (ok_ && message_.size() - position_ >= count) return true;
    bad();
    return false;
  }
  std::string bad() {
    ok_ = false;
    position_ = message_.size();
    return {};
  }

  std::string_view message_;
  std::size_t position_;
  bool ok_ = true;
};

struct Record {
  std::string owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  std::size_t data_at = 0;
  std::size_t data_octets = 0;
};

std::optional<MxRecord> read_mx(std::string_view message, const Record& record) {
  Reader data(message, record.data_at);
  MxRecord mx;
  mx.preference = data.u16();
  const std::string host = data.name();
  if (!data.ok() || data.position() != record.data_at + record.data_octets) return std::nullopt;
  if (host == ".") return mx;
  mx.host = DnsName::parse(host);
  return mx.host ? std::optional(std::move(mx)) : std::nullopt;
}

std::optional<DnsName> read_ns(std::string_view message, const Record& record) {
  Reader data(message, record.data_at);
  const std::string host = data.name();
  if (!data.ok() || data.position() != record.data_at + record.data_octets) return std::nullopt;
  return DnsName::parse(host);
}

std::optional<std::string> read_txt(std::string_view data) {
  std::string text;
  while (!data.empty()) {
    const auto length = static_cast<std::uint8_t>(data.front());
    if (data.size() < 1U + length) return std::nullopt;
    text += data.substr(1, length);
    data.remove_prefix(1U + length);
  }
  return text;
}

std::optional<TlsaRecord> read_tlsa(std::string_view data) {
  if (data.size() < 4) return std::nullopt;
  return TlsaRecord{static_cast<std::uint8_t>(data[0]), static_cast<std::uint8_t>(data[1]),
                    static_cast<std::uint8_t>(data[2]), std::string(data.substr(3))};
}

std::optional<IpAddress> read_address(std::string_view data) {
  if (data.size() == 4) {
    std::array<std::uint8_t, 4> octets{};
    std::copy(data.begin(), data.end(), octets.begin());
    return IpAddress::from_v4(octets);
  }
  if (data.size() != 16) return std::nullopt;
  std::array<std::uint8_t, 16> octets{};
  std::copy(data.begin(), data.end(), octets.begin());
  return IpAddress::from_v6(octets);
}

template <class T>
void take(std::optional<T> value, std::vector<T>& into, Answer& answer) {
  if (value) {
    into.push_back(std::move(*value));
  } else {
    ++answer.malformed;
  }
}

void take_record(std::string_view message, const Record& record, Type type, Answer& answer) {
  const auto data = message.substr(record.data_at, record.data_octets);
  switch (type) {
    case Type::Ns: return take(read_ns(message, record), answer.ns, answer);
    case Type::Mx: return take(read_mx(message, record), answer.mx, answer);
    case Type::Txt: return take(read_txt(data), answer.txt, answer);
    case Type::Tlsa: return take(read_tlsa(data), answer.tlsa, answer);
    case Type::A:
    case Type::Aaaa: return take(read_address(data), answer.addresses, answer);
    case Type::Cname: return;
  }
}

std::string_view rcode_text(unsigned rcode) {
  switch (rcode) {
    case 1: return "FORMERR: it does not understand the question";
    case 2: return "SERVFAIL: it cannot answer, or the signatures are wrong";
    case 4: return "NOTIMP: it does not do that";
    case 5: return "REFUSED: it does not answer us";
    default: return "an error";
  }
}

Result<std::vector<Record>> read_records(Reader& reader, unsigned count) {
  std::vector<Record> records;
  for (unsigned n = 0; n < count; ++n) {
    Record record;
    record.owner = reader.name();
    record.type = reader.u16();
    const unsigned record_class = reader.u16();
    record.ttl = reader.u32();
    record.data_octets = reader.u16();
    record.data_at = reader.position();
    reader.octets(record.data_octets);
    if (!reader.ok()) return fail("the DNS answer is cut off or malformed");
    if (record_class == class_in) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

std::string_view to_string(Type type) {
  switch (type) {
    case Type::A: return "A";
    case Type::Ns: return "NS";
    case Type::Cname: return "CNAME";
    case Type::Mx: return "MX";
    case Type::Txt: return "TXT";
    case Type::Aaaa: return "AAAA";
    case Type::Tlsa: return "TLSA";
  }
  return "";
}

std::string TlsaRecord::text() const {
  std::string hex;
  for (const char c : data) hex += fmt::format("{:02x}", static_cast<std::uint8_t>(c));
  return fmt::format("{} {} {} {}", usage, selector, matching, hex);
}

bool is_truncated(std::string_view message) {
  return message.size() >= header_octets && (static_cast<std::uint8_t>(message[2]) & 0x02U) != 0;
}

Result<Answer> read_answer(std::string_view message, Type type) {
  Reader reader(message);
  reader.u16();  // the id
  const unsigned flags = reader.u16();
  const unsigned questions = reader.u16();
  const unsigned answers = reader.u16();
  reader.u32();  // counts of the sections that nobody needs
  if (!reader.ok() || (flags & 0x8000U) == 0) return fail("this is no DNS answer");
  Answer answer;
  answer.authentic = (flags & 0x0020U) != 0;
  const unsigned rcode = flags & 0x000fU;
  if (rcode == 3) answer.existence = Answer::Existence::NoDomain;
  if (rcode != 0 && rcode != 3) return fail("the DNS server says {}", rcode_text(rcode));
  if (questions != 1) return fail("the DNS answer has {} questions", questions);
  std::string owner = reader.name();
  reader.u32();  // type and class of the question
  if (!reader.ok()) return fail("the DNS answer is cut off or malformed");
  const auto records = read_records(reader, answers);
  if (!records) return fail_with(records.error());

  std::uint32_t ttl = UINT32_MAX;
  for (std::size_t aliases = 0; aliases < aliases_max; ++aliases) {
    const auto alias = std::find_if(records->begin(), records->end(), [&](const Record& record) {
      return record.type == static_cast<std::uint16_t>(Type::Cname) && record.owner == owner;
    });
    if (alias == records->end()) break;
    ttl = std::min(ttl, alias->ttl);
    owner = Reader(message, alias->data_at).name();
  }
  for (const Record& record : *records) {
    if (record.type != static_cast<std::uint16_t>(type) || record.owner != owner) continue;
    ttl = std::min(ttl, record.ttl);
    take_record(message, record, type, answer);
  }
  answer.ttl_seconds = ttl == UINT32_MAX ? 0 : ttl;
  return answer;
}

}  // namespace postern::dns
