#include "tests/bench/load/runs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/uv/loop.h"
#include "tests/bench/load/dialogue.h"

namespace postern::bench {

namespace {

constexpr std::size_t opened_at_a_time = 64;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// Dialogues by address, so that one can be destroyed after it has said that it is over.
class Crowd {
 public:
  Crowd(uv::Loop& loop, const Target& target) : loop_(loop), target_(target) {
    callbacks.on_reply = [](Dialogue&, int) {};
    callbacks.on_end = [this](Dialogue& dialogue, const std::string& why) {
      if (!why.empty() && failures_++ < 5) fmt::print(stderr, "a session failed: {}\n", why);
      auto gone = members_.extract(&dialogue);
      loop_.post([held = std::shared_ptr<Dialogue>(std::move(gone.mapped().dialogue))] {});
      on_gone(uv::monotonic_now() - gone.mapped().begun);
    };
  }

  void add() {
    Security security{target_.begin, target_.tls, std::nullopt};
    if (!target_.names.empty()) security.name = target_.names[added_ % target_.names.size()];
    ++added_;
    const Instant begun = uv::monotonic_now();
    auto made = std::make_unique<Dialogue>(loop_, target_.to, std::move(security), callbacks);
    auto* key = made.get();
    members_.emplace(key, Member{std::move(made), begun});
  }

  void quit_all() {
    for (auto& [dialogue, member] : members_) dialogue->quit();
  }

  std::size_t added() const { return added_; }
  std::size_t failures() const { return failures_; }

  Dialogue::Callbacks callbacks;
  std::function<void(Duration lasted)> on_gone = [](Duration) {};

 private:
  struct Member {
    std::unique_ptr<Dialogue> dialogue;
    Instant begun{};
  };

  uv::Loop& loop_;
  const Target& target_;
  std::unordered_map<Dialogue*, Member> members_;
  std::size_t added_ = 0;
  std::size_t failures_ = 0;
};

int report(std::size_t count, std::size_t failures, Duration took) {
  fmt::print("{{\"count\": {}, \"failures\": {}, \"seconds\": {:.6f}}}\n", count, failures, seconds(took));
  return failures == 0 ? 0 : 1;
}

/// Of operations that were completed.
int report(std::vector<Duration>& latencies, std::size_t failures, Duration took) {
  std::sort(latencies.begin(), latencies.end());
  const auto at = [&latencies](std::size_t percent) {
    return latencies.empty() ? 0.0 : seconds(latencies[std::min(latencies.size() * percent / 100, latencies.size() - 1)]);
  };
  fmt::print("{{\"count\": {}, \"failures\": {}, \"seconds\": {:.6f}, \"p50\": {:.6f}, \"p99\": {:.6f}}}\n", latencies.size(),
             failures, seconds(took), at(50), at(99));
  return failures == 0 ? 0 : 1;
}

std::string envelope_text(const Messages& messages) {
  std::string text = "MAIL FROM:<sender@bench.test>\r\nRCPT TO:<" + messages.recipient + ">\r\n";
  for (std::size_t n = 1; n < messages.recipients; ++n) text += fmt::format("RCPT TO:<{}{}>\r\n", n, messages.recipient);
  return text + "DATA\r\n";
}

/// Lines of 72 octets, without dots to stuff.
std::string message_text(const Messages& messages) {
  std::string text = "From: <sender@bench.test>\r\nTo: <" + messages.recipient +
                     ">\r\nSubject: a message of the load generator\r\n"
                     "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <0@bench.test>\r\n\r\n";
  while (text.size() + 2 < messages.octets) {
    text.append(std::min<std::size_t>(70, messages.octets - text.size() - 2), 'x');
    text += "\r\n";
  }
  return text + ".\r\n";
}

}  // namespace

int run_sessions(const Target& target, std::size_t count, std::size_t concurrency) {
  uv::Loop loop;
  Crowd crowd(loop, target);
  crowd.callbacks.on_ready = [](Dialogue& dialogue) { dialogue.quit(); };
  std::vector<Duration> latencies;
  crowd.on_gone = [&](Duration lasted) {
    latencies.push_back(lasted);
    if (crowd.added() < count) crowd.add();
  };
  const Instant begin = uv::monotonic_now();
  for (std::size_t n = 0; n < std::min(count, concurrency); ++n) crowd.add();
  loop.run();
  return report(latencies, crowd.failures(), uv::monotonic_now() - begin);
}

int run_noops(const Target& target, std::size_t count, std::size_t concurrency) {
  constexpr auto interval = std::chrono::milliseconds(1);
  uv::Loop loop;
  Crowd crowd(loop, target);
  struct Session {
    Dialogue* dialogue = nullptr;
    std::optional<Instant> asked;
  };
  std::vector<Session> sessions;
  std::vector<Duration> latencies;
  std::size_t turn = 0;
  // A session that still waits for an answer is passed over: its wait counts once, as long as it is.
  const auto ask_next = [&] {
    Session& next = sessions[turn++ % sessions.size()];
    if (next.asked) return;
    next.asked = uv::monotonic_now();
    next.dialogue->send("NOOP\r\n");
  };
  uv::Timer ticks(loop, [&] {
    ask_next();
    ticks.start_at(loop.now() + interval);
  });
  Instant begin{};
  crowd.callbacks.on_ready = [&](Dialogue& dialogue) {
    sessions.push_back({&dialogue, std::nullopt});
    if (sessions.size() < concurrency) return crowd.add();
    begin = uv::monotonic_now();
    ticks.start_at(loop.now() + interval);
  };
  crowd.callbacks.on_reply = [&](Dialogue& dialogue, int) {
    auto session = std::find_if(sessions.begin(), sessions.end(),
                                [&](const Session& one) { return one.dialogue == &dialogue; });
    if (!session->asked) return;  // that was the answer to QUIT
    latencies.push_back(uv::monotonic_now() - *std::exchange(session->asked, std::nullopt));
    if (latencies.size() < count) return;
    ticks.stop();
    crowd.quit_all();
  };
  crowd.add();
  loop.run();
  return report(latencies, crowd.failures(), uv::monotonic_now() - begin);
}

int run_messages(const Target& target, const Messages& messages) {
  uv::Loop loop;
  Crowd crowd(loop, target);
  const std::string envelope = envelope_text(messages);
  const std::string text = message_text(messages);
  struct Progress {
    std::size_t replies = 0;
    Instant sent{};
    bool is_last = false;  // nothing was sent behind the text
  };
  std::unordered_map<Dialogue*, Progress> progress;
  std::vector<Duration> latencies;
  Instant begin{};
  std::size_t begun = 0, refused = 0;
  crowd.callbacks.on_ready = [&](Dialogue& dialogue) {
    if (begin == Instant{}) begin = uv::monotonic_now();
    if (begun >= messages.count) return dialogue.quit();
    ++begun;
    dialogue.send(envelope);
  };
  // Replies of a message: MAIL, the RCPTs, DATA, and the message itself.
  const std::size_t replies_each = messages.recipients + 3;
  crowd.callbacks.on_reply = [&](Dialogue& dialogue, int code) {
    auto& mine = progress[&dialogue];
    const std::size_t which = mine.replies++ % replies_each;
    if (code >= 400) {
      fmt::print(stderr, "refused with {}\n", code);
      ++refused;
      return dialogue.quit();
    }
    if (which == replies_each - 2) {
      mine.sent = uv::monotonic_now();
      mine.is_last = begun >= messages.count;
      if (!mine.is_last) ++begun;
      dialogue.send(mine.is_last ? text : text + envelope);
    }
    if (which != replies_each - 1) return;
    latencies.push_back(uv::monotonic_now() - mine.sent);
    if (mine.is_last) dialogue.quit();
  };
  for (std::size_t n = 0; n < std::max<std::size_t>(messages.concurrency, 1); ++n) crowd.add();
  loop.run();
  return report(latencies, crowd.failures() + refused, uv::monotonic_now() - begin);
}

int run_visits(const Target& target, const Messages& messages) {
  uv::Loop loop;
  Crowd crowd(loop, target);
  const std::string envelope = envelope_text(messages);
  const std::string text = message_text(messages);
  std::unordered_map<Dialogue*, std::size_t> replies;
  std::vector<Duration> latencies;
  std::size_t refused = 0;
  crowd.callbacks.on_ready = [&](Dialogue& dialogue) {
    replies[&dialogue] = 0;
    dialogue.send(envelope);
  };
  crowd.callbacks.on_reply = [&](Dialogue& dialogue, int code) {
    const std::size_t which = ++replies[&dialogue];
    if (code >= 400) ++refused;
    if (code >= 400 || which == messages.recipients + 3) return dialogue.quit();
    if (which == messages.recipients + 2) dialogue.send(text);
  };
  crowd.on_gone = [&](Duration lasted) {
    latencies.push_back(lasted);
    if (crowd.added() < messages.count) crowd.add();
  };
  const Instant begin = uv::monotonic_now();
  for (std::size_t n = 0; n < std::min(messages.count, std::max<std::size_t>(messages.concurrency, 1)); ++n) crowd.add();
  loop.run();
  return report(latencies, crowd.failures() + refused, uv::monotonic_now() - begin);
}

int run_idle(const Target& target, std::size_t count) {
  uv::Loop loop;
  Crowd crowd(loop, target);
  std::size_t ready = 0;
  const Instant begin = uv::monotonic_now();
  uv_pipe_t input{};
  uv_pipe_init(loop.get(), &input, 0);
  input.data = &crowd;
  crowd.callbacks.on_ready = [&](Dialogue&) {
    if (++ready < count) {
      if (crowd.added() < count) crowd.add();
      return;
    }
    fmt::print("ready\n");
    std::fflush(stdout);
    uv_pipe_open(&input, STDIN_FILENO);
    uv_read_start(
        reinterpret_cast<uv_stream_t*>(&input),
        [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) { *buffer = uv::Loop::of(handle->loop).read_buffer(); },
        [](uv_stream_t* stream, ssize_t octets, const uv_buf_t*) {
          if (octets >= 0) return;
          static_cast<Crowd*>(stream->data)->quit_all();
          uv_close(reinterpret_cast<uv_handle_t*>(stream), nullptr);
        });
  };
  for (std::size_t n = 0; n < std::min(count, opened_at_a_time); ++n) crowd.add();
  loop.run();
  return report(ready, crowd.failures(), uv::monotonic_now() - begin);
}

}  // namespace postern::bench
