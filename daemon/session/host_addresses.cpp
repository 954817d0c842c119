#include "daemon/session/host_addresses.h"

#include <algorithm>
#include <utility>

namespace postern::session {

namespace {

// A name is asked for again when its answer is this old, whatever it said; and not for every connection when it says 0.
constexpr Duration age_min = std::chrono::seconds(1);
constexpr Duration age_max = std::chrono::hours(1);
constexpr Duration patience_max = std::chrono::seconds(2);

}  // namespace

HostAddresses::HostAddresses(uv::Loop& loop, uv::Resolver& resolver, DnsName host, Duration connect_max,
                             std::function<void()> changed)
    : loop_(loop),
      resolver_(resolver),
      host_(std::move(host)),
      patience_(std::min<Duration>(patience_max, connect_max / 4)),
      changed_(std::move(changed)),
      timer_(loop, [this] {
        question_ = Question::Late;
        serve(addresses_);
      }) {}

HostAddresses::~HostAddresses() = default;

void HostAddresses::find(std::function<void(const Found&)> done) {
  refresh();
  if (question_ != Question::Asked && !addresses_.empty()) return done(addresses_);
  if (waiting_.empty() && !addresses_.empty()) timer_.start_at(loop_.now() + patience_);
  waiting_.push_back(std::move(done));
}

void HostAddresses::refresh() {
  if (question_ == Question::None && loop_.now() >= fresh_until_) ask();
}

bool HostAddresses::has(const IpAddress& address) const {
  return std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end();
}

void HostAddresses::ask() {
  question_ = Question::Asked;
  resolver_.addresses(host_, [this, alive = std::weak_ptr(alive_)](const Result<uv::Resolved>& found) {
    if (!alive.expired()) answered(found);
  });
}

void HostAddresses::answered(const Result<uv::Resolved>& found) {
  question_ = Question::None;
  timer_.stop();
  const bool moved = found && found->addresses != addresses_;
  if (moved) addresses_ = found->addresses;
  if (addresses_.empty()) return serve(fail_with(found.error()));
  fresh_until_ = loop_.now() + (found ? std::clamp(found->ttl, age_min, age_max) : age_min);
  serve(addresses_);
  if (moved) changed_();
}

void HostAddresses::serve(const Found& found) {
  for (const auto& done : std::exchange(waiting_, {})) done(found);
}

}  // namespace postern::session
