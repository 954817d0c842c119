// On inotify itself, not on uv_fs_event_t: that one has a fixed set of events (every write to a file that is still
// being written, but not its closing), loses the overflow of the kernel's queue without a word, and costs a handle for
// each directory.
#include "daemon/uv/watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "daemon/uv/handle.h"

namespace postern::uv {

namespace {

constexpr std::uint32_t watched_events = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
                                         IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr int burst_max_in_quiets = 10;
constexpr std::size_t names_max = 1000;  // of one directory in one burst

}  // namespace

struct DirectoryWatch::State {
  static constexpr int unwatched = -1;

  uv_poll_t poll{};
  int descriptor = -1;
  Duration quiet{};
  std::function<void(DirectoryChanges)> on_change;
  std::unique_ptr<Timer> timer;
  std::unordered_map<std::string, int> watch_of;
  std::unordered_map<int, std::vector<std::string>> directories_of;  // by watch: links give a directory several names
  std::unordered_set<std::string> missed;                            // those without a watch
  std::unordered_set<std::string> renewable;                         // perhaps replaced in this burst
  bool out_of_watches = false;
  std::optional<Instant> burst_began;
  DirectoryChanges changes;

  /// Adding what is watched already gives the same number again; a directory that was replaced gets a new one.
  void watch(const std::string& directory) {
    int& known = watch_of.try_emplace(directory, unwatched).first->second;
    const int watch = descriptor < 0 ? unwatched
                                     : ::inotify_add_watch(descriptor, directory.c_str(), watched_events | IN_ONLYDIR);
    if (watch < 0) out_of_watches = out_of_watches || descriptor < 0 || errno == ENOSPC;
    if (watch == known && watch >= 0) return;
    forget(directory, known);
    known = watch < 0 ? unwatched : watch;
    if (watch < 0) {
      missed.insert(directory);
    } else {
      missed.erase(directory);
      directories_of[watch].push_back(directory);
    }
  }

  /// The watch goes with its last name.
  void forget(const std::string& directory, int watch) {
    const auto found = directories_of.find(watch);
    if (found == directories_of.end()) return;
    std::erase(found->second, directory);
    if (!found->second.empty()) return;
    directories_of.erase(found);
    ::inotify_rm_watch(descriptor, watch);
  }

  void set(const std::vector<std::string>& directories) {
    const std::unordered_set<std::string_view> wanted(directories.begin(), directories.end());
    for (auto known = watch_of.begin(); known != watch_of.end();) {
      if (wanted.contains(known->first)) {
        ++known;
        continue;
      }
      forget(known->first, known->second);
      missed.erase(known->first);
      known = watch_of.erase(known);
    }
    out_of_watches = false;
    for (const auto& directory : directories) {
      if (watch_of.contains(directory)) continue;
      if (out_of_watches) {  // the kernel would say the same 10^5 times
        watch_of.emplace(directory, unwatched);
        missed.insert(directory);
      } else {
        watch(directory);
      }
    }
  }

  void retry() {
    out_of_watches = false;
    const std::vector<std::string> again(missed.begin(), missed.end());
    for (const auto& directory : again) {
      if (out_of_watches) return;
      watch(directory);
    }
  }

  void drain() {
    alignas(inotify_event) std::array<char, 16 * 1024> events;
    bool changed = false;
    for (ssize_t count; (count = ::read(descriptor, events.data(), events.size())) > 0;) {
      changed = take({events.data(), static_cast<std::size_t>(count)}) || changed;
    }
    if (!changed) return;
    const Instant now = Loop::of(poll.loop).now();
    if (!burst_began) burst_began = now;
    timer->start_at(std::min(now + quiet, *burst_began + burst_max_in_quiets * quiet));
  }

  bool take(std::string_view events) {
    bool news = false;
    while (!events.empty()) {
      const auto* event = reinterpret_cast<const inotify_event*>(events.data());
      events.remove_prefix(sizeof *event + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        changes.lost = news = true;
        continue;
      }
      const auto found = directories_of.find(event->wd);
      if (found == directories_of.end()) continue;  // no longer wanted: our own inotify_rm_watch() ends with IN_IGNORED
      news = true;
      for (const auto& directory : found->second) note(directory, *event);
    }
    return news;
  }

  void note(const std::string& directory, const inotify_event& event) {
    auto& names = changes.directories.try_emplace(directory, std::set<std::string>()).first->second;
    if (event.len == 0 || (names && names->size() == names_max)) names.reset();
    if (names) names->insert(event.name);
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) renewable.insert(directory);
    if (event.len == 0) return;
    const std::string inside = directory + (directory.ends_with('/') ? "" : "/") + event.name;
    if (watch_of.contains(inside)) renewable.insert(inside);
  }

  void burst_ended() {
    burst_began.reset();
    for (const auto& directory : std::exchange(renewable, {})) {
      if (watch_of.contains(directory)) watch(directory);
    }
    on_change(std::exchange(changes, {}));
  }
};

DirectoryWatch::DirectoryWatch(Loop& loop, Duration quiet, std::function<void(DirectoryChanges)> on_change)
    : state_(new State) {
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

void DirectoryWatch::set(const std::vector<std::string>& directories) { state_->set(directories); }

void DirectoryWatch::retry() { state_->retry(); }

void DirectoryWatch::renew() {
  state_->out_of_watches = false;
  for (const auto& [directory, watch] : std::unordered_map(state_->watch_of)) {
    if (state_->out_of_watches) return;
    state_->watch(directory);
  }
}

std::size_t DirectoryWatch::unwatched() const { return state_->missed.size(); }

bool DirectoryWatch::out_of_watches() const { return state_->out_of_watches; }

}  // namespace postern::uv
