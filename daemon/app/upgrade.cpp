#include "daemon/app/upgrade.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

#include "daemon/app/ledger_heir.h"

namespace postern::app {

namespace {

struct SocketPair {
  Descriptor ours{-1}, theirs{-1};
};

/// Nothing when no descriptors are left.
std::optional<SocketPair> socket_pair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return std::nullopt;
  return SocketPair{Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace

void Upgrade::start() {
  const auto refused = [this](std::string_view why) {
    parts_.journal.note(observe::Level::Error, fmt::format("SIGUSR2: no new posternd is started: {}", why));
  };
  if (successor_) return refused("one is starting already");
  if (!parts_.launcher) return refused("process 1 of a container cannot be replaced, and without a launcher none can");
  auto handover = socket_pair(SOCK_SEQPACKET);
  auto ledger = socket_pair(SOCK_STREAM);
  if (!handover || !ledger) return refused("no descriptors are left");
  const auto launched = parts_.launcher->launch(parts_.sockets.all(), handover->theirs.get(), ledger->theirs.get());
  if (!launched) return refused(launched.error().text);
  parts_.journal.note(observe::Level::Info, "SIGUSR2: a new posternd is started with the same listening sockets");
  heir_ = make_ledger_heir(std::move(ledger->ours));
  successor_ = std::make_unique<Successor>(parts_.loop, std::move(handover->ours),
                                           Successor::Events{.prepared = [this] { hand_over(); },
                                                             .ready = [this](pid_t pid) { went_well(pid); },
                                                             .failed = [this] { failed(); }});
}

/// What only one may have; sessions go on here until the other one serves.
void Upgrade::hand_over() {
  parts_.shared.score->hand_over();
  parts_.shared.ledger->bequeath(heir_, [this] {
    parts_.loop.post([this] {
      if (!successor_) return;  // it has failed meanwhile
      handed_over_ = true;
      parts_.lock.give_up();
      successor_->give();
    });
  });
}

void Upgrade::went_well(pid_t successor) {
  parts_.journal.note(observe::Level::Info, fmt::format("the new posternd, process {}, is ready", successor));
  parts_.step_down(successor);
  successor_->release();
  successor_.reset();
}

void Upgrade::abandon() {
  if (!successor_) return;
  take_back();
}

void Upgrade::take_back() {
  successor_.reset();
  heir_.reset();
  parts_.shared.ledger->take_back();
  parts_.shared.score->take_back();
  if (!std::exchange(handed_over_, false)) return;
  if (const auto locked = parts_.lock.take_again(); !locked) {
    parts_.journal.note(observe::Level::Error, locked.error().text);
  }
}

void Upgrade::failed() {
  take_back();
  parts_.journal.note(observe::Level::Error,
                      "the new posternd has ended before it was ready, and said why: this one goes on");
}

}  // namespace postern::app
