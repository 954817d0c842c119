// Asks every authoritative server of an MX name's zone for the TLSA records of that name, past all caches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/dns_name.h"
#include "base/result.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"
#include "dns/message.h"

namespace postern::app {

class TlsaAsker {
 public:
  /// `dns_servers` find the zone and its servers; none: those of the system.
  TlsaAsker(uv::Loop& loop, std::vector<Endpoint> dns_servers);
  /// What is under way is dropped without a callback. May be called in a callback.
  ~TlsaAsker();

  struct Said {
    std::string server;   ///< its name
    std::string address;  ///< that was asked; empty: it has none that could be found
    Result<dns::Answer> answer;
  };
  /// Nothing is said when the zone or its servers cannot be found. The callback never comes from within the call.
  void ask(const DnsName& mx, std::function<void(std::vector<Said>)> done);

 private:
  struct Look;
  void find_zone(std::uint64_t id, const std::string& name);
  void find_server(std::uint64_t id, const DnsName& server);
  void ask_server(std::uint64_t id, const std::string& server, const IpAddress& address);
  void said(std::uint64_t id, Said answer);
  void finish(std::uint64_t id);
  Look& look(std::uint64_t id) { return *looks_.at(id); }

  uv::Loop& loop_;
  uv::Resolver resolver_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Look>> looks_;
  std::uint64_t next_ = 1;
};

}  // namespace postern::app
