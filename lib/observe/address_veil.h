// How mail addresses show in the log (`log.addresses`): whole, as a keyed digest before the readable domain, or the
// domain alone. Whatever a log line says passes here, so that an address in a backend's reply or in a HELO is hidden like
// one in MAIL and RCPT.
//
//   full     <alice@example.org>
//   hash     <hash:3f9a12bc44d1@example.org>
//   domain   <*@example.org>
//
// The digest is of the whole address in lower case: under one key the same address has the same digest, and the same
// name in two domains has two. Domains are for the operator: they say which customer a line is about.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::observe {

enum class Addresses { Full, Hash, Domain };

struct AddressKey {
  std::array<std::uint8_t, 32> octets{};
};

/// Twelve hexadecimal digits: of HMAC-SHA-256 of `local-part@domain` in lower case, the local part without quotes and the
/// domain in A-labels. Angle brackets around the address do not matter.
std::string address_digest(const AddressKey& key, std::string_view address);

class AddressVeil {
 public:
  /// Hides nothing.
  AddressVeil() = default;
  /// Without a key, Hash hides as Domain does.
  AddressVeil(Addresses shown, const std::optional<AddressKey>& key) : shown_(shown), key_(key) {}

  bool hides() const { return shown_ != Addresses::Full; }

  /// A reverse-path or forward-path as a command has it, also one that is none: `<alice@example.org>`, `<>`, `<alice`.
  /// When it hides, what stands behind the path is left out.
  std::string path(std::string_view raw) const;

  /// Any other text, raw or with what was quoted from the wire already as \xHH: every address in it is hidden. Of the
  /// `known` addresses (as paths) a backend's reply may name the local part alone: it is hidden where it is a word.
  std::string text(std::string_view raw, std::span<const std::string> known = {}) const;

 private:
  struct Word;

  std::string shown_local_part(std::string_view local_part, std::string_view domain) const;
  std::vector<Word> words_of(std::span<const std::string> known) const;
  static void append_plain(std::string& made, std::string_view plain, const std::vector<Word>& words);

  Addresses shown_ = Addresses::Full;
  std::optional<AddressKey> key_;
};

}  // namespace postern::observe
