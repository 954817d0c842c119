#include "tests/bench/load/runs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <unordered_map>

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
      loop_.post([held = std::shared_ptr<Dialogue>(std::move(gone.mapped()))] {});
      on_gone();
    };
  }

  void add() {
    Security security{target_.tls, std::nullopt};
    if (!target_.names.empty()) security.name = target_.names[added_ % target_.names.size()];
    ++added_;
    auto made = std::make_unique<Dialogue>(loop_, target_.to, std::move(security), callbacks);
    auto* key = made.get();
    members_.emplace(key, std::move(made));
  }

  void quit_all() {
    for (auto& [dialogue, owned] : members_) dialogue->quit();
  }

  std::size_t added() const { return added_; }
  std::size_t failures() const { return failures_; }

  Dialogue::Callbacks callbacks;
  std::function<void()> on_gone = [] {};

 private:
  uv::Loop& loop_;
  const Target& target_;
  std::unordered_map<Dialogue*, std::unique_ptr<Dialogue>> members_;
  std::size_t added_ = 0;
  std::size_t failures_ = 0;
};

int report(std::size_t count, std::size_t failures, Duration took) {
  fmt::print("{{\"count\": {}, \"failures\": {}, \"seconds\": {:.6f}}}\n", count, failures, seconds(took));
  return failures == 0 ? 0 : 1;
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
  crowd.on_gone = [&] {
    if (crowd.added() < count) crowd.add();
  };
  const Instant begin = uv::monotonic_now();
  for (std::size_t n = 0; n < std::min(count, concurrency); ++n) crowd.add();
  loop.run();
  return report(count, crowd.failures(), uv::monotonic_now() - begin);
}

int run_messages(const Target& target, const Messages& messages) {
  uv::Loop loop;
  Crowd crowd(loop, target);
  const std::string envelope =
      "MAIL FROM:<sender@bench.test>\r\nRCPT TO:<" + messages.recipient + ">\r\nDATA\r\n";
  const std::string text = message_text(messages);
  Instant begin{};
  std::size_t begun = 0, taken = 0, replies = 0, refused = 0;
  crowd.callbacks.on_ready = [&](Dialogue& dialogue) {
    begin = uv::monotonic_now();
    begun = 1;
    dialogue.send(envelope);
  };
  // Four replies a message: MAIL, RCPT, DATA, and the message itself.
  crowd.callbacks.on_reply = [&](Dialogue& dialogue, int code) {
    const std::size_t which = replies++ % 4;
    if (code >= 400) {
      fmt::print(stderr, "refused with {}\n", code);
      ++refused;
      return dialogue.quit();
    }
    if (which == 2) dialogue.send(begun++ < messages.count ? text + envelope : text);
    if (which == 3 && ++taken == messages.count) dialogue.quit();
  };
  crowd.add();
  loop.run();
  return report(taken, crowd.failures() + refused, uv::monotonic_now() - begin);
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
