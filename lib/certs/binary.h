// How the files in `state_dir/certs`, and the messages of the process that reads certificate files, are written and read:
// numbers of eight octets (least first), texts with their length before them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "tls/credential.h"

namespace postern::certs {

struct FileState;

class BinaryWriter {
 public:
  void number(std::uint64_t value) {
    const auto octets = octets_of(value);
    out_.append(octets.data(), octets.size());
  }
  void text(std::string_view value) {
    number(value.size());
    out_ += value;
  }
  void digest(const std::optional<tls::Digest>& value) {
    out_ += value ? '\1' : '\0';
    if (value) out_.append(reinterpret_cast<const char*>(value->data()), value->size());
  }
  void raw(std::string_view octets) { out_ += octets; }
  /// A text that consists of what `write()` adds here.
  template <class Write>
  void nested(Write write) {
    const auto start = out_.size();
    number(0);
    write();
    const auto octets = octets_of(out_.size() - start - sizeof(std::uint64_t));
    std::copy(octets.begin(), octets.end(), out_.begin() + static_cast<std::ptrdiff_t>(start));
  }

  std::size_t size() const { return out_.size(); }
  /// To what it was when it had this size.
  void cut_to(std::size_t size) { out_.resize(size); }
  std::string_view view() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  static std::array<char, 8> octets_of(std::uint64_t value) {
    std::array<char, 8> octets{};
    for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<char>(value >> (8 * i));
    return octets;
  }

  std::string out_;
};

/// Remembers that there was too little, so that only the end has to be looked at; gives zeros then.
class BinaryReader {
 public:
  explicit BinaryReader(std::string_view octets) : rest_(octets) {}

  std::uint64_t number() {
    const auto octets = take(8);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < octets.size(); ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(octets[i])} << (8 * i);
    }
    return value;
  }
  /// A count of things of which each takes at least an octet.
  std::uint64_t count() {
    const auto value = number();
    if (value > rest_.size()) good_ = false;
    return good_ ? value : 0;
  }
  std::string_view view() { return take(count()); }
  std::string text() { return std::string(view()); }
  std::optional<tls::Digest> digest() {
    const auto there = take(1);
    if (there != "\1") return std::nullopt;
    tls::Digest value{};
    const auto octets = take(value.size());
    std::copy(octets.begin(), octets.end(), value.begin());
    return value;
  }
  bool good() const { return good_; }
  bool at_end() const { return good_ && rest_.empty(); }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) good_ = false;
    if (!good_) return {};
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  bool good_ = true;
};

void write_state(BinaryWriter& out, const FileState& state);
FileState read_state(BinaryReader& in);

/// The content with its SHA-256 behind it.
std::string with_digest(std::string content);
/// The content, if the digest at its end says that it is what was written.
Result<std::string_view> checked_content(std::string_view octets);

}  // namespace postern::certs
