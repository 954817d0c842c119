#include "daemon/app/framed_messages.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

namespace postern::app {

using certs::BinaryReader;
using certs::BinaryWriter;

namespace {

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool read_all(int descriptor, char* into, std::size_t size) {
  while (size > 0) {
    const auto count = ::recv(descriptor, into, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    into += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

bool send_message(int descriptor, BinaryWriter message) {
  BinaryWriter framed;
  framed.text(message.take());
  return write_all(descriptor, framed.take());
}

std::optional<std::string> receive_message(int descriptor, std::uint64_t octets_max) {
  std::array<char, sizeof(std::uint64_t)> head;
  if (!read_all(descriptor, head.data(), head.size())) return std::nullopt;
  const auto length = BinaryReader({head.data(), head.size()}).number();
  if (length > octets_max) return std::nullopt;
  std::string message(length, '\0');
  if (!read_all(descriptor, message.data(), message.size())) return std::nullopt;
  return message;
}

}  // namespace postern::app
