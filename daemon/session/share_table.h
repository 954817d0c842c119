// The ConnectionShares of all targets, for the whole process. From any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "delivery/connection_shares.h"

namespace postern::session {

class ShareTable {
 public:
  /// Those of a target; made at the first call, and forgotten with the last who holds them. The limit is the newest.
  std::shared_ptr<delivery::ConnectionShares> of(const std::string& backend, const std::string& target,
                                                 std::size_t connections_max) {
    const std::lock_guard lock(mutex_);
    std::erase_if(shares_, [](const auto& each) { return each.second.expired(); });
    auto& known = shares_[{backend, target}];
    auto shares = known.lock();
    if (!shares) {
      known = shares = std::make_shared<delivery::ConnectionShares>(connections_max);
    } else {
      shares->limit(connections_max);
    }
    return shares;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::weak_ptr<delivery::ConnectionShares>> shares_;
};

}  // namespace postern::session
