// posternd, the daemon: its command line and exit codes. CLI11 is a large header: nothing else of the daemon includes it.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "daemon/app/check.h"
#include "daemon/app/daemon.h"
#include "daemon/usage_error.h"

int main(int argc, char** argv) {
  using postern::app::Exit;
  CLI::App app("Takes inbound mail, serves each sender the certificate of the host name that it asks for, and hands "
               "messages on. Runs in the foreground and logs to stderr.",
               "posternd");
  app.set_version_flag("--version", "posternd " POSTERN_VERSION);
  app.footer("SIGHUP reloads; SIGUSR1 opens the log file anew; SIGUSR2 has a new posternd take over; SIGTERM and SIGINT end it in order.\n"
             "Exit codes: 0 all is well, 1 it failed or something has a fault, 2 wrong usage or configuration.\n"
             "See posternd(8) and postern.toml(5).");
  std::string config = "/etc/postern/posternd.toml";
  app.add_option("-c,--config", config, "The configuration")->type_name("FILE")->capture_default_str();
  bool check = false;
  auto* check_flag = app.add_flag("--check", check, "Read the configuration and every certificate file, say what is wrong, and exit");
  std::string user;
  app.add_option("--user", user, "With --check: what this user may read (needs root)")->type_name("NAME")->needs(check_flag);

  app.failure_message(postern::usage_error(argc, argv));

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) {  // --help and --version come this way too
    return app.exit(end) == 0 ? 0 : static_cast<int>(Exit::ConfigurationError);
  }
  if (!user.empty()) {
    if (const std::string failure = postern::app::become_user(user); !failure.empty()) {
      std::fprintf(stderr, "posternd: %s\n", failure.c_str());
      return static_cast<int>(Exit::ConfigurationError);
    }
  }
  return static_cast<int>(check ? postern::app::check(config)
                                : postern::app::run(config, postern::app::invocation(argc, argv)));
}
