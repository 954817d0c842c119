#include "mtasts/policy_host.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

PolicyTable example() {
  auto policy = std::make_shared<Policy>();
  policy->mx = {*MxPattern::parse("mx.example.com")};
  PolicyTable table;
  table.add(*DnsName::parse("example.com"), policy);
  return table;
}

http::Response ask(std::string host, std::string target = "/.well-known/mta-sts.txt", std::string method = "GET") {
  http::Request request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.host = std::move(host);
  return answer_policy_request(request, example());
}

}  // namespace

TEST_CASE("the policy of a domain stands at its well-known place", "[policy_host]") {
  const auto response = ask("mta-sts.example.com");
  CHECK(response.status == 200);
  CHECK(response.content_type == "text/plain");
  CHECK(response.body == "version: STSv1\r\nmode: testing\r\nmx: mx.example.com\r\nmax_age: 604800\r\n");
  CHECK(ask("MTA-STS.Example.COM:443").status == 200);
  CHECK(ask("mta-sts.example.com", "/.well-known/mta-sts.txt", "HEAD").status == 200);
}

TEST_CASE("everything else is not there", "[policy_host]") {
  for (const char* host : {"example.com", "mta-sts.example.org", "mta-sts.", "192.0.2.1", "", "mta-sts.mta-sts.example.com",
                           "www.mta-sts.example.com", "[::1]:443", "mta-sts.example.com/../x"}) {
    CHECK(ask(host).status == 404);
  }
  for (const char* target : {"/", "/.well-known/mta-sts.txt?x", "/.well-known/MTA-STS.txt", "/.well-known//mta-sts.txt",
                             "https://mta-sts.example.com/.well-known/mta-sts.txt", "*"}) {
    CHECK(ask("mta-sts.example.com", target).status == 404);
  }
  CHECK(ask("mta-sts.example.com", "/.well-known/mta-sts.txt", "POST").status == 404);
}
