#include "daemon/app/tlsa_asker.h"

#include <algorithm>
#include <span>
#include <utility>

#include "mtasts/tlsa.h"

namespace postern::app {

namespace {

using Options = uv::Resolver::Options;

constexpr std::uint16_t dns_port = 53;
constexpr std::size_t servers_max = 20;    // of one zone; the root has 13
constexpr std::size_t addresses_max = 16;  // of one server

}  // namespace

struct TlsaAsker::Look {
  std::string owner;
  std::function<void(std::vector<Said>)> done;
  std::vector<Said> said;
  std::vector<std::unique_ptr<uv::Resolver>> resolvers;  // one for each address: c-ares asks the servers of a list in turn
  std::size_t open = 0;                                  // look-ups that have not come back
};

TlsaAsker::TlsaAsker(uv::Loop& loop, std::vector<Endpoint> dns_servers)
    : loop_(loop), resolver_(loop, {.servers = std::move(dns_servers), .sources = Options::Sources::Dns}) {}

TlsaAsker::~TlsaAsker() = default;

void TlsaAsker::ask(const DnsName& mx, std::function<void(std::vector<Said>)> done) {
  const std::uint64_t id = next_++;
  auto look = std::make_unique<Look>();
  look->owner = mtasts::tlsa_owner(mx);
  look->done = std::move(done);
  looks_.emplace(id, std::move(look));
  find_zone(id, mx.text());
}

/// The nearest name above that has name servers.
void TlsaAsker::find_zone(std::uint64_t id, const std::string& name) {
  resolver_.query(name, static_cast<std::uint16_t>(dns::Type::Ns), [this, id, name](const Result<std::string>& message) {
    const auto answer = message ? dns::read_answer(*message, dns::Type::Ns) : Result<dns::Answer>(fail_with(message.error()));
    if (!answer) return finish(id);
    if (answer->ns.empty()) {
      const auto dot = name.find('.');
      return dot == std::string::npos ? finish(id) : find_zone(id, name.substr(dot + 1));
    }
    const auto servers = std::span(answer->ns).first(std::min(answer->ns.size(), servers_max));
    look(id).open = servers.size();
    for (const DnsName& server : servers) find_server(id, server);
  });
}

void TlsaAsker::find_server(std::uint64_t id, const DnsName& server) {
  resolver_.addresses(server, [this, id, name = server.text()](Result<uv::Resolved> found) {
    if (!found) return said(id, {name, "", fail_with(found.error())});
    const auto addresses = std::span(found->addresses).first(std::min(found->addresses.size(), addresses_max));
    look(id).open += addresses.size() - 1;
    for (const IpAddress& address : addresses) ask_server(id, name, address);
  });
}

void TlsaAsker::ask_server(std::uint64_t id, const std::string& server, const IpAddress& address) {
  Look& asked = look(id);
  asked.resolvers.push_back(std::make_unique<uv::Resolver>(
      loop_, Options{.servers = {{address, dns_port}}, .sources = Options::Sources::Dns}));
  asked.resolvers.back()->query(
      asked.owner, static_cast<std::uint16_t>(dns::Type::Tlsa),
      [this, id, server, at = address.text()](const Result<std::string>& message) {
        said(id, {server, at, message ? dns::read_answer(*message, dns::Type::Tlsa) : Result<dns::Answer>(fail_with(message.error()))});
      });
}

void TlsaAsker::said(std::uint64_t id, Said answer) {
  Look& asked = look(id);
  asked.said.push_back(std::move(answer));
  if (--asked.open == 0) finish(id);
}

void TlsaAsker::finish(std::uint64_t id) {
  const auto look = std::move(looks_.extract(id).mapped());
  look->done(std::move(look->said));
}

}  // namespace postern::app
