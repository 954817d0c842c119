// A worker's Backends on a loop of its own, and what their tests hand to them.
#pragma once

#include "daemon/session/backends.h"

#include <utility>

#include "base/text.h"
#include "smtp/replies.h"
#include "tests/loop/notes.h"
#include "tests/loop/scripted_backend.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"

namespace postern::session::test {

/// For limits that a test has to wait for, although what else happens must stay within them.
inline constexpr Duration short_limit = std::chrono::milliseconds(300);

class MemoryBody final : public BodySource {
 public:
  explicit MemoryBody(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  void next(std::function<void(Result<std::string_view>)> piece) override {
    piece(at_ < pieces_.size() ? std::string_view(pieces_[at_++]) : std::string_view());
  }
  std::unique_ptr<BodySource> again() const override { return std::make_unique<MemoryBody>(pieces_); }

 private:
  std::vector<std::string> pieces_;
  std::size_t at_ = 0;
};

/// A spilled message: pieces come at a later turn of the loop; after the last one it fails, or ends.
class LateBody final : public BodySource {
 public:
  enum class End { Whole, Unreadable };
  LateBody(uv::Loop& loop, std::vector<std::string> pieces, End end)
      : loop_(loop), timer_(loop, [this] { give(); }), pieces_(std::move(pieces)), end_(end) {}
  void next(std::function<void(Result<std::string_view>)> piece) override {
    wanted_ = std::move(piece);
    timer_.start_at(loop_.now());
  }
  std::unique_ptr<BodySource> again() const override { return std::make_unique<LateBody>(loop_, pieces_, end_); }

 private:
  void give() {
    const auto piece = std::exchange(wanted_, nullptr);
    if (at_ < pieces_.size()) return piece(std::string_view(pieces_[at_++]));
    if (end_ == End::Unreadable) return piece(fail("the disk is gone"));
    piece(std::string_view());
  }

  uv::Loop& loop_;
  uv::Timer timer_;
  std::vector<std::string> pieces_;
  End end_;
  std::size_t at_ = 0;
  std::function<void(Result<std::string_view>)> wanted_;
};

inline smtp::ForwardPath to(std::string local_part, std::string domain = "example.com") {
  return {{std::move(local_part), std::move(domain)}};
}

inline delivery::BackendSettings backend(std::string name, std::initializer_list<std::string> targets) {
  delivery::BackendSettings made;
  made.name = std::move(name);
  made.wait_max = std::chrono::seconds(10);
  for (const auto& target : targets) made.targets.push_back(delivery::parse_target(target).value());
  return made;
}

using Table = std::shared_ptr<const delivery::RouteTable>;

inline Table table(std::vector<delivery::BackendSettings> backends, std::optional<smtp::Mailbox> postmaster = {}) {
  std::vector<delivery::DomainSettings> domains{{DnsName::parse("example.com"), backends.front().name, {}}};
  if (backends.size() > 1) domains.push_back({DnsName::parse("other.example"), backends.back().name, {}});
  return std::make_shared<delivery::RouteTable>(std::move(backends), std::move(domains), std::move(postmaster));
}

/// What has become of a delivery.
struct Outcome {
  DeliveryId id = 0;
  std::optional<Delivered> delivered;
  unsigned calls = 0;

  std::vector<int> codes() const {
    std::vector<int> made;
    for (const auto& outcome : delivered.value().outcomes) made.push_back(outcome.reply.code);
    return made;
  }
  const smtp::Reply& reply() const { return delivered.value().outcomes.front().reply; }
};

/// A worker's Backends on a loop of its own, with limits that are short enough to wait for.
class Worker {
 public:
  explicit Worker(Backends::Options options = short_limits()) : backends(loop, resolver, notes, std::move(options)) {}
  ~Worker() { shut_down(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Backends::Options short_limits() {
    Backends::Options options;
    options.hostname = "mx.example.net";
    options.backoff_first = std::chrono::hours(1);
    options.backoff_max = std::chrono::hours(1);
    return options;
  }

  void shut_down() {
    if (std::exchange(is_down_, true)) return;
    bool done = false;
    backends.shut_down([&done] { done = true; });
    CHECK_FALSE(done);
    CHECK(turn_until([&done] { return done; }));
  }

  bool turn_until(const std::function<bool()>& done) { return uv::test::turn_until(loop, done); }

  std::shared_ptr<Outcome> deliver(std::vector<smtp::ForwardPath> recipients,
                                   std::unique_ptr<BodySource> body = nullptr, Duration limit = std::chrono::hours(1),
                                   std::string backend = "store") {
    if (!body) body = std::make_unique<MemoryBody>(std::vector<std::string>{"Subject: x\r\n\r\n", ".\r\n"});
    Delivery delivery{std::move(backend), {{}, std::move(recipients), {}}, std::move(body), loop.now() + limit};
    auto outcome = std::make_shared<Outcome>();
    outcome->id = backends.deliver(std::move(delivery), [outcome](Delivered delivered) {
      outcome->delivered = std::move(delivered);
      ++outcome->calls;
    });
    CHECK(outcome->calls == 0);
    return outcome;
  }

  const Outcome& finish(const std::shared_ptr<Outcome>& outcome) {
    REQUIRE(turn_until([&] { return outcome->calls > 0; }));
    CHECK(outcome->calls == 1);
    return *outcome;
  }

  Outcome deliver_and_finish(std::vector<smtp::ForwardPath> recipients) {
    return finish(deliver(std::move(recipients)));
  }

  std::shared_ptr<std::optional<Checked>> start_check(const Table& routes, const smtp::ForwardPath& recipient,
                                                      const proxy::ClientIdentity& client = {}) {
    auto checked = std::make_shared<std::optional<Checked>>();
    const auto route = routes->route(recipient);
    REQUIRE(route);
    backends.check(*route, {}, {}, client, [checked](Checked result) {
      CHECK_FALSE(checked->has_value());
      *checked = std::move(result);
    });
    return checked;
  }

  Checked check(const Table& routes, const smtp::ForwardPath& recipient) {
    const auto checked = start_check(routes, recipient);
    REQUIRE(turn_until([&] { return checked->has_value(); }));
    return **checked;
  }

  /// The first greeting is over, and its connection idle.
  bool greeted() {
    return turn_until([this] {
      for (const auto& target : backends.status()) {
        if (target.idle > 0) return true;
      }
      return false;
    });
  }

  uv::Loop loop;
  uv::Resolver resolver{loop, {}};
  Notes notes;
  Backends backends;

 private:
  bool is_down_ = false;
};

/// Nobody listens there.
inline std::string dead_target() {
  uv::Loop loop;
  uv::Acceptor acceptor(
      loop, uv::test::bound_on_loopback(), [](int) {}, [](const Error&) {});
  auto text = acceptor.endpoint().text();
  acceptor.close();
  return text;
}

}  // namespace postern::session::test
