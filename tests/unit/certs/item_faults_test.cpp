#include "certs/loader.h"

#include <fmt/format.h>

#include <thread>

#include "tests/support/catch.h"
#include "tests/unit/certs/loader_bench.h"

using namespace postern;
using namespace postern::certs;
using test::ca;
using test::day;
using test::issue;
using test::issue_between;
using test::issue_rsa;
using test::second;
using tls::KeyKind;
using Bench = test::LoaderBench;

TEST_CASE("an entry that was never good is told with its names") {
  Bench bench;
  bench.settings.certificates = {
      {.id = "", .names = {"mx.example", "mx2.example"}, .chain = "/no.crt", .key = "/no.key", .origin = "postern.toml:7:1"}};
  bench.files.put("/live/b.example/fullchain.pem", issue({"b.example"}).chain_pem());
  bench.settings.directories = {"/live"};
  bench.load();
  CHECK(bench.has_fault("postern.toml:7:1: /no.crt: does not exist; no certificate from here for mx.example, mx2.example"));
  CHECK(bench.has_fault("/live/b.example/privkey.pem: does not exist; no certificate from here for b.example"));
  CHECK(bench.last.snapshot->name_count() == 0);
}

TEST_CASE("a chain that lacks an issuer is served, listed and reported once", "[anchors]") {
  Bench bench;
  bench.settings.directories = {"/live"};
  bench.settings.roots = "/roots.pem";
  bench.settings.load = GENERATE(Load::Eager, Load::Lazy);
  bench.files.put("/roots.pem", ca().root_pem());
  const auto inner = ca().intermediate("Inner");
  const auto issued = inner.issue({.names = {"mx.example.com"}});
  bench.files.put_pair("/live/mx.example.com", issued);
  CHECK(bench.load().standing.empty());

  bench.files.put("/live/mx.example.com/fullchain.pem", issued.certificate_pem);
  bench.load();
  CHECK(bench.served("mx.example.com") == "/live/mx.example.com/fullchain.pem");
  CHECK(bench.has_fault("/live/mx.example.com/fullchain.pem: its certificate was issued by Inner, which is neither in "
                        "the file nor among the trust anchors of /roots.pem"));
  const auto page = bench.loader.rows(*bench.last.snapshot, {.text = {}, .state = RowState::Incomplete, .ends_before = {}},
                                      0, 10, bench.now);
  REQUIRE(page.rows.size() == 1);
  CHECK_THAT(page.rows[0].reason, Catch::Matchers::Contains("issued by Inner"));
  CHECK(bench.load().faults.empty());
  CHECK(bench.last.standing.size() == 1);

  bench.files.put("/roots.pem", ca().root_pem() + inner.certificate_pem());
  CHECK(bench.load().standing.empty());
  bench.files.remove("/roots.pem");
  bench.load();
  CHECK(bench.has_fault("/roots.pem: does not exist; the trust anchors that were read before stay"));
  CHECK(bench.last.standing.size() == 1);
  CHECK(bench.load().faults.empty());
}

TEST_CASE("an expired certificate is served, and is an error from the moment on") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue_between({"a.example"}, bench.now - day, bench.now + day));
  bench.settings.directories = {"/live"};
  CHECK(bench.load().standing.empty());
  bench.load(day);
  CHECK(bench.served("a.example") != "-");
  REQUIRE(bench.last.faults.size() == 1);
  CHECK(bench.last.faults[0].severity == Fault::Severity::Error);
  CHECK(bench.has_fault("a.example has expired on 2026-01-02"));
  CHECK(bench.load(day).faults.empty());
  CHECK(bench.last.standing.size() == 1);
  CHECK(bench.last.files_read == 0);
}

TEST_CASE("other PEM files in a folder are warnings, not errors") {
  Bench bench;
  bench.files.put("/certs/a.example.pem", issue({"a.example"}).combined_pem());
  bench.files.put("/certs/roots.pem", ca().root_pem());
  bench.files.put("/certs/notes.pem", "nothing");
  bench.settings.directories = {"/certs"};
  bench.load();
  CHECK(bench.last.snapshot->name_count() == 1);
  CHECK(bench.has_fault("/certs/roots.pem: holds a certificate without its private key"));
  CHECK(bench.has_fault("/certs/notes.pem: holds no certificate"));
  for (const auto& fault : bench.last.faults) CHECK(fault.severity == Fault::Severity::Warning);
}

TEST_CASE("many broken entries do not keep the good ones away, on several threads") {
  Bench bench;
  const auto good = issue({"*.example"});
  for (int i = 0; i < 300; ++i) {
    bench.files.put(fmt::format("/certs/c{}.pem", i), i % 3 == 0 ? good.combined_pem() : good.certificate_pem + "x");
  }
  bench.files.put("/certs/mx.good.example.pem", issue({"mx.good.example"}).combined_pem());
  bench.settings.directories = {"/certs"};
  std::size_t batches = 0;
  bench.last = bench.loader.load(bench.settings, bench.now, [&](Tasks& tasks) {
    batches = std::max(batches, tasks.size());
    std::vector<std::thread> threads;
    for (auto& task : tasks) threads.emplace_back([&task] { task(); });
    for (auto& thread : threads) thread.join();
  });
  CHECK(batches == 5);
  CHECK(bench.served("mx.good.example") == "/certs/mx.good.example.pem");
  std::size_t without_key = 0;
  for (const auto& fault : bench.last.standing) without_key += fault.text.find("without its private key") != std::string::npos;
  CHECK(without_key == 200);
}
