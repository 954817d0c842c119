// DNS for the tool: many questions at a time, and the caller waits. What the answers mean is lib/mtasts's business.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dns/message.h"
#include "mtasts/dns_audit.h"

namespace postern::tool {

struct Question {
  std::string name;
  dns::Type type;
};

class DnsLookup {
 public:
  /// No servers: those of /etc/resolv.conf.
  explicit DnsLookup(std::vector<Endpoint> servers);
  ~DnsLookup();

  /// The answers in the order of the questions.
  std::vector<Result<dns::Answer>> ask(const std::vector<Question>& questions);

  /// A resolver that was named is trusted; one of /etc/resolv.conf if it is on this machine, or `options trust-ad` stands
  /// there.
  mtasts::ResolverTrust trust() const { return trust_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  mtasts::ResolverTrust trust_;
};

/// `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`: port 53 where none is said.
Result<std::vector<Endpoint>> resolver_endpoints(const std::vector<std::string>& texts);

/// A and AAAA as one: what one of them says is enough, and an error is told only when both failed or the other is empty.
Result<dns::Answer> joined(Result<dns::Answer> a, Result<dns::Answer> aaaa);

}  // namespace postern::tool
