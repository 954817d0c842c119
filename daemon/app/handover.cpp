#include "daemon/app/handover.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "daemon/app/launcher.h"

namespace postern::app {

namespace {

// Ten thousand certificates take their time on a cold disk.
constexpr Duration prepared_within = std::chrono::minutes(5);
constexpr int given_within_seconds = 60;
constexpr int released_within_seconds = 10;

constexpr std::string_view prepared = "prepared";
constexpr std::string_view yours = "yours";
constexpr std::string_view ready_with = "ready ";  // and the process id
constexpr std::string_view main_process = "main";

void say(int descriptor, std::string_view what) { (void)::send(descriptor, what.data(), what.size(), MSG_NOSIGNAL); }

/// Empty: the other end is closed, or the time is over.
std::string hear(int descriptor) {
  std::array<char, 64> text;
  for (;;) {
    const ssize_t length = ::recv(descriptor, text.data(), text.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    return length <= 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(length));
  }
}

}  // namespace

// --- the old one ---

Successor::Successor(uv::Loop& loop, Descriptor descriptor, Events events)
    : loop_(loop),
      descriptor_(std::move(descriptor)),
      events_(std::move(events)),
      timer_(loop, [this] { ::shutdown(descriptor_.get(), SHUT_RDWR); }) {
  timer_.start_at(loop.now() + prepared_within);
  thread_ = std::thread([this] { listen(); });
}

Successor::~Successor() {
  ::shutdown(descriptor_.get(), SHUT_RDWR);
  thread_.join();
}

/// On its thread.
void Successor::listen() {
  for (;;) {
    const std::string said = hear(descriptor_.get());
    if (said == prepared) {
      tell([this] {
        timer_.stop();
        events_.prepared();
      });
      continue;
    }
    const auto pid = said.starts_with(ready_with) ? parse_decimal(std::string_view(said).substr(ready_with.size()))
                                                  : std::nullopt;
    return tell([this, pid] { heard(pid ? std::optional(static_cast<pid_t>(*pid)) : std::nullopt); });
  }
}

void Successor::tell(std::function<void()> event) {
  loop_.post([alive = std::weak_ptr(alive_), event = std::move(event)] {
    if (!alive.expired()) event();
  });
}

/// The last that it does: either call may destroy it.
void Successor::heard(std::optional<pid_t> ready) {
  timer_.stop();
  const Events events = std::move(events_);
  if (ready) return events.ready(*ready);
  events.failed();
}

void Successor::give() { say(descriptor_.get(), yours); }

void Successor::release() { say(descriptor_.get(), main_process); }

// --- the new one ---

std::optional<Predecessor> Predecessor::of_environment() {
  const char* value = std::getenv(predecessor_variable);
  if (value == nullptr) return std::nullopt;
  const std::string text = value;
  ::unsetenv(predecessor_variable);
  const auto fields = split(text, ' ');
  if (fields.size() != 2) return std::nullopt;
  const auto handover = parse_decimal(fields[0]);
  const auto ledger = parse_decimal(fields[1]);
  if (!handover || !ledger || *handover > 1'000'000 || *ledger > 1'000'000) return std::nullopt;
  for (const auto number : {*handover, *ledger}) ::fcntl(static_cast<int>(number), F_SETFD, FD_CLOEXEC);
  return Predecessor(static_cast<int>(*handover), static_cast<int>(*ledger));
}

bool Predecessor::exchange(const std::string& said, const std::string& expected, int seconds) {
  const timeval limit{seconds, 0};
  ::setsockopt(handover_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  say(handover_.get(), said);
  return hear(handover_.get()) == expected;
}

Result<void> Predecessor::take_over() {
  if (exchange(std::string(prepared), std::string(yours), given_within_seconds)) return {};
  return fail("the posternd that was to be replaced does not hand over: it has ended, or waited for too long");
}

void Predecessor::ready() {
  (void)exchange(std::string(ready_with) + std::to_string(::getpid()), std::string(main_process), released_within_seconds);
}

}  // namespace postern::app
