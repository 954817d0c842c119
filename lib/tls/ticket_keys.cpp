#include "tls/ticket_keys.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "tls/compat.h"

namespace postern::tls {

namespace {

constexpr std::size_t key_octets = 80;
static_assert(sizeof(TicketKey) == key_octets, "TicketKey is filled as it stands");

TicketKey random_key() {
  TicketKey key;
  RAND_bytes(reinterpret_cast<std::uint8_t*>(&key), sizeof key);
  return key;
}

}  // namespace

TicketKeys::~TicketKeys() { OPENSSL_cleanse(keys_.data(), keys_.size() * sizeof(TicketKey)); }

TicketKeys TicketKeys::random() { return TicketKeys({random_key()}, 0); }

TicketKeys TicketKeys::rotated() const { return TicketKeys({sealing(), random_key()}, 1); }

Result<TicketKeys> TicketKeys::parse(std::string_view text, std::string_view source) {
  TicketKeys read({}, 0);
  std::size_t number = 0;
  for (const std::string_view raw : split(text, '\n')) {
    ++number;
    const std::string_view line = trimmed(raw);
    if (line.empty() || line.front() == '#') continue;
    std::array<std::uint8_t, key_octets + 3> octets{};
    std::size_t length = 0;
    const bool decoded = EVP_DecodeBase64(octets.data(), &length, octets.size(),
                                          reinterpret_cast<const std::uint8_t*>(line.data()), line.size()) == 1;
    TicketKey key;
    std::memcpy(&key, octets.data(), sizeof key);
    OPENSSL_cleanse(octets.data(), octets.size());
    if (!decoded || length != key_octets) {
      return fail("{}:{}: a ticket key is {} octets in base64 on one line; make one with "
                  "`openssl rand -base64 {} | tr -d '\\n'`",
                  source, number, key_octets, key_octets);
    }
    read.keys_.push_back(key);
    OPENSSL_cleanse(&key, sizeof key);
  }
  if (read.keys_.empty()) return fail("{}: holds no ticket key", source);
  read.sealing_ = read.keys_.size() == 1 ? 0 : read.keys_.size() - 2;
  return read;
}

const TicketKey* TicketKeys::find(std::string_view name) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [name](const TicketKey& key) {
    return std::string_view(reinterpret_cast<const char*>(key.name.data()), key.name.size()) == name;
  });
  return found == keys_.end() ? nullptr : &*found;
}

}  // namespace postern::tls
