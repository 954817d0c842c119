#include "daemon/app/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace postern::app {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t descriptors_a_message = 200;  // the kernel takes 253
constexpr std::size_t octets_a_message = 64 * 1024;
constexpr int first_passed_descriptor = 3;
// Whoever has taken posternd over cannot fill the machine with its successors.
constexpr unsigned seconds_between_starts = 1;

std::string reason(int error) { return std::generic_category().message(error); }

/// The first octet says whether more follows, the rest are names, one for each descriptor.
enum class Part : char { More = 'm', Last = 'l' };

/// A message with room for descriptors beside its text.
struct Envelope {
  explicit Envelope(std::string& text) : content{text.data(), text.size()} {
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = sizeof room;
  }
  Envelope(const Envelope&) = delete;
  Envelope& operator=(const Envelope&) = delete;

  iovec content;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(descriptors_a_message * sizeof(int))> room{};
  msghdr message{};
};

bool send_part(int socket, Part part, const std::string& names, std::span<const int> descriptors) {
  std::string text(1, static_cast<char>(part));
  text += names;
  Envelope envelope(text);
  msghdr& message = envelope.message;
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
}

// --- in the child ---

struct Request {
  std::vector<int> descriptors;
  std::string names;
};

/// Nothing when posternd has ended.
std::optional<Request> receive(int socket) {
  Request request;
  for (;;) {
    std::string text(octets_a_message, '\0');
    Envelope envelope(text);
    msghdr& message = envelope.message;
    const ssize_t length = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return std::nullopt;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      const std::size_t before = request.descriptors.size();
      request.descriptors.resize(before + count);
      std::memcpy(request.descriptors.data() + before, CMSG_DATA(header), count * sizeof(int));
    }
    request.names += text.substr(1, static_cast<std::size_t>(length) - 1);
    if (static_cast<Part>(text[0]) == Part::Last) return request;
  }
}

/// From 3 on, as sd_listen_fds(3) has it.
bool arrange(const std::vector<int>& descriptors) {
  std::vector<int> away;
  const int beyond = first_passed_descriptor + static_cast<int>(descriptors.size());
  for (const int descriptor : descriptors) away.push_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, beyond));
  int place = first_passed_descriptor;
  return std::all_of(away.begin(), away.end(), [&place](int from) { return from >= 0 && ::dup2(from, place++) >= 0; });
}

[[noreturn]] void become_successor(const Request& request, const Invocation& invocation) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ}) std::signal(number, SIG_DFL);
  const auto sockets = request.descriptors.size() - 2;
  const std::string self = std::to_string(::getpid());
  const int handover = first_passed_descriptor + static_cast<int>(sockets);
  ::setenv("LISTEN_FDS", std::to_string(sockets).c_str(), 1);
  ::setenv("LISTEN_PID", self.c_str(), 1);
  ::setenv("LISTEN_FDNAMES", request.names.c_str(), 1);
  ::setenv(predecessor_variable, fmt::format("{} {}", handover, handover + 1).c_str(), 1);
  if (std::getenv("WATCHDOG_PID") != nullptr) ::setenv("WATCHDOG_PID", self.c_str(), 1);
  std::vector<char*> words;
  for (const std::string& word : invocation.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  if (arrange(request.descriptors)) ::execv(invocation.program.c_str(), words.data());
  std::fprintf(stderr, "posternd: %s cannot be started: %s\n", invocation.program.c_str(), reason(errno).c_str());
  ::_exit(127);
}

/// As nobody's child, so that a service manager may look after it.
void start_successor(const Request& request, const Invocation& invocation) {
  const pid_t between = ::fork();
  if (between == 0) {
    if (::fork() != 0) ::_exit(0);
    become_successor(request, invocation);
  }
  int status = 0;
  while (between > 0 && ::waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void serve(int socket, const Invocation& invocation) {
  while (const auto request = receive(socket)) {
    if (request->descriptors.size() >= 2) start_successor(*request, invocation);
    for (const int descriptor : request->descriptors) ::close(descriptor);
    ::sleep(seconds_between_starts);
  }
  ::_exit(0);
}

}  // namespace

Invocation invocation(int argc, const char* const* argv) {
  Invocation made;
  made.words.assign(argv, argv + argc);
  std::error_code error;
  const bool is_path = !made.words.empty() && made.words.front().find('/') != std::string::npos;
  made.program = (is_path ? fs::absolute(made.words.front(), error) : fs::read_symlink("/proc/self/exe", error)).string();
  return made;
}

Result<Launcher> Launcher::start(const Invocation& invocation) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail("the launcher: {}", reason(errno));
  }
  const pid_t child = ::fork();
  if (child < 0) return fail("the launcher: {}", reason(errno));
  if (child != 0) {
    ::close(ends[1]);
    return Launcher(ends[0]);
  }
  ::close(ends[0]);
  ::prctl(PR_SET_NAME, "postern-launch", 0, 0, 0);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  serve(ends[1], invocation);
}

Result<void> Launcher::launch(const std::vector<ListeningSockets::Passed>& sockets, int handover, int ledger) {
  std::vector<int> descriptors;
  for (const auto& socket : sockets) descriptors.push_back(socket.descriptor);
  descriptors.insert(descriptors.end(), {handover, ledger});
  for (std::size_t at = 0; at < descriptors.size(); at += descriptors_a_message) {
    const std::span part(descriptors.begin() + static_cast<std::ptrdiff_t>(at),
                         std::min(descriptors_a_message, descriptors.size() - at));
    std::string names;
    for (std::size_t i = at; i < std::min(at + part.size(), sockets.size()); ++i) {
      names += (i == 0 ? "" : ":") + sockets[i].name;
    }
    const bool last = at + part.size() == descriptors.size();
    if (!send_part(descriptor_.get(), last ? Part::Last : Part::More, names, part)) {
      return fail("the process that starts a new posternd has ended ({})", reason(errno));
    }
  }
  return {};
}

}  // namespace postern::app
