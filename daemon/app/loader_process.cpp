#include "daemon/app/loader_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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

namespace postern::app {

namespace {

using certs::BinaryReader;
using certs::BinaryWriter;

enum class Operation : std::uint64_t { State, Read, List, LinkTarget, Reconfigure };

constexpr std::uint64_t request_octets_max = 16 * 1024;
constexpr std::uint64_t file_octets_max = 256 * 1024 * 1024;  // a map of 10^6 names is a third of it
constexpr std::uint64_t answer_octets_max = 2 * file_octets_max;

void add(BinaryWriter& message, const certs::FileState& state) {
  for (const std::uint64_t number : {state.device, state.inode, state.size, static_cast<std::uint64_t>(state.mtime_ns),
                                     static_cast<std::uint64_t>(state.ctime_ns)}) {
    message.number(number);
  }
}

certs::FileState file_state(BinaryReader& fields) {
  certs::FileState state;
  state.device = fields.number();
  state.inode = fields.number();
  state.size = fields.number();
  state.mtime_ns = static_cast<std::int64_t>(fields.number());
  state.ctime_ns = static_cast<std::int64_t>(fields.number());
  return state;
}

/// 1 and what `write` adds, or 0 and what went wrong.
template <class T, class Write>
BinaryWriter answer_of(const Result<T>& result, Write write) {
  BinaryWriter answer;
  answer.number(result ? 1u : 0u);
  if (result) {
    write(answer, *result);
  } else {
    answer.text(result.error().text);
  }
  return answer;
}

// --- in the child ---

BinaryWriter carry_out(Operation operation, BinaryReader& fields, GuardedFiles& files) {
  const std::string path = fields.text();
  switch (operation) {
    case Operation::State:
      return answer_of(files.state(path), [](BinaryWriter& answer, const certs::FileState& state) { add(answer, state); });
    case Operation::Read: {
      const auto octets_max = std::min(fields.number(), file_octets_max);
      return answer_of(files.read(path, octets_max), [](BinaryWriter& answer, const certs::FileContents& contents) {
        add(answer, contents.state);
        answer.text(contents.bytes);
      });
    }
    case Operation::List:
      return answer_of(files.list(path), [](BinaryWriter& answer, const std::vector<certs::DirectoryEntry>& entries) {
        answer.number(entries.size());
        for (const auto& entry : entries) {
          answer.text(entry.name);
          answer.number(entry.is_directory ? 1u : 0u);
          answer.number(entry.may_be_link ? 1u : 0u);
          answer.number(entry.dangling ? 1u : 0u);
        }
      });
    case Operation::LinkTarget: {
      const auto target = files.link_target(path);
      BinaryWriter answer;
      answer.number(target ? 1u : 0u);
      answer.text(target ? *target : "");
      return answer;
    }
    case Operation::Reconfigure: break;
  }
  return answer_of(Result<void*>(fail("an operation that does not exist")), [](BinaryWriter&, void*) {});
}

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
    const auto operation = static_cast<Operation>(fields.number());
    BinaryWriter answer;
    if (operation == Operation::Reconfigure) {
      const auto parsed = read_configuration(config_path, config_folders);
      if (parsed.config) files = std::make_unique<GuardedFiles>(needed_files(*parsed.config));
      const auto out_of_reach = beyond(fence, reach_of_loader(*files, config_folders));
      answer.number(1);
      answer.number(out_of_reach.size());
      for (const std::string& sentence : out_of_reach) answer.text(sentence);
    } else {
      answer = carry_out(operation, fields, *files);
    }
    if (!send_message(descriptor, std::move(answer))) break;
  }
  ::_exit(0);
}

// --- in posternd ---

class Client final : public LoaderFiles {
 public:
  explicit Client(int descriptor) : descriptor_(descriptor) {}

  Result<certs::FileState> state(const std::string& path) override {
    return ask<certs::FileState>(Operation::State, path, 0, file_state);
  }
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override {
    return ask<certs::FileContents>(Operation::Read, path, octets_max, [](BinaryReader& fields) {
      certs::FileContents contents{file_state(fields), {}};
      contents.bytes = fields.text();
      return contents;
    });
  }
  Result<std::vector<certs::DirectoryEntry>> list(const std::string& path) override {
    return ask<std::vector<certs::DirectoryEntry>>(Operation::List, path, 0, [](BinaryReader& fields) {
      std::vector<certs::DirectoryEntry> entries;
      for (auto left = fields.count(); left > 0; --left) {
        certs::DirectoryEntry entry{fields.text(), false};
        entry.is_directory = fields.number() != 0;
        entry.may_be_link = fields.number() != 0;
        entry.dangling = fields.number() != 0;
        entries.push_back(std::move(entry));
      }
      return entries;
    });
  }
  std::optional<std::string> link_target(const std::string& path) override {
    auto target = ask<std::string>(Operation::LinkTarget, path, 0, [](BinaryReader& fields) { return fields.text(); });
    return target ? std::optional(std::move(*target)) : std::nullopt;
  }
  std::vector<std::string> configuration_changed() override {
    return ask<std::vector<std::string>>(Operation::Reconfigure, {}, 0, [](BinaryReader& fields) {
             std::vector<std::string> sentences;
             for (auto left = fields.count(); left > 0; --left) sentences.push_back(fields.text());
             return sentences;
           })
        .value_or(std::vector<std::string>());
  }

 private:
  template <class T, class Decode>
  Result<T> ask(Operation operation, const std::string& path, std::uint64_t octets_max, Decode decode) {
    BinaryWriter request;
    request.number(static_cast<std::uint64_t>(operation));
    request.text(path);
    request.number(octets_max);
    std::optional<std::string> answer;
    {
      const std::lock_guard lock(mutex_);
      if (send_message(descriptor_.get(), std::move(request))) answer = receive_message(descriptor_.get(), answer_octets_max);
    }
    if (!answer) return fail("{}: the process that reads certificate files has ended: restart posternd", path);
    BinaryReader fields(*answer);
    if (fields.number() == 0) return fail("{}", fields.text());
    return decode(fields);
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
