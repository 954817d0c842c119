// posternd, the daemon: arguments and exit codes.
#include <cstdio>
#include <string>
#include <string_view>

#include "daemon/app/daemon.h"

namespace {

constexpr const char* usage = R"(Usage: posternd [-c FILE] [--check [--user NAME]]

The inbound SMTP front end: takes mail on the configured listeners, serves each
sender the certificate of the host name it asks for, and hands messages over.

  -c, --config FILE  the configuration (default: /etc/postern/posternd.toml)
      --check        read the configuration and every certificate file, say what
                     is wrong, and exit: 0 nothing, 1 faults, 2 unusable
      --user NAME    with --check: see what this user may read (needs root)
      --version      print the version and exit
  -h, --help         print this help and exit

posternd runs in the foreground and logs to stderr. SIGHUP reloads, SIGTERM and
SIGINT end it in order. See posternd(8) and postern.toml(5).
)";

struct Arguments {
  std::string config = "/etc/postern/posternd.toml";
  bool check = false;
  std::string user;
};

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  const auto wrong = [](const std::string& what) {
    std::fprintf(stderr, "posternd: %s; posternd --help shows what there is\n", what.c_str());
    return 2;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "-h" || argument == "--help") {
      std::fputs(usage, stdout);
      return 0;
    }
    if (argument == "--version") {
      std::puts("posternd " POSTERN_VERSION);
      return 0;
    }
    if (argument == "--check") {
      arguments.check = true;
    } else if (argument == "-c" || argument == "--config" || argument == "--user") {
      if (!has_value) return wrong(std::string(argument) + " needs a value");
      (argument == "--user" ? arguments.user : arguments.config) = argv[++i];
    } else {
      return wrong("unknown argument " + std::string(argument));
    }
  }
  if (!arguments.user.empty() && !arguments.check) return wrong("--user goes with --check only");
  if (!arguments.user.empty()) {
    if (const std::string failure = postern::app::become_user(arguments.user); !failure.empty()) return wrong(failure);
  }
  return static_cast<int>(arguments.check ? postern::app::check(arguments.config) : postern::app::run(arguments.config));
}
