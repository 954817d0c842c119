// The addresses of a backend that is a host name: asked for again when their TTL is over, by one question for all who
// want to connect. While DNS is silent or fails, those that were known last are better than none.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"

namespace postern::session {

class HostAddresses {
 public:
  using Found = Result<std::vector<IpAddress>>;

  /// Who connects has `connect_max` for it: a part of that is spent on waiting for DNS where old addresses are known.
  /// `changed` says that the addresses are others than before. References outlive it.
  HostAddresses(uv::Loop& loop, uv::Resolver& resolver, DnsName host, Duration connect_max,
                std::function<void()> changed);
  ~HostAddresses();

  /// Where to connect to, in the order to try; never empty. Within the call if that is known.
  void find(std::function<void(const Found&)> done);

  /// Asks again if it is time to, for nobody in particular.
  void refresh();

  /// They did not work: whatever their TTL says, the next find() asks.
  void doubt() { fresh_until_ = {}; }

  /// Whether the name had this address when DNS was heard last.
  bool has(const IpAddress& address) const;

 private:
  void ask();
  void answered(const Result<uv::Resolved>& found);
  void serve(const Found& found);

  uv::Loop& loop_;
  uv::Resolver& resolver_;
  DnsName host_;
  Duration patience_;
  std::function<void()> changed_;
  std::vector<IpAddress> addresses_;
  Instant fresh_until_{};
  enum class Question { None, Asked, Late } question_ = Question::None;
  std::vector<std::function<void(const Found&)>> waiting_;
  uv::Timer timer_;                                                      // of their patience
  std::shared_ptr<const char> alive_ = std::make_shared<const char>();  // for answers that come too late
};

}  // namespace postern::session
