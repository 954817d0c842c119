// Is there such a recipient? One worker's answers to that: from a list, from memory, or from the backend, which is asked
// about one address only once at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "daemon/session/catch_all_table.h"
#include "daemon/session/journal.h"
#include "daemon/session/outbound_check.h"
#include "daemon/uv/loop.h"
#include "delivery/recipient_cache.h"
#include "delivery/settings.h"
#include "delivery/user_list.h"
#include "proxy/client_identity.h"

namespace postern::session {

class RecipientChecks {
 public:
  using Done = std::function<void(const smtp::Reply&)>;
  /// Begins a task at a backend, by its name. False when no such backend is configured any more.
  using Start = std::function<bool(const std::string& backend, std::unique_ptr<OutboundTask> task)>;

  RecipientChecks(uv::Loop& loop, Journal& journal, std::shared_ptr<CatchAllTable> catch_alls, Start start);
  ~RecipientChecks();

  /// `settings` as one worker has to keep to them.
  void configure(const delivery::RecipientCheckSettings& settings);
  void use_lists(std::shared_ptr<const delivery::UserLists> lists) { lists_ = std::move(lists); }
  /// A backend has changed: what was learnt from the one before counts no more.
  void forget();

  struct Question {
    delivery::BackendSettings backend;
    smtp::ReversePath from;
    smtp::ForwardPath to;
    smtp::MailParameters parameters;
  };
  /// `client` is who asks: its identity is told to a backend that takes it from us, which a kept connection would else
  /// take for another's. `done` comes within the call or later, exactly once, unless this object goes first.
  void check(Question question, const proxy::ClientIdentity& client, Done done);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::shared_ptr<const delivery::UserLists> lists_;
};

}  // namespace postern::session
