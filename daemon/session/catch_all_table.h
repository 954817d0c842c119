// Which domains of which backends take every name, for the whole process: workers count together, and one of them asks.
#pragma once

#include <mutex>
#include <string>

#include "base/instant.h"
#include "delivery/catch_all.h"
#include "delivery/settings.h"
#include "smtp/reply.h"

namespace postern::session {

/// delivery::CatchAllDomains, from any thread.
class CatchAllTable {
 public:
  void configure(const delivery::RecipientCheckSettings& settings) {
    const std::lock_guard lock(mutex_);
    domains_.configure(settings);
  }
  bool takes_everything(const std::string& key, Instant now) {
    const std::lock_guard lock(mutex_);
    return domains_.takes_everything(key, now);
  }
  bool wants_probe(const std::string& key, Instant now) {
    const std::lock_guard lock(mutex_);
    return domains_.wants_probe(key, now);
  }
  bool probed(const std::string& key, const smtp::Reply& reply, Instant now) {
    const std::lock_guard lock(mutex_);
    return domains_.probed(key, reply, now);
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    domains_.clear();
  }

 private:
  std::mutex mutex_;
  delivery::CatchAllDomains domains_;
};

}  // namespace postern::session
