// A small DNS server on the loop of a test.
#pragma once

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "daemon/uv/sockaddr.h"
#include "tests/loop/uv_support.h"

namespace postern::uv::test {

constexpr int type_a = 1, type_cname = 5, type_ptr = 12, type_aaaa = 28, type_tlsa = 52;

struct Record {
  int type;
  unsigned ttl;
  std::string data;
  std::string owner = "\xc0\x0c";  ///< a pointer to the name of the question
};

struct Answer {
  int rcode = 0;
  std::vector<Record> records;
};

inline std::string address(const char* text) { return std::string(IpAddress::parse(text)->octets()); }

inline std::string big_endian(unsigned value, int octets) {
  std::string made;
  for (int n = octets - 1; n >= 0; --n) made += static_cast<char>((value >> (8 * n)) & 0xff);
  return made;
}

/// A name as it stands in a record, without compression.
inline std::string wire_name(std::string_view dotted) {
  std::string made;
  while (!dotted.empty()) {
    const auto label = dotted.substr(0, dotted.find('.'));
    made += static_cast<char>(label.size());
    made += label;
    dotted.remove_prefix(std::min(dotted.size(), label.size() + 1));
  }
  return made + '\0';
}

/// A DNS server for one UDP port of loopback, on the loop of the test (RFC 1035 section 4).
class DnsServer {
 public:
  explicit DnsServer(Loop& loop) : loop_(loop) {
    descriptor_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const KernelAddress address = to_kernel(Endpoint::parse("127.0.0.1:0").value());
    REQUIRE(::bind(descriptor_, address.get(), address.length) == 0);
    uv_poll_init(loop.get(), &poll_, descriptor_);
    poll_.data = this;
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int, int) { static_cast<DnsServer*>(poll->data)->serve(); });
  }
  ~DnsServer() {
    bool closed = false;
    poll_.data = &closed;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* poll) { *static_cast<bool*>(poll->data) = true; });
    ::close(descriptor_);
    CHECK(turn_until(loop_, [&closed] { return closed; }));
  }
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  Endpoint endpoint() const { return from_kernel(local_address(descriptor_).get()); }

  /// What is known; nothing means that no answer is sent. Everything else does not exist.
  std::function<std::optional<Answer>(const std::string& name, int type)> zone = [](const auto&, int) {
    return Answer{3, {}};
  };
  int queries = 0;
  std::string last_query;  ///< the packet

 private:
  void serve() {
    char packet[512];
    KernelAddress from;
    from.length = sizeof from.storage;
    const ssize_t length = ::recvfrom(descriptor_, packet, sizeof packet, 0, from.get(), &from.length);
    if (length < 17) return;
    ++queries;
    const std::string_view query(packet, static_cast<std::size_t>(length));
    last_query = query;
    std::size_t at = 12;
    std::string name;
    while (query[at] != 0) {
      const auto label = static_cast<std::size_t>(query[at]);
      if (!name.empty()) name += '.';
      name += query.substr(at + 1, label);
      at += label + 1;
    }
    const int type = query[at + 2];
    const auto answer = zone(name, type);
    if (!answer) return;
    std::string reply(query.substr(0, 2));
    reply += big_endian(0x8180u | static_cast<unsigned>(answer->rcode), 2) + big_endian(1, 2) +
             big_endian(static_cast<unsigned>(answer->records.size()), 2) + big_endian(0, 4);
    reply += query.substr(12, at + 5 - 12);
    for (const auto& record : answer->records) {
      reply += record.owner + big_endian(static_cast<unsigned>(record.type), 2) + big_endian(1, 2) +
               big_endian(record.ttl, 4) + big_endian(static_cast<unsigned>(record.data.size()), 2) + record.data;
    }
    ::sendto(descriptor_, reply.data(), reply.size(), 0, from.get(), from.length);
  }

  Loop& loop_;
  int descriptor_;
  uv_poll_t poll_{};
};

}  // namespace postern::uv::test
