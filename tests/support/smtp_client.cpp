#include "tests/support/smtp_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <variant>

namespace postern::test {

namespace {

[[noreturn]] void broken(const std::string& what) { throw std::runtime_error("SMTP client: " + what); }

}  // namespace

SmtpClient::SmtpClient(std::uint16_t port) {
  descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval limit{};
  limit.tv_sec = 30;
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string why = std::strerror(errno);
    ::close(descriptor_);
    broken("connect: " + why);
  }
}

SmtpClient::~SmtpClient() { ::close(descriptor_); }

void SmtpClient::flush() {
  if (!stream_) return;
  const std::string records = stream_->take_output();
  if (!records.empty() && ::send(descriptor_, records.data(), records.size(), MSG_NOSIGNAL) < 0) broken(std::strerror(errno));
}

void SmtpClient::send(std::string_view bytes) {
  if (stream_) {
    stream_->send(bytes);
    flush();
    return;
  }
  while (!bytes.empty()) {
    const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) broken(std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// False when nothing came: the connection has ended.
bool SmtpClient::receive_some() {
  std::array<char, 16384> buffer{};
  const ssize_t count = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  if (count < 0 && errno != ECONNRESET) broken(std::strerror(errno));
  if (count <= 0) return false;
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
  if (!stream_) {
    plaintext_ += bytes;
    return true;
  }
  stream_->receive(bytes);
  while (const auto event = stream_->next()) {
    if (const auto* data = std::get_if<tls::Plaintext>(&*event)) plaintext_ += data->bytes;
    if (const auto* failed = std::get_if<tls::TlsFailed>(&*event)) broken("TLS: " + failed->reason);
    if (std::holds_alternative<tls::PeerClosed>(*event)) closed_ = true;
  }
  flush();
  return true;
}

std::string SmtpClient::reply() {
  std::string lines;
  for (;;) {
    const auto end = plaintext_.find('\n');
    if (end == std::string::npos) {
      if (closed_ || !receive_some()) return lines;
      continue;
    }
    const std::string line = plaintext_.substr(0, end + 1);
    plaintext_.erase(0, end + 1);
    lines += line;
    if (line.size() < 4 || line[3] != '-') return lines;
  }
}

std::string SmtpClient::say(std::string_view line) {
  send(std::string(line) + "\r\n");
  return reply();
}

std::string SmtpClient::start_tls(const std::string& server_name) {
  const auto context = tls::ClientContext::make({});
  if (!context) broken(context.error().text);
  stream_ = tls::Stream::client(*context, DnsName::parse(server_name));
  while (!stream_->established()) {
    while (stream_->next()) {
    }
    flush();
    if (!stream_->established() && !receive_some()) broken("closed during the handshake");
  }
  flush();
  return stream_->peer_chain().at(0);
}

}  // namespace postern::test
