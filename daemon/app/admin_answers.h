// What an admin listener answers: metrics, health, readiness, and the page with its data. On the control loop.
//
// What asks the workers waits for them: when one is stuck, posternd is not ready.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/app/status.h"
#include "http/server_core.h"

namespace postern::app {

class AdminAnswers {
 public:
  using Answer = std::function<void(http::Response)>;

  /// `sources`: how things are now.
  explicit AdminAnswers(std::function<StatusSources()> sources) : sources_(std::move(sources)) {}

  /// `expires_within`: see listen.expires_within. Calls `reply` exactly once, within the call or later.
  void answer(const http::Request& request, Duration expires_within, Answer reply);

 private:
  /// The data of the page for one window of the score. However many look at it, it is made once a second at most.
  struct PageData {
    std::string text;
    Instant made_at{};
    std::vector<Answer> waiting;
  };

  http::Response health() const;
  void answer_readiness(Answer reply) const;
  void answer_page_data(const std::string& target, Answer reply);

  std::function<StatusSources()> sources_;
  std::map<std::string, PageData, std::less<>> pages_;  // by window
};

}  // namespace postern::app
