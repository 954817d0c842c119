// bench-load: drives posternd, and stands in for its store. tests/bench/daemon_bench.py calls it.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "base/text.h"
#include "tests/bench/load/runs.h"

namespace {

using namespace postern;

constexpr const char* usage = R"(Usage: bench-load RUN [--KEY VALUE]...

  sessions   --to HOST:PORT --count N [--concurrency N] [--tls yes] [--names FILE]
  messages   --to HOST:PORT --count N --octets N --recipient ADDRESS [--recipients N] [--concurrency N] [--tls yes]
             [--names FILE]
  visits     as messages, each in a session of its own
  noops      --to HOST:PORT --count N [--concurrency N] [--tls yes] [--names FILE]
  idle       --to HOST:PORT --count N [--tls yes] [--names FILE]
  packets    --to HOST:PORT --count N [--concurrency N]
  responder  --listen HOST:PORT
  sink       --listen HOST:PORT

Hosts are IP addresses. --tls yes is STARTTLS, --tls at-once is TLS from the first octet on. --names is a file of host names for SNI, one a line.
)";

using Values = std::map<std::string, std::string, std::less<>>;

std::string text_of(const Values& values, std::string_view key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string() : found->second;
}

std::size_t number_of(const Values& values, std::string_view key, std::size_t otherwise) {
  return parse_decimal(text_of(values, key)).value_or(otherwise);
}

bench::Target target_of(const Values& values, const Endpoint& to) {
  bench::Target target;
  target.to = to;
  const std::string tls = text_of(values, "tls");
  if (tls == "yes" || tls == "at-once") target.tls = tls::ClientContext::make({}).value();
  if (tls == "at-once") target.begin = bench::Security::Begin::AtOnce;
  std::ifstream names(text_of(values, "names"));
  for (std::string line; std::getline(names, line);) {
    if (const auto name = DnsName::parse(line)) target.names.push_back(*name);
  }
  return target;
}

int run(std::string_view what, const Values& values) {
  const auto at = Endpoint::parse(text_of(values, "listen"));
  if (at && what == "responder") return bench::run_null_responder(*at);
  if (at && what == "sink") return bench::run_sink(*at);

  const auto to = Endpoint::parse(text_of(values, "to"));
  const std::size_t count = number_of(values, "count", 0);
  const std::size_t concurrency = number_of(values, "concurrency", 8);
  if (to && count > 0 && what == "sessions") return bench::run_sessions(target_of(values, *to), count, concurrency);
  if (to && count > 0 && what == "noops") return bench::run_noops(target_of(values, *to), count, concurrency);
  if (to && count > 0 && what == "idle") return bench::run_idle(target_of(values, *to), count);
  if (to && count > 0 && what == "packets") return bench::run_packets(*to, count, concurrency);
  if (to && count > 0 && (what == "messages" || what == "visits")) {
    const bench::Messages messages{count, number_of(values, "octets", 4096), text_of(values, "recipient"),
                                   number_of(values, "recipients", 1), number_of(values, "concurrency", 1)};
    const auto target = target_of(values, *to);
    return what == "visits" ? bench::run_visits(target, messages) : bench::run_messages(target, messages);
  }
  std::fputs(usage, stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  Values values;
  for (int n = 2; n + 1 < argc; n += 2) {
    const std::string_view key = argv[n];
    if (key.starts_with("--")) values.emplace(key.substr(2), argv[n + 1]);
  }
  return run(argc > 1 ? argv[1] : "", values);
}
