#include "daemon/tool/dns_lookup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"

namespace postern::tool {

namespace {

constexpr std::size_t questions_at_a_time = 64;
constexpr std::uint16_t dns_port = 53;

mtasts::ResolverTrust trust_in_resolv_conf() {
  std::ifstream file("/etc/resolv.conf");
  bool all_here = true;
  bool any = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "nameserver" && words >> word) {
      const auto address = IpAddress::parse(word);
      any = true;
      all_here = all_here && address && address->is_loopback();
    }
    if (word != "options") continue;
    while (words >> word) {
      if (word == "trust-ad") return mtasts::ResolverTrust::Trusted;
    }
  }
  return any && all_here ? mtasts::ResolverTrust::Trusted : mtasts::ResolverTrust::Untrusted;
}

}  // namespace

struct DnsLookup::State {
  uv::Loop loop;
  uv::Resolver resolver;

  explicit State(std::vector<Endpoint> servers)
      : resolver(loop, {.servers = std::move(servers),
                        .timeout = std::chrono::seconds(3),
                        .tries = 3,
                        .failures = uv::Resolver::Options::Failures::Told}) {}

  struct Batch {
    const std::vector<Question>& questions;
    std::vector<Result<dns::Answer>> answers;
    std::size_t next = 0, open = 0;
  };

  void ask_more(Batch& batch) {
    while (batch.open < questions_at_a_time && batch.next < batch.questions.size()) {
      const std::size_t number = batch.next++;
      const Question& question = batch.questions[number];
      ++batch.open;
      resolver.query(question.name, static_cast<std::uint16_t>(question.type), [this, &batch, number](auto message) {
        batch.answers[number] = message ? dns::read_answer(*message, batch.questions[number].type)
                                        : Result<dns::Answer>(fail_with(message.error()));
        --batch.open;
        ask_more(batch);
      });
    }
    if (batch.open == 0) loop.stop();
  }
};

DnsLookup::DnsLookup(std::vector<Endpoint> servers)
    : trust_(servers.empty() ? trust_in_resolv_conf() : mtasts::ResolverTrust::Trusted) {
  state_ = std::make_unique<State>(std::move(servers));
}

DnsLookup::~DnsLookup() = default;

std::vector<Result<dns::Answer>> DnsLookup::ask(const std::vector<Question>& questions) {
  State::Batch batch{questions, std::vector<Result<dns::Answer>>(questions.size())};
  if (questions.empty()) return {};
  state_->ask_more(batch);
  state_->loop.run();
  return std::move(batch.answers);
}

Result<std::vector<Endpoint>> resolver_endpoints(const std::vector<std::string>& texts) {
  std::vector<Endpoint> endpoints;
  for (const std::string& text : texts) {
    if (const auto endpoint = Endpoint::parse(text)) {
      endpoints.push_back(*endpoint);
    } else if (const auto address = IpAddress::parse(text)) {
      endpoints.push_back({*address, dns_port});
    } else {
      return fail("--resolver: expected an address such as 192.0.2.1 or [2001:db8::1]:53, found \"{}\"", escaped(text, 80));
    }
  }
  return endpoints;
}

Result<dns::Answer> joined(Result<dns::Answer> a, Result<dns::Answer> aaaa) {
  if (!a) return aaaa && !aaaa->addresses.empty() ? std::move(aaaa) : std::move(a);
  if (!aaaa) return a->addresses.empty() ? std::move(aaaa) : std::move(a);
  a->addresses.insert(a->addresses.end(), aaaa->addresses.begin(), aaaa->addresses.end());
  a->authentic = a->authentic && aaaa->authentic;
  return a;
}

}  // namespace postern::tool
