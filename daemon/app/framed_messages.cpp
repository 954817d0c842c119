#include "daemon/app/framed_messages.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>

namespace postern::app {

using certs::BinaryReader;
using certs::BinaryWriter;

namespace {

bool write_all(int descriptor, std::array<iovec, 2> parts) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  while (message.msg_iovlen > 0) {
    const auto count = ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    auto sent = static_cast<std::size_t>(count);
    while (message.msg_iovlen > 0 && sent >= message.msg_iov->iov_len) {
      sent -= message.msg_iov->iov_len;
      ++message.msg_iov;
      --message.msg_iovlen;
    }
    if (message.msg_iovlen == 0) break;
    message.msg_iov->iov_base = static_cast<char*>(message.msg_iov->iov_base) + sent;
    message.msg_iov->iov_len -= sent;
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

bool send_message(int descriptor, const BinaryWriter& message) {
  BinaryWriter head;
  head.number(message.size());
  const auto part = [](std::string_view octets) { return iovec{const_cast<char*>(octets.data()), octets.size()}; };
  return write_all(descriptor, {part(head.view()), part(message.view())});
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
