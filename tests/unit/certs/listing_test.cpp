#include "certs/listing.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/loader_bench.h"

using namespace postern;
using namespace postern::certs;
using test::day;
using test::issue;
using test::issue_between;
using test::issue_rsa;
using test::second;
using tls::KeyKind;
using Strings = std::vector<std::string>;
using Bench = test::LoaderBench;

TEST_CASE("rows and reasons") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example", "www.a.example"}));
  bench.files.put_pair("/live/tenant", issue({"a.example"}));
  bench.files.put_pair("/live/broken", issue({"broken.example"}));
  bench.files.put("/live/broken/privkey.pem", "nothing");
  bench.settings.directories = {"/live"};
  bench.load();
  const auto rows = [&](const RowFilter& filter) {
    std::vector<Row> all;
    std::optional<std::uint64_t> from = 0;
    while (from) {
      auto page = bench.loader.rows(*bench.last.snapshot, filter, *from, 1, bench.now);
      std::move(page.rows.begin(), page.rows.end(), std::back_inserter(all));
      from = page.next;
    }
    return all;
  };
  CHECK(rows({}).size() == 3);
  const auto served = rows({.text = "", .state = RowState::Served, .ends_before = {}});
  REQUIRE(served.size() == 1);
  CHECK(served[0].names.size() == 2);
  CHECK(served[0].served_count == 2);
  const auto shadowed = rows({.text = "tenant", .state = {}, .ends_before = {}});
  REQUIRE(shadowed.size() == 1);
  CHECK(shadowed[0].state == RowState::Shadowed);
  CHECK(shadowed[0].reason == "/live/a.example/fullchain.pem is served instead");
  const auto failed = rows({.text = "", .state = RowState::Failed, .ends_before = {}});
  REQUIRE(failed.size() == 1);
  CHECK(failed[0].since == bench.now);
  CHECK(rows({.text = "", .state = {}, .ends_before = bench.now}).empty());

  const auto why = bench.loader.explain(*bench.last.snapshot, *DnsName::parse("a.example"), bench.now);
  CHECK(why.key == "a.example");
  CHECK(why.sources == Strings{"/live/a.example/fullchain.pem"});
  const auto nobody = bench.loader.explain(*bench.last.snapshot, *DnsName::parse("x.y.z"), bench.now);
  CHECK(nobody.key.empty());
  CHECK(nobody.steps.size() == 4);
}
