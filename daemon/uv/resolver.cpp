#include "daemon/uv/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <utility>

#include "daemon/uv/handle.h"
#include "daemon/uv/sockaddr.h"

namespace postern::uv {

namespace {

constexpr int class_in = 1;
constexpr int edns_octets = 1232;       // fits into one packet wherever IPv6 goes
constexpr unsigned char ad_bit = 0x20;  // in a question: tell me whether you have checked (RFC 6840 section 5.7)
constexpr auto localhost_ttl = std::chrono::hours(1);  // it never changes

bool is_localhost(const DnsName& name) { return name.text() == "localhost" || name.text().ends_with(".localhost"); }

Resolved localhost() {
  return {{IpAddress::from_v4({127, 0, 0, 1}),
           IpAddress::from_v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})},
          localhost_ttl};
}

std::string why(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
      return "no such host name (NXDOMAIN)";
    case ARES_ENODATA:
      return "the name has no address (neither A nor AAAA)";
    case ARES_ETIMEOUT:
      return "no DNS server answered in time";
    case ARES_ECONNREFUSED:
      return "no DNS server could be reached";
    case ARES_ESERVFAIL:
      return "the DNS server failed (SERVFAIL)";
    default:
      return ares_strerror(status);
  }
}

Result<Resolved> to_result(const DnsName& name, int status, const ares_addrinfo* answer) {
  if (status != ARES_SUCCESS) return fail("{}: {}", name.text(), why(status));
  Resolved found;
  int ttl = INT32_MAX;
  for (const auto* node = answer->nodes; node != nullptr; node = node->ai_next) {
    const IpAddress address = from_kernel(node->ai_addr).address;
    ttl = std::min(ttl, node->ai_ttl);
    const bool doubled = std::find(found.addresses.begin(), found.addresses.end(), address) != found.addresses.end();
    if (!doubled) found.addresses.push_back(address);
  }
  for (const auto* alias = answer->cnames; alias != nullptr; alias = alias->next) ttl = std::min(ttl, alias->ttl);
  if (found.addresses.empty()) return fail("{}: {}", name.text(), why(ARES_ENODATA));
  found.ttl = std::chrono::seconds(ttl);
  return found;
}

/// Where the names of an address are (RFC 1035 section 3.5, RFC 3596 section 2.5).
std::string reverse_owner(const IpAddress& address) {
  constexpr std::string_view hex = "0123456789abcdef";
  const auto octets = address.octets();
  std::string name;
  for (auto octet = octets.rbegin(); octet != octets.rend(); ++octet) {
    const auto value = static_cast<unsigned char>(*octet);
    if (address.is_v4()) {
      name += std::to_string(value) + '.';
    } else {
      name += {hex[value & 0xf], '.', hex[value >> 4], '.'};
    }
  }
  return name + (address.is_v4() ? "in-addr.arpa" : "ip6.arpa");
}

using Names = tl::expected<std::vector<DnsName>, Resolver::NoName>;

Names to_names(int status, const unsigned char* answer, int length) {
  using NoName = Resolver::NoName;
  if (status == ARES_ENOTFOUND || status == ARES_ENODATA) return tl::unexpected(NoName::None);
  if (status != ARES_SUCCESS) return tl::unexpected(NoName::NotNow);
  hostent* parsed = nullptr;
  // c-ares refuses the whole answer when one of its names is no host name.
  if (ares_parse_ptr_reply(answer, length, nullptr, 0, AF_INET, &parsed) != ARES_SUCCESS) {
    return tl::unexpected(NoName::None);
  }
  const std::unique_ptr<hostent, void (*)(hostent*)> held(parsed, ares_free_hostent);
  std::vector<DnsName> names;
  for (char** alias = parsed->h_aliases; alias != nullptr && *alias != nullptr; ++alias) {
    if (names.size() == Resolver::reverse_names_max) break;
    if (auto name = DnsName::parse(*alias)) names.push_back(std::move(*name));
  }
  if (names.empty()) return tl::unexpected(NoName::None);
  return names;
}

tl::expected<Duration, Resolver::NoName> to_confirmation(int status, const ares_addrinfo* answer,
                                                         const IpAddress& address) {
  using NoName = Resolver::NoName;
  if (status == ARES_ENOTFOUND || status == ARES_ENODATA) return tl::unexpected(NoName::None);
  if (status != ARES_SUCCESS) return tl::unexpected(NoName::NotNow);
  for (const auto* node = answer->nodes; node != nullptr; node = node->ai_next) {
    if (from_kernel(node->ai_addr).address == address) return std::chrono::seconds(node->ai_ttl);
  }
  return tl::unexpected(NoName::None);
}

void set_servers(ares_channel channel, const std::vector<Endpoint>& servers) {
  std::vector<ares_addr_port_node> nodes(servers.size());
  for (std::size_t n = 0; n < servers.size(); ++n) {
    const auto octets = servers[n].address.octets();
    nodes[n].next = n + 1 < nodes.size() ? &nodes[n + 1] : nullptr;
    nodes[n].family = servers[n].address.is_v4() ? AF_INET : AF_INET6;
    std::memcpy(&nodes[n].addr, octets.data(), octets.size());
    nodes[n].udp_port = nodes[n].tcp_port = servers[n].port;
  }
  if (!nodes.empty()) ares_set_servers_ports(channel, nodes.data());
}

}  // namespace

// c-ares asks for its sockets to be watched (watch()), is told what happened to them (process()), and ends queries by
// callback, sometimes within the call that began them. Those ends are put on a list and told from a timer, outside of
// c-ares, so that a callback may do anything, also destroy the Resolver.
struct Resolver::State : std::enable_shared_from_this<State> {
  struct Poll {
    uv_poll_t handle{};
    State* state = nullptr;
    int descriptor = -1;
  };

  explicit State(Loop& on) : loop(on) {
    timeout = std::make_unique<Timer>(loop, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
    telling = std::make_unique<Timer>(loop, [this] { tell(); });
  }

  Loop& loop;
  ares_channel channel = nullptr;
  int initialised = ARES_ENOTINITIALIZED;
  std::map<int, Poll*> polls;
  std::unique_ptr<Timer> timeout;
  std::unique_ptr<Timer> telling;
  std::vector<std::function<void()>> finished;
  bool by_dns_alone = false;
  bool closing = false;

  void open(const Options& options) {
    static std::once_flag once;
    std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
    ares_options wanted{};
    wanted.timeout = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(options.timeout).count());
    wanted.tries = static_cast<int>(options.tries);
    by_dns_alone = options.sources == Options::Sources::Dns;
    char hosts_file_then_dns[] = "fb";
    char dns[] = "b";
    wanted.lookups = by_dns_alone ? dns : hosts_file_then_dns;
    wanted.sock_state_cb = [](void* state, ares_socket_t descriptor, int readable, int writable) {
      static_cast<State*>(state)->watch(descriptor,
                                        (readable != 0 ? UV_READABLE : 0) | (writable != 0 ? UV_WRITABLE : 0));
    };
    wanted.sock_state_cb_data = this;
    // Else a SERVFAIL would be told as if nobody could be reached.
    if (options.failures == Options::Failures::Told) wanted.flags = ARES_FLAG_NOCHECKRESP;
    initialised = ares_init_options(&channel, &wanted,
                                    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (initialised == ARES_SUCCESS) set_servers(channel, options.servers);
  }

  void close() {
    closing = true;
    if (initialised == ARES_SUCCESS) ares_destroy(channel);  // ends open queries and unwatches their sockets
    timeout.reset();
    telling.reset();
    finished.clear();
  }

  void ask(const DnsName& name, std::function<void(Result<Resolved>)> done) {
    if (is_localhost(name)) return finish(std::move(done), Result<Resolved>(localhost()));
    ask_for_addresses<Result<Resolved>>(
        name, AF_UNSPEC, [name](int status, const ares_addrinfo* answer) { return to_result(name, status, answer); },
        std::move(done));
  }

  void ask(const DnsName& name, const IpAddress& address, std::function<void(tl::expected<Duration, NoName>)> done) {
    ask_for_addresses<tl::expected<Duration, NoName>>(
        name, address.is_v4() ? AF_INET : AF_INET6,
        [address](int status, const ares_addrinfo* answer) { return to_confirmation(status, answer, address); },
        std::move(done));
  }

  template <class Outcome>
  void ask_for_addresses(const DnsName& name, int family, std::function<Outcome(int, const ares_addrinfo*)> read,
                         std::function<void(Outcome)> done) {
    struct Asked {
      State& state;
      std::function<Outcome(int, const ares_addrinfo*)> read;
      std::function<void(Outcome)> done;
    };
    if (initialised != ARES_SUCCESS) return finish(std::move(done), read(initialised, nullptr));
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(
        channel, (by_dns_alone ? name.text() + '.' : name.text()).c_str(), nullptr, &hints,
        [](void* argument, int status, int, ares_addrinfo* answer) {
          const std::unique_ptr<Asked> query(static_cast<Asked*>(argument));
          State& state = query->state;
          if (!state.closing) state.finish(std::move(query->done), query->read(status, answer));
          if (answer != nullptr) ares_freeaddrinfo(answer);
        },
        new Asked{*this, std::move(read), std::move(done)});
    wait_for_timeout();
  }

  void ask(const IpAddress& address, std::function<void(Names)> done) {
    struct Asked {
      State& state;
      std::function<void(Names)> done;
    };
    if (initialised != ARES_SUCCESS) return finish(std::move(done), to_names(initialised, nullptr, 0));
    constexpr int class_internet = 1;
    constexpr int type_ptr = 12;
    ares_query(
        channel, reverse_owner(address).c_str(), class_internet, type_ptr,
        [](void* argument, int status, int, unsigned char* answer, int length) {
          const std::unique_ptr<Asked> query(static_cast<Asked*>(argument));
          State& state = query->state;
          if (!state.closing) state.finish(std::move(query->done), to_names(status, answer, length));
        },
        new Asked{*this, std::move(done)});
    wait_for_timeout();
  }

  void query(const std::string& name, std::uint16_t type, std::function<void(Result<std::string>)> done) {
    const auto failed = [&](int status) { finish(std::move(done), Result<std::string>(fail("{}", why(status)))); };
    if (initialised != ARES_SUCCESS) return failed(initialised);
    unsigned char* message = nullptr;
    int octets = 0;
    const auto id = static_cast<unsigned short>(std::random_device{}());
    const int made = ares_create_query(name.c_str(), class_in, type, id, 1, &message, &octets, edns_octets);
    if (made != ARES_SUCCESS) return failed(made);
    message[3] |= ad_bit;
    struct Asked {
      State& state;
      std::function<void(Result<std::string>)> done;
    };
    ares_send(
        channel, message, octets,
        [](void* argument, int status, int, unsigned char* answer, int size) {
          const std::unique_ptr<Asked> query(static_cast<Asked*>(argument));
          if (query->state.closing) return;
          // Some failures come with the server's own words.
          const bool answered = answer != nullptr && size > 0;
          query->state.finish(std::move(query->done),
                              answered ? Result<std::string>(std::string(reinterpret_cast<const char*>(answer),
                                                                         static_cast<std::size_t>(size)))
                                       : Result<std::string>(fail("{}", why(status))));
        },
        new Asked{*this, std::move(done)});
    ares_free_string(message);
    wait_for_timeout();
  }

  template <class Outcome>
  void finish(std::function<void(Outcome)> done, Outcome outcome) {
    finished.push_back([done = std::move(done), outcome = std::move(outcome)]() mutable { done(std::move(outcome)); });
    telling->start_at(loop.now());
  }

  void tell() {
    const auto alive = shared_from_this();
    auto ends = std::exchange(finished, {});
    for (auto& end : ends) {
      if (closing) return;
      end();
    }
  }

  void watch(int descriptor, int events) {
    const auto found = polls.find(descriptor);
    if (events == 0) {
      if (found == polls.end()) return;
      // c-ares closes the descriptor next.
      close_and_delete(found->second, found->second->handle);
      polls.erase(found);
      return;
    }
    Poll* poll = found != polls.end() ? found->second : new_poll(descriptor);
    uv_poll_start(&poll->handle, events, [](uv_poll_t* handle, int status, int ready) {
      const auto* that = static_cast<Poll*>(handle->data);
      const int seen = status < 0 ? UV_READABLE | UV_WRITABLE : ready;
      that->state->process((seen & UV_READABLE) != 0 ? that->descriptor : ARES_SOCKET_BAD,
                           (seen & UV_WRITABLE) != 0 ? that->descriptor : ARES_SOCKET_BAD);
    });
  }

  Poll* new_poll(int descriptor) {
    auto* poll = new Poll;
    poll->state = this;
    poll->descriptor = descriptor;
    uv_poll_init(loop.get(), &poll->handle, descriptor);
    poll->handle.data = poll;
    polls[descriptor] = poll;
    return poll;
  }

  void process(ares_socket_t readable, ares_socket_t writable) {
    ares_process_fd(channel, readable, writable);
    wait_for_timeout();
  }

  void wait_for_timeout() {
    timeval left{};
    if (ares_timeout(channel, nullptr, &left) == nullptr) return timeout->stop();
    // c-ares's clock is finer than the loop's: never come too early only to be asked to come at once again.
    timeout->start_at(loop.now() + std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
                      std::chrono::milliseconds(1));
  }
};

Resolver::Resolver(Loop& loop, Options options) : state_(std::make_shared<State>(loop)) { state_->open(options); }

Resolver::~Resolver() { state_->close(); }

void Resolver::addresses(const DnsName& name, std::function<void(Result<Resolved>)> done) {
  state_->ask(name, std::move(done));
}

void Resolver::names(const IpAddress& address, std::function<void(tl::expected<std::vector<DnsName>, NoName>)> done) {
  state_->ask(address, std::move(done));
}

void Resolver::confirm(const DnsName& name, const IpAddress& address,
                       std::function<void(tl::expected<Duration, NoName>)> done) {
  state_->ask(name, address, std::move(done));
}

void Resolver::query(const std::string& name, std::uint16_t type, std::function<void(Result<std::string>)> done) {
  state_->query(name, type, std::move(done));
}

}  // namespace postern::uv
