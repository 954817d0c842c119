#include "daemon/app/loader_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <latch>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/descriptor.h"
#include "certs/binary.h"
#include "daemon/app/confinement.h"
#include "daemon/app/framed_messages.h"
#include "daemon/app/guarded_files.h"
#include "daemon/app/loader_messages.h"
#include "daemon/app/parallel.h"

namespace postern::app {

namespace {

using certs::BinaryReader;
using certs::BinaryWriter;

// --- in the child ---

/// Places that `files` looks for, and where the configuration lies.
Reach reach_of_loader(const GuardedFiles& files, std::vector<std::string> config_folders) {
  Reach reach;
  reach.read = std::move(config_folders);
  for (std::string& folder : files.folders()) reach.read.push_back(std::move(folder));
  for (const char* names : {"/etc/passwd", "/etc/group"}) reach.read.emplace_back(names);  // for error messages
  return reach;
}

/// What its threads share: each answers requests of one channel.
class Service {
 public:
  /// Enters the sandbox, if that is wanted: at first against files, and against system calls in confine_calls(), when the
  /// threads are there.
  Service(const std::string& config_path, const config::Config& config)
      : config_path_(config_path),
        sandbox_(config.start.sandbox),
        files_(std::make_shared<GuardedFiles>(needed_files(config))) {
    if (!sandbox_) return;
    (void)read_configuration(config_path_, config_folders_);
    fence_ = FileFence::raise(reach_of_loader(*files_, config_folders_)).value_or(FileFence());
  }

  /// Where a kernel lacks something, posternd says so, which notices it as well.
  void confine_calls() const {
    if (sandbox_) (void)filter_calls(Calls::Loader);
  }

  BinaryWriter answer(BinaryReader& request) {
    switch (static_cast<Operation>(request.number())) {
      case Operation::Question: return answer_question(request, *files());
      case Operation::Questions: return answer_questions(request, *files());
      case Operation::Reconfigure: return reconfigure();
    }
    return {};
  }

 private:
  /// What is being answered from them goes on when others take their place.
  std::shared_ptr<GuardedFiles> files() {
    const std::lock_guard lock(files_mutex_);
    return files_;
  }

  BinaryWriter reconfigure() {
    const std::lock_guard one_at_a_time(configuration_mutex_);
    const auto parsed = read_configuration(config_path_, config_folders_);
    if (parsed.config) {
      auto files = std::make_shared<GuardedFiles>(needed_files(*parsed.config));
      const std::lock_guard lock(files_mutex_);
      files_.swap(files);
    }
    return answer_reconfigured(beyond(fence_, reach_of_loader(*files(), config_folders_)));
  }

  const std::string config_path_;
  const bool sandbox_;
  FileFence fence_;
  std::mutex configuration_mutex_;  // before files_mutex_
  std::vector<std::string> config_folders_;
  std::mutex files_mutex_;
  std::shared_ptr<GuardedFiles> files_;
};

[[noreturn]] void answer_all(Service& service, int channel) {
  while (const auto request = receive_message(channel, request_octets_max)) {
    BinaryReader fields(*request);
    if (!send_message(channel, service.answer(fields))) break;
  }
  ::_exit(0);  // posternd has ended, and with it all channels
}

[[noreturn]] void serve(std::vector<Descriptor> channels, const std::string& config_path,
                        const config::Config& config) noexcept {
  Service service(config_path, config);
  std::latch confined(1);
  std::vector<std::thread> threads;  // made before the sandbox, which lets none be made
  for (std::size_t i = 1; i < channels.size(); ++i) {
    threads.emplace_back([&confined, &service, channel = channels[i].get()] {
      confined.wait();
      answer_all(service, channel);
    });
  }
  service.confine_calls();
  confined.count_down();
  answer_all(service, channels.front().get());
}

// --- in posternd ---

using certs::Wish;

/// Answers that are here already; what else is asked goes to `rest`.
class Fetched final : public certs::FileSource {
 public:
  Fetched(certs::FileSource& rest, std::vector<Wish> wishes, std::string message)
      : rest_(rest), wishes_(std::move(wishes)), message_(std::move(message)) {
    BinaryReader fields(message_);
    answers_.reserve(wishes_.size());
    for (std::size_t i = 0; i < wishes_.size(); ++i) answers_.push_back(fields.view());
  }

  Result<certs::FileState> state(const std::string& path) override {
    const auto answer = find(Wish::What::State, path);
    return answer.empty() ? rest_.state(path) : state_in(answer);
  }
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override {
    const auto answer = find(Wish::What::Read, path);
    return answer.empty() ? rest_.read(path, octets_max) : contents_in(answer);
  }
  Result<certs::Listing> list(const std::string& path) override {
    const auto answer = find(Wish::What::List, path);
    return answer.empty() ? rest_.list(path) : listing_in(answer);
  }
  std::optional<std::string> link_target(const std::string& path) override {
    const auto answer = find(Wish::What::LinkTarget, path);
    return answer.empty() ? rest_.link_target(path) : target_in(answer);
  }

  static std::optional<std::string> target_in(std::string_view answer) {
    auto target = link_target_in(answer);
    return target ? std::optional(std::move(*target)) : std::nullopt;
  }

 private:
  /// They are asked for in about the order in which they were wished for.
  std::string_view find(Wish::What what, const std::string& path) {
    for (std::size_t tried = 0; tried < answers_.size(); ++tried, at_ = (at_ + 1) % answers_.size()) {
      if (wishes_[at_].what == what && wishes_[at_].path == path) return answers_[at_];
    }
    return {};
  }

  certs::FileSource& rest_;
  std::vector<Wish> wishes_;
  std::string message_;
  std::vector<std::string_view> answers_;  // in `message_`; empty: none
  std::size_t at_ = 0;
};

/// As many requests as there are channels are answered at once; others wait.
class Channels {
 public:
  explicit Channels(std::vector<Descriptor> channels) : idle_(std::move(channels)) {}

  /// Nothing when the other end is gone.
  std::optional<std::string> ask(const BinaryWriter& request) {
    const Taken channel(*this);
    if (!send_message(channel.get(), request)) return std::nullopt;
    return receive_message(channel.get(), answer_octets_max);
  }

 private:
  class Taken {
   public:
    explicit Taken(Channels& from) : from_(from), channel_(-1) {
      std::unique_lock lock(from_.mutex_);
      from_.given_back_.wait(lock, [this] { return !from_.idle_.empty(); });
      channel_ = std::move(from_.idle_.back());
      from_.idle_.pop_back();
    }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    ~Taken() {
      {
        const std::lock_guard lock(from_.mutex_);
        from_.idle_.push_back(std::move(channel_));
      }
      from_.given_back_.notify_one();
    }
    int get() const { return channel_.get(); }

   private:
    Channels& from_;
    Descriptor channel_;
  };

  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<Descriptor> idle_;
};

class Client final : public LoaderFiles {
 public:
  explicit Client(std::vector<Descriptor> channels) : channels_(std::move(channels)) {}

  Result<certs::FileState> state(const std::string& path) override {
    const auto answer = channels_.ask(question({Wish::What::State, path}));
    return answer ? state_in(*answer) : fail_with(has_ended(path));
  }
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override {
    const auto answer = channels_.ask(question({Wish::What::Read, path, octets_max}));
    return answer ? contents_in(*answer) : fail_with(has_ended(path));
  }
  Result<certs::Listing> list(const std::string& path) override {
    const auto answer = channels_.ask(question({Wish::What::List, path}));
    return answer ? listing_in(*answer) : fail_with(has_ended(path));
  }
  std::optional<std::string> link_target(const std::string& path) override {
    const auto answer = channels_.ask(question({Wish::What::LinkTarget, path}));
    return answer ? Fetched::target_in(*answer) : std::nullopt;
  }
  std::unique_ptr<certs::FileSource> ahead(const Wishes& wanted) override {
    std::vector<Wish> wishes = wanted();
    auto all = questions(wishes);
    auto answers = channels_.ask(all.request);
    wishes.resize(all.asked);
    return std::make_unique<Fetched>(*this, std::move(wishes), answers ? std::move(*answers) : std::string());
  }
  std::vector<std::string> configuration_changed() override {
    const auto answer = channels_.ask(reconfigure());
    return answer ? out_of_reach_in(*answer) : std::vector<std::string>();
  }

 private:
  static Error has_ended(const std::string& path) {
    return {path + ": the process that reads certificate files has ended: restart posternd, or have it replaced (SIGUSR2)"};
  }

  Channels channels_;
};

/// One for each thread that loads certificates.
unsigned channel_count() { return std::min(helper_count() + 1, 4u); }

}  // namespace

Result<std::shared_ptr<LoaderFiles>> start_loader_process(const std::string& config_path, const config::Config& config,
                                                          const std::optional<RunAs>& who) {
  std::vector<Descriptor> ours, theirs;
  for (unsigned i = 0; i < channel_count(); ++i) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return fail("the loader process: {}", std::generic_category().message(errno));
    }
    ours.emplace_back(ends[0]);
    theirs.emplace_back(ends[1]);
  }
  const pid_t child = ::fork();
  if (child < 0) return fail("the loader process: {}", std::generic_category().message(errno));
  if (child != 0) return std::shared_ptr<LoaderFiles>(std::make_shared<Client>(std::move(ours)));
  ours.clear();
  ::prctl(PR_SET_NAME, "postern-loader", 0, 0, 0);
  // Signals are for posternd, which a terminal or a service manager sends them to as well; this one ends after it.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  if (const auto became = become_reader(who); !became) ::_exit(1);  // posternd says that it has ended
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  serve(std::move(theirs), config_path, config);
}

}  // namespace postern::app
