// SHA-256, for whoever needs a fingerprint of something, and HMAC with it (RFC 2104).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace postern::tls {

using Sha256Digest = std::array<std::uint8_t, 32>;

Sha256Digest sha256(std::string_view bytes);

/// Of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);

  /// Once; nothing may be added afterwards.
  Sha256Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest hmac_sha256(std::string_view key, std::string_view bytes);

/// Lower-case hexadecimal digits.
std::string hex(std::string_view bytes);

}  // namespace postern::tls
