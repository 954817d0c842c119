// On inotify itself, not on uv_fs_event_t: that one has a fixed set of events (every write to a file that is still
// being written, but not its closing), loses the overflow of the kernel's queue without a word, and costs a handle for
// each directory.
#include "daemon/uv/watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "daemon/uv/handle.h"

namespace postern::uv {

namespace {

constexpr std::uint32_t watched_events = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
                                         IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr int burst_max_in_quiets = 10;

}  // namespace

struct DirectoryWatch::State {
  uv_poll_t poll{};
  int descriptor = -1;
  Duration quiet{};
  std::function<void()> on_change;
  std::unique_ptr<Timer> timer;
  std::vector<std::string> directories;
  std::vector<int> watches;
  std::optional<Instant> burst_began;

  /// Adding what is watched already gives the same number again; a directory that was replaced gets a new one.
  void watch_all() {
    std::vector<int> now_watched;
    for (const auto& directory : directories) {
      const int watch = ::inotify_add_watch(descriptor, directory.c_str(), watched_events | IN_ONLYDIR);
      if (watch >= 0) now_watched.push_back(watch);
    }
    for (const int watch : watches) {
      if (std::find(now_watched.begin(), now_watched.end(), watch) == now_watched.end()) {
        ::inotify_rm_watch(descriptor, watch);
      }
    }
    watches = std::move(now_watched);
  }

  /// What the events say does not matter, not even that they are an overflow: something has changed.
  void drain() {
    alignas(inotify_event) std::array<char, 16 * 1024> events;
    bool changed = false;
    for (ssize_t count; (count = ::read(descriptor, events.data(), events.size())) > 0;) {
      changed = changed || has_news({events.data(), static_cast<std::size_t>(count)});
    }
    if (!changed) return;
    const Instant now = Loop::of(poll.loop).now();
    if (!burst_began) burst_began = now;
    timer->start_at(std::min(now + quiet, *burst_began + burst_max_in_quiets * quiet));
  }

  /// IN_IGNORED alone is our own inotify_rm_watch().
  static bool has_news(std::string_view events) {
    while (!events.empty()) {
      const auto* event = reinterpret_cast<const inotify_event*>(events.data());
      if ((event->mask & IN_IGNORED) == 0) return true;
      events.remove_prefix(sizeof *event + event->len);
    }
    return false;
  }

  void burst_ended() {
    burst_began.reset();
    watch_all();  // a directory may have been replaced
    on_change();
  }
};

DirectoryWatch::DirectoryWatch(Loop& loop, Duration quiet, std::function<void()> on_change) : state_(new State) {
  state_->quiet = quiet;
  state_->on_change = std::move(on_change);
  state_->timer = std::make_unique<Timer>(loop, [state = state_] { state->burst_ended(); });
  state_->descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (state_->descriptor < 0) return;  // fs.inotify.max_user_instances: nothing can be watched
  uv_poll_init(loop.get(), &state_->poll, state_->descriptor);
  state_->poll.data = state_;
  uv_poll_start(&state_->poll, UV_READABLE, [](uv_poll_t* poll, int, int) { static_cast<State*>(poll->data)->drain(); });
}

DirectoryWatch::~DirectoryWatch() {
  state_->timer.reset();
  if (state_->descriptor < 0) {
    delete state_;
    return;
  }
  const int descriptor = state_->descriptor;
  close_and_delete(state_, state_->poll);
  ::close(descriptor);  // after uv_close(), which takes it off the loop
}

void DirectoryWatch::set(const std::vector<std::string>& directories) {
  state_->directories = directories;
  if (state_->descriptor >= 0) state_->watch_all();
}

}  // namespace postern::uv
