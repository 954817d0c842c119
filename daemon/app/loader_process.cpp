#include "daemon/app/loader_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "certs/binary.h"
#include "daemon/app/confinement.h"
#include "daemon/app/framed_messages.h"
#include "daemon/app/guarded_files.h"
#include "daemon/app/loader_messages.h"

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

/// Where a kernel lacks something, posternd says so, which notices it as well.
FileFence confine_loader(const Reach& reach) {
  auto fence = FileFence::raise(reach);
  (void)filter_calls(Calls::Loader);
  return fence.value_or(FileFence());
}

[[noreturn]] void serve(int descriptor, const std::string& config_path, const config::Config& config) {
  auto files = std::make_unique<GuardedFiles>(needed_files(config));
  FileFence fence;
  std::vector<std::string> config_folders;
  if (config.start.sandbox) {
    (void)read_configuration(config_path, config_folders);
    fence = confine_loader(reach_of_loader(*files, config_folders));
  }
  while (const auto request = receive_message(descriptor, request_octets_max)) {
    BinaryReader fields(*request);
    BinaryWriter answer;
    switch (static_cast<Operation>(fields.number())) {
      case Operation::Question: answer = answer_question(fields, *files); break;
      case Operation::Questions: answer = answer_questions(fields, *files); break;
      case Operation::Reconfigure: {
        const auto parsed = read_configuration(config_path, config_folders);
        if (parsed.config) files = std::make_unique<GuardedFiles>(needed_files(*parsed.config));
        answer = answer_reconfigured(beyond(fence, reach_of_loader(*files, config_folders)));
        break;
      }
    }
    if (!send_message(descriptor, answer)) break;
  }
  ::_exit(0);
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

class Client final : public LoaderFiles {
 public:
  explicit Client(int descriptor) : descriptor_(descriptor) {}

  Result<certs::FileState> state(const std::string& path) override {
    const auto answer = ask(question({Wish::What::State, path}));
    return answer ? state_in(*answer) : fail_with(has_ended(path));
  }
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override {
    const auto answer = ask(question({Wish::What::Read, path, octets_max}));
    return answer ? contents_in(*answer) : fail_with(has_ended(path));
  }
  Result<certs::Listing> list(const std::string& path) override {
    const auto answer = ask(question({Wish::What::List, path}));
    return answer ? listing_in(*answer) : fail_with(has_ended(path));
  }
  std::optional<std::string> link_target(const std::string& path) override {
    const auto answer = ask(question({Wish::What::LinkTarget, path}));
    return answer ? Fetched::target_in(*answer) : std::nullopt;
  }
  std::unique_ptr<certs::FileSource> ahead(const Wishes& wanted) override {
    std::vector<Wish> wishes = wanted();
    auto all = questions(wishes);
    auto answers = ask(all.request);
    wishes.resize(all.asked);
    return std::make_unique<Fetched>(*this, std::move(wishes), answers ? std::move(*answers) : std::string());
  }
  std::vector<std::string> configuration_changed() override {
    const auto answer = ask(reconfigure());
    return answer ? out_of_reach_in(*answer) : std::vector<std::string>();
  }

 private:
  std::optional<std::string> ask(const BinaryWriter& request) {
    const std::lock_guard lock(mutex_);
    if (!send_message(descriptor_.get(), request)) return std::nullopt;
    return receive_message(descriptor_.get(), answer_octets_max);
  }

  static Error has_ended(const std::string& path) {
    return {path + ": the process that reads certificate files has ended: restart posternd"};
  }

  std::mutex mutex_;
  Descriptor descriptor_;
};

}  // namespace

Result<std::shared_ptr<LoaderFiles>> start_loader_process(const std::string& config_path, const config::Config& config,
                                                          const std::optional<RunAs>& who) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail("the loader process: {}", std::generic_category().message(errno));
  }
  const pid_t child = ::fork();
  if (child < 0) return fail("the loader process: {}", std::generic_category().message(errno));
  if (child != 0) {
    ::close(ends[1]);
    return std::shared_ptr<LoaderFiles>(std::make_shared<Client>(ends[0]));
  }
  ::close(ends[0]);
  ::prctl(PR_SET_NAME, "postern-loader", 0, 0, 0);
  // Signals are for posternd, which a terminal or a service manager sends them to as well; this one ends after it.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  if (const auto became = become_reader(who); !became) ::_exit(1);  // posternd says that it has ended
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  serve(ends[1], config_path, config);
}

}  // namespace postern::app
