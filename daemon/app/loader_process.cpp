#include "daemon/app/loader_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "config/from_toml.h"
#include "daemon/app/guarded_files.h"

namespace postern::app {

namespace {

enum class Operation : std::uint64_t { State, Read, List, LinkTarget, Reconfigure };

/// A message: fields of a length and their octets, numbers as fields of eight.
class Message {
 public:
  void add(std::string_view field) {
    add_number_raw(field.size());
    text_ += field;
  }
  void add(std::uint64_t number) { add_number_raw(number); }
  const std::string& text() const { return text_; }

 private:
  void add_number_raw(std::uint64_t number) { text_.append(reinterpret_cast<const char*>(&number), sizeof number); }
  std::string text_;
};

/// Reads a message's fields; whatever does not fit reads as nothing.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}
  std::uint64_t number() {
    std::uint64_t number = 0;
    if (rest_.size() < sizeof number) return 0;
    std::memcpy(&number, rest_.data(), sizeof number);
    rest_.remove_prefix(sizeof number);
    return number;
  }
  std::string string() {
    const auto length = std::min<std::uint64_t>(number(), rest_.size());
    std::string made(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return made;
  }

 private:
  std::string_view rest_;
};

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool read_all(int descriptor, char* into, std::size_t size) {
  while (size > 0) {
    const auto count = ::recv(descriptor, into, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    into += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

bool send_message(int descriptor, const Message& message) {
  Message framed;
  framed.add(message.text());
  return write_all(descriptor, framed.text());
}

std::optional<std::string> receive_message(int descriptor, std::uint64_t octets_max) {
  std::uint64_t length = 0;
  if (!read_all(descriptor, reinterpret_cast<char*>(&length), sizeof length) || length > octets_max) return std::nullopt;
  std::string message(length, '\0');
  if (!read_all(descriptor, message.data(), message.size())) return std::nullopt;
  return message;
}

constexpr std::uint64_t request_octets_max = 16 * 1024;
constexpr std::uint64_t file_octets_max = 256 * 1024 * 1024;  // a map of 10^6 names is a third of it
constexpr std::uint64_t answer_octets_max = 2 * file_octets_max;

void add(Message& message, const certs::FileState& state) {
  for (const std::uint64_t number : {state.device, state.inode, state.size, static_cast<std::uint64_t>(state.mtime_ns),
                                     static_cast<std::uint64_t>(state.ctime_ns)}) {
    message.add(number);
  }
}

certs::FileState file_state(Fields& fields) {
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
Message answer_of(const Result<T>& result, Write write) {
  Message answer;
  answer.add(std::uint64_t{result ? 1u : 0u});
  if (result) {
    write(answer, *result);
  } else {
    answer.add(std::string_view(result.error().text));
  }
  return answer;
}

// --- in the child ---

Message carry_out(Operation operation, Fields& fields, GuardedFiles& files) {
  const std::string path = fields.string();
  switch (operation) {
    case Operation::State:
      return answer_of(files.state(path), [](Message& answer, const certs::FileState& state) { add(answer, state); });
    case Operation::Read: {
      const auto octets_max = std::min(fields.number(), file_octets_max);
      return answer_of(files.read(path, octets_max), [](Message& answer, const certs::FileContents& contents) {
        add(answer, contents.state);
        answer.add(std::string_view(contents.bytes));
      });
    }
    case Operation::List:
      return answer_of(files.list(path), [](Message& answer, const std::vector<certs::DirectoryEntry>& entries) {
        answer.add(entries.size());
        for (const auto& entry : entries) {
          answer.add(std::string_view(entry.name));
          answer.add(std::uint64_t{entry.is_directory ? 1u : 0u});
          answer.add(std::uint64_t{entry.may_be_link ? 1u : 0u});
          answer.add(std::uint64_t{entry.dangling ? 1u : 0u});
        }
      });
    case Operation::LinkTarget: {
      const auto target = files.link_target(path);
      Message answer;
      answer.add(std::uint64_t{target ? 1u : 0u});
      answer.add(std::string_view(target ? *target : ""));
      return answer;
    }
    case Operation::Reconfigure: break;
  }
  return answer_of(Result<void*>(fail("an operation that does not exist")), [](Message&, void*) {});
}

[[noreturn]] void serve(int descriptor, const std::string& config_path, const config::Config& config) {
  auto files = std::make_unique<GuardedFiles>(needed_files(config));
  while (const auto request = receive_message(descriptor, request_octets_max)) {
    Fields fields(*request);
    const auto operation = static_cast<Operation>(fields.number());
    Message answer;
    if (operation == Operation::Reconfigure) {
      const auto parsed = config::from_toml(config_path, config::process_environment());
      if (parsed.config) files = std::make_unique<GuardedFiles>(needed_files(*parsed.config));
      answer.add(std::uint64_t{1});
    } else {
      answer = carry_out(operation, fields, *files);
    }
    if (!send_message(descriptor, answer)) break;
  }
  ::_exit(0);
}

// --- in posternd ---

class Client final : public LoaderFiles {
 public:
  explicit Client(int descriptor) : descriptor_(descriptor) {}
  ~Client() override { ::close(descriptor_); }

  Result<certs::FileState> state(const std::string& path) override {
    return ask<certs::FileState>(Operation::State, path, 0, file_state);
  }
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override {
    return ask<certs::FileContents>(Operation::Read, path, octets_max, [](Fields& fields) {
      certs::FileContents contents{file_state(fields), {}};
      contents.bytes = fields.string();
      return contents;
    });
  }
  Result<std::vector<certs::DirectoryEntry>> list(const std::string& path) override {
    return ask<std::vector<certs::DirectoryEntry>>(Operation::List, path, 0, [](Fields& fields) {
      std::vector<certs::DirectoryEntry> entries;
      for (auto left = fields.number(); left > 0; --left) {
        certs::DirectoryEntry entry{fields.string(), false};
        entry.is_directory = fields.number() != 0;
        entry.may_be_link = fields.number() != 0;
        entry.dangling = fields.number() != 0;
        entries.push_back(std::move(entry));
      }
      return entries;
    });
  }
  std::optional<std::string> link_target(const std::string& path) override {
    auto target = ask<std::string>(Operation::LinkTarget, path, 0, [](Fields& fields) { return fields.string(); });
    return target ? std::optional(std::move(*target)) : std::nullopt;
  }
  void configuration_changed() override {
    (void)ask<int>(Operation::Reconfigure, {}, 0, [](Fields&) { return 0; });
  }

 private:
  template <class T, class Decode>
  Result<T> ask(Operation operation, const std::string& path, std::uint64_t octets_max, Decode decode) {
    Message request;
    request.add(static_cast<std::uint64_t>(operation));
    request.add(std::string_view(path));
    request.add(octets_max);
    std::optional<std::string> answer;
    {
      const std::lock_guard lock(mutex_);
      if (send_message(descriptor_, request)) answer = receive_message(descriptor_, answer_octets_max);
    }
    if (!answer) return fail("{}: the process that reads certificate files has ended: restart posternd", path);
    Fields fields(*answer);
    if (fields.number() == 0) return fail("{}", fields.string());
    return decode(fields);
  }

  std::mutex mutex_;
  int descriptor_;
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
