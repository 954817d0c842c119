#include "certs/loader.h"

#include <fmt/format.h>

#include <optional>

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
using Strings = std::vector<std::string>;
using Bench = test::LoaderBench;
using test::sorted;

TEST_CASE("no sources make an empty map, and that is said once") {
  Bench bench;
  CHECK(bench.load().snapshot->name_count() == 0);
  CHECK(bench.last.faults.empty());
  CHECK_FALSE(bench.load().anything_changed);
}

TEST_CASE("all kinds of sources together") {
  Bench bench;
  const auto one = issue({"one.example"});
  bench.files.put("/etc/one.crt", one.chain_pem());
  bench.files.put("/etc/one.key", one.key_pem);
  bench.files.put("/etc/map", "two.example /etc/two.pem\n.sub.example two.pem\n");
  bench.files.put("/etc/two.pem", issue({"two.example", "*.sub.example"}).combined_pem());
  bench.files.put_pair("/live/three.example", issue({"three.example", "*.three.example"}));
  bench.files.put("/live/README", "read me");
  bench.settings.certificates = {{.id = "main", .names = {}, .chain = "/etc/one.crt", .key = "/etc/one.key", .origin = "c:1:1"}};
  bench.settings.maps = {"/etc/map"};
  bench.settings.directories = {"/live"};
  bench.load();
  CHECK(bench.last.faults.empty());
  CHECK(bench.served("one.example") == "/etc/one.crt");
  CHECK(bench.served("two.example") == "/etc/two.pem");
  CHECK(bench.served("a.b.sub.example") == "/etc/two.pem");
  CHECK(bench.served("three.example") == "/live/three.example/fullchain.pem");
  CHECK(bench.served("mx.three.example") == "/live/three.example/fullchain.pem");
  CHECK(bench.served("sub.example") == "-");
  CHECK(bench.last.snapshot->find_default("main")->ecdsa->source == "/etc/one.crt");
  CHECK(bench.last.snapshot->name_count() == 5);
  CHECK(bench.last.snapshot->certificate_count() == 3);
  CHECK(bench.last.changes.added.size() == 5);
  CHECK(bench.last.files_read == 6);
}

TEST_CASE("only what changed is read again") {
  Bench bench;
  for (const char* name : {"a.example", "b.example"}) bench.files.put_pair(fmt::format("/live/{}", name), issue({name}));
  bench.settings.directories = {"/live"};
  bench.load();
  bench.files.reads();
  const auto before = bench.last.snapshot;

  CHECK_FALSE(bench.load(60 * second).anything_changed);
  CHECK(bench.files.reads().empty());
  CHECK(bench.last.snapshot == before);

  const auto old = bench.fingerprint("b.example");
  bench.files.put_pair("/live/b.example", issue({"b.example"}));
  CHECK(bench.load(60 * second).anything_changed);
  CHECK(bench.files.reads() == Strings{"/live/b.example/fullchain.pem", "/live/b.example/privkey.pem"});
  CHECK(sorted(bench.last.changes.renewed) == Strings{"b.example"});
  CHECK(bench.last.changes.added.empty());
  CHECK(bench.fingerprint("b.example") != old);

  SECTION("the same octets in a new file are no change") {
    const auto same = issue({"a.example"});
    bench.files.put_pair("/live/a.example", same);
    bench.load();
    bench.files.put_pair("/live/a.example", same);
    CHECK_FALSE(bench.load().anything_changed);
    CHECK(bench.last.files_read == 2);
  }
}

TEST_CASE("a bad file keeps its last good certificate and is reported once for each change") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  const auto good = bench.fingerprint("a.example");

  bench.files.put("/live/a.example/fullchain.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  bench.load(second);
  CHECK(bench.fingerprint("a.example") == good);
  REQUIRE(bench.last.faults.size() == 1);
  CHECK(bench.last.faults[0].severity == Fault::Severity::Error);
  CHECK(bench.last.faults[0].source == "/live/a.example/fullchain.pem");
  CHECK(bench.has_fault("stays for a.example"));
  CHECK_FALSE(bench.last.anything_changed);

  bench.load(second);
  CHECK(bench.last.faults.empty());
  CHECK(bench.last.standing.size() == 1);

  SECTION("a key that does not match") {
    const auto other = issue({"a.example"});
    bench.files.put("/live/a.example/fullchain.pem", other.chain_pem());
    bench.load(second);
    CHECK(bench.last.faults.size() == 1);
    CHECK(bench.fingerprint("a.example") == good);
    bench.files.put("/live/a.example/privkey.pem", other.key_pem);
    bench.load(second);
    CHECK(bench.last.standing.empty());
    CHECK(bench.fingerprint("a.example") != good);
  }
  SECTION("a file that may not be read") {
    bench.files.break_path("/live/a.example/privkey.pem", "permission denied");
    bench.load(60 * second);
    CHECK(bench.has_fault("/live/a.example/privkey.pem: permission denied; the certificate that was read before stays"));
    CHECK(bench.fingerprint("a.example") == good);
  }
}

TEST_CASE("a gate keeps a renewed certificate from going live, and is asked again at each load", "[gate]") {
  Bench bench;
  for (const char* name : {"a.example", "b.example"}) bench.files.put_pair(fmt::format("/live/{}", name), issue({name}));
  bench.settings.directories = {"/live"};
  bench.settings.require_tlsa = true;
  bool open = false;
  Strings asked;
  bench.loader.set_gate([&](const tls::Credential& renewed, const tls::Credential& served) -> std::optional<std::string> {
    asked.push_back(renewed.leaf.names.front().text());
    CHECK(renewed.leaf.fingerprint != served.leaf.fingerprint);
    return open ? std::nullopt : std::optional<std::string>("wait for it");
  });
  bench.load();
  CHECK(asked.empty());  // what is new replaces nothing
  const auto old = bench.fingerprint("a.example");

  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.load(second);
  CHECK(asked == Strings{"a.example"});
  CHECK(bench.fingerprint("a.example") == old);
  CHECK_FALSE(bench.last.anything_changed);
  CHECK(bench.has_fault("wait for it; the certificate that was read before stays for a.example"));
  CHECK(bench.loader.copy()->load(bench.settings, bench.now).standing.size() == 1);
  CHECK(asked.size() == 2);

  // No file changes, and no folder that has to do with it.
  bench.last = bench.loader.load_changed({}, bench.now);
  CHECK(asked.size() == 3);
  CHECK(bench.last.faults.empty());
  CHECK(bench.has_standing("wait for it"));
  CHECK(bench.last.files_read == 0);  // nothing that a watch should have told of
  CHECK(bench.last.items_read_anew == 0);

  SECTION("until it opens") {
    open = true;
    bench.load(second);
    CHECK(bench.fingerprint("a.example") != old);
    CHECK(sorted(bench.last.changes.renewed) == Strings{"a.example"});
    CHECK(bench.last.standing.empty());
    bench.load(second);
    CHECK(asked.size() == 4);
  }
  SECTION("until it is not asked any more") {
    bench.settings.require_tlsa = false;
    bench.load(second);
    CHECK(bench.fingerprint("a.example") != old);
    CHECK(asked.size() == 3);
  }
  SECTION("another renewal takes its place, and one that is taken back is forgotten") {
    bench.files.put_pair("/live/a.example", issue({"a.example"}));
    bench.load(second);
    CHECK(asked.size() == 4);
    CHECK(bench.fingerprint("a.example") == old);
  }
}

TEST_CASE("what is gone from a folder goes after two looks, and comes back at once") {
  Bench bench;
  const auto a = issue({"a.example"});
  bench.files.put_pair("/live/a.example", a);
  bench.files.put_pair("/live/b.example", issue({"b.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  bench.files.remove("/live/a.example");

  bench.load(60 * second);
  CHECK(bench.served("a.example") != "-");
  CHECK(bench.last.look_again == bench.now + Loader::removal_delay);
  bench.load(second);
  CHECK(bench.served("a.example") != "-");
  CHECK(bench.last.look_again == bench.now + second);

  SECTION("gone at the second look") {
    bench.load(second);
    CHECK(bench.served("a.example") == "-");
    CHECK(sorted(bench.last.changes.removed) == Strings{"a.example"});
    CHECK_FALSE(bench.last.look_again);
    bench.files.put_pair("/live/a.example", a);
    bench.load();
    CHECK(bench.served("a.example") != "-");
    CHECK(sorted(bench.last.changes.added) == Strings{"a.example"});
  }
  SECTION("back at the second look") {
    bench.files.put_pair("/live/a.example", a);
    bench.load(second);
    CHECK_FALSE(bench.last.anything_changed);
    CHECK_FALSE(bench.last.look_again);
    bench.files.remove("/live/a.example");
    bench.load(second);
    CHECK(bench.served("a.example") != "-");
  }
  SECTION("a clock that was set back delays it") {
    bench.load(-3600 * second);
    CHECK(bench.served("a.example") != "-");
    bench.load(2 * second);
    CHECK(bench.served("a.example") == "-");
  }
}

TEST_CASE("a folder that cannot be read takes nothing away") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  SECTION("it is closed") { bench.files.break_path("/live", "permission denied"); }
  SECTION("it is gone altogether: not mounted, perhaps") { bench.files.remove("/live"); }
  for (int i = 0; i < 3; ++i) bench.load(10 * second);
  CHECK(bench.served("a.example") != "-");
  CHECK(bench.has_standing("/live: "));
  CHECK(bench.has_standing("stay as they were read before"));
}

TEST_CASE("a source that the settings no longer name goes at once") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.files.put("/c.pem", issue({"c.example"}).combined_pem());
  bench.files.put("/map", "m.example c.pem\n");
  bench.settings.directories = {"/live"};
  bench.settings.maps = {"/map"};
  bench.settings.certificates = {{.id = "c", .names = {}, .chain = "/c.pem", .key = "", .origin = ""}};
  bench.load();
  CHECK(bench.last.snapshot->name_count() == 3);
  bench.settings = SourceSettings();
  bench.load();
  CHECK(bench.last.snapshot->name_count() == 0);
  CHECK(bench.last.snapshot->find_default("c") == nullptr);
  CHECK(bench.last.standing.empty());
}

TEST_CASE("a map: renewal, changed lines, and errors") {
  Bench bench;
  bench.files.put("/map", "a.example /x.pem\nb.example /x.pem\nc.example /y.pem\n");
  bench.files.put("/x.pem", issue({"a.example", "b.example", "c.example"}).combined_pem());
  bench.files.put("/y.pem", issue({"c.example"}).combined_pem());
  bench.settings.maps = {"/map"};
  bench.load();
  CHECK(bench.last.faults.empty());
  CHECK(bench.served("c.example") == "/y.pem");

  SECTION("a renewed file serves all of its names; the map is not read for that") {
    bench.files.reads();
    bench.files.put("/x.pem", issue({"a.example", "b.example"}).combined_pem());
    bench.load();
    CHECK(sorted(bench.last.changes.renewed) == Strings{"a.example", "b.example"});
    CHECK(bench.files.reads() == Strings{"/x.pem"});
  }
  SECTION("a name that went over to another file does so at once") {
    bench.files.put("/map", "a.example /x.pem\nb.example /x.pem\nc.example /x.pem\n");
    bench.load();
    CHECK(bench.served("c.example") == "/x.pem");
    CHECK(bench.last.faults.empty());
  }
  SECTION("a name that is gone goes after two looks, since the map may be half written") {
    bench.files.put("/map", "a.example /x.pem\n");
    bench.load();
    CHECK(bench.last.snapshot->name_count() == 3);
    REQUIRE(bench.last.look_again);
    bench.load(2 * second);
    CHECK(sorted(bench.last.changes.removed) == Strings{"b.example", "c.example"});
    CHECK_FALSE(bench.last.look_again);
  }
  SECTION("a name that comes back stays") {
    bench.files.put("/map", "a.example /x.pem\n");
    bench.load();
    bench.files.put("/map", "a.example /x.pem\nb.example /x.pem\nc.example /y.pem\n# whole\n");
    bench.load(second);
    bench.load(10 * second);
    CHECK(bench.last.snapshot->name_count() == 3);
    CHECK_FALSE(bench.last.look_again);
  }
  SECTION("a bad line is told, and nothing is taken away because of it") {
    bench.files.put("/map", "a.example /x.pem\n!! /x.pem\nd.example /x.pem\n");
    bench.load();
    CHECK(bench.has_fault("/map:2: \"!!\" is no host name"));
    bench.load(10 * second);
    CHECK(bench.last.faults.empty());
    CHECK(bench.has_standing("/map:2"));
    CHECK(bench.served("c.example") == "/y.pem");
    CHECK(bench.served("d.example") == "/x.pem");
  }
  SECTION("a map that cannot be read keeps all its names") {
    bench.files.remove("/map");
    bench.load();
    CHECK(bench.has_fault("/map: does not exist; its names stay"));
    bench.load(10 * second);
    CHECK(bench.last.snapshot->name_count() == 3);
  }
}

TEST_CASE("a map entry with several kinds of keys; one of them broken") {
  Bench bench;
  bench.files.put("/map", "a.example /ec.pem, /rsa.key /rsa.crt\n");
  const auto rsa = issue_rsa({"a.example"});
  bench.files.put("/ec.pem", issue({"a.example"}).combined_pem());
  bench.files.put("/rsa.key", rsa.key_pem);
  bench.files.put("/rsa.crt", rsa.chain_pem());
  bench.settings.maps = {"/map"};
  bench.load();
  CHECK(bench.last.faults.empty());
  const auto found = bench.last.snapshot->find(*DnsName::parse("a.example"));
  REQUIRE(found.entry->ecdsa);
  REQUIRE(found.entry->rsa);
  const auto old_rsa = found.entry->rsa;
  const auto old = bench.fingerprint("a.example");
  bench.files.put("/ec.pem", issue({"a.example"}).combined_pem());
  bench.files.put("/rsa.key", issue({"a.example"}).key_pem);
  bench.load();
  CHECK(bench.last.faults.size() == 1);
  CHECK(bench.fingerprint("a.example") != old);
  CHECK(bench.last.snapshot->find(*DnsName::parse("a.example")).entry->rsa == old_rsa);
}

TEST_CASE("explicit names override SANs, with a warning for what is not covered") {
  Bench bench;
  bench.files.put("/c.pem", issue({"a.example", "*.w.example"}).combined_pem());
  bench.settings.certificates = {{.id = "",
                                  .names = {"A.example", "x.w.example", "b.example", "*.w.example", "not a name"},
                                  .chain = "/c.pem", .key = "", .origin = "t:3:1"}};
  bench.load();
  CHECK(bench.last.snapshot->name_count() == 4);
  CHECK(bench.has_fault("t:3:1: \"not a name\" is no host name"));
  CHECK(bench.has_fault("declared for b.example, which is not among"));
  CHECK(bench.last.faults.size() == 2);
  SECTION("other names for the same files") {
    bench.settings.certificates[0].names = {"x.w.example"};
    bench.load();
    CHECK(bench.last.snapshot->name_count() == 1);
    CHECK(bench.last.files_read == 0);
    CHECK(bench.last.standing.empty());
  }
}

TEST_CASE("the order of strength, live") {
  Bench bench;
  bench.files.put("/c.pem", issue({"a.example"}).combined_pem());
  bench.files.put("/m.pem", issue({"a.example"}).combined_pem());
  bench.files.put("/map", "a.example m.pem\n");
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  CHECK(bench.served("a.example") == "/live/a.example/fullchain.pem");
  bench.settings.maps = {"/map"};
  bench.load();
  CHECK(bench.served("a.example") == "/m.pem");
  bench.settings.certificates = {{.id = "", .names = {}, .chain = "/c.pem", .key = "", .origin = ""}};
  bench.load();
  CHECK(bench.served("a.example") == "/c.pem");
  CHECK(bench.last.standing.empty());
  bench.settings.certificates.clear();
  bench.settings.maps.clear();
  bench.load();
  CHECK(bench.served("a.example") == "/live/a.example/fullchain.pem");
}

TEST_CASE("between certificates of one kind the chain that leads to an anchor decides, and that is told", "[anchors]") {
  Bench bench;
  const test::TestCa stranger("Stranger");
  bench.settings.directories = {"/a", "/b"};
  bench.settings.roots = "/roots.pem";
  bench.files.put("/roots.pem", ca().root_pem());
  // All else is equal but the place of the folder, which is the last thing that counts.
  bench.files.put_pair("/a/mx.example.com", stranger.issue({.names = {"mx.example.com"}}));
  bench.files.put_pair("/b/mx.example.com-0001", issue({"mx.example.com"}));
  bench.load();
  CHECK(bench.served("mx.example.com") == "/b/mx.example.com-0001/fullchain.pem");
  const auto told = [&] {
    std::string text;
    for (const auto& step : bench.loader.explain(*bench.last.snapshot, *DnsName::parse("mx.example.com"), bench.now).steps) {
      text += step + '\n';
    }
    return text;
  };
  CHECK_THAT(told(), Catch::Matchers::Contains("named after the name, its chain leads to a trust anchor: served") &&
                         Catch::Matchers::Contains("its chain leads to no trust anchor: not served, "
                                         "/b/mx.example.com-0001/fullchain.pem comes before it, for its chain leads to "
                                         "a trust anchor"));

  // Other anchors decide anew.
  bench.files.put("/roots.pem", stranger.root_pem());
  bench.load();
  CHECK(bench.served("mx.example.com") == "/a/mx.example.com/fullchain.pem");

  // Without any, the other rules hold.
  bench.settings.roots.clear();
  bench.load();
  CHECK(told().find("anchor") == std::string::npos);

  // Lazily, the chain is read for it.
  bench.settings.roots = "/roots.pem";
  bench.files.put("/roots.pem", ca().root_pem());
  bench.settings.load = Load::Lazy;
  bench.load();
  CHECK(bench.served("mx.example.com") == "/b/mx.example.com-0001/fullchain.pem");
}

TEST_CASE("a tenant's certificate does not capture a neighbour's name") {
  Bench bench;
  bench.files.put("/live/site-a.pem", issue_between({"a.example", "mx.a.example"}, bench.now - 50 * day, bench.now + 10 * day).combined_pem());
  bench.settings.directories = {"/live"};
  bench.load();
  bench.files.put("/live/evil.pem", issue_between({"evil.example", "mx.a.example", "a.example"}, bench.now - day, bench.now + 80 * day).combined_pem());
  bench.files.put("/live/evil2.pem", issue_rsa({"mx.a.example"}).combined_pem());
  bench.load();
  CHECK(bench.served("mx.a.example") == "/live/site-a.pem");
  CHECK(bench.served("evil.example") == "/live/evil.pem");
  CHECK(bench.has_fault("/live/evil.pem: has a.example, mx.a.example among its names too, held back because /live/site-a.pem"));
  CHECK(bench.has_fault("/live/evil2.pem: has mx.a.example among"));
  CHECK(bench.last.faults.size() == 2);
  CHECK(bench.load(second).faults.empty());
  CHECK(bench.last.standing.size() == 2);

  SECTION("renewed in its own file, it stays where it is") {
    bench.files.put("/live/site-a.pem", issue_between({"a.example", "mx.a.example"}, bench.now - 5 * day, bench.now + 90 * day).combined_pem());
    bench.load();
    CHECK(bench.served("mx.a.example") == "/live/site-a.pem");
    CHECK(sorted(bench.last.changes.renewed) == Strings{"a.example", "mx.a.example"});
  }
  SECTION("once it has expired, a valid one is better") {
    bench.load(20 * day);
    CHECK(bench.served("mx.a.example") == "/live/evil.pem");
    CHECK(bench.has_fault("/live/evil2.pem: has mx.a.example among its names too, held back because /live/evil.pem"));
  }
  SECTION("a file named after the name is its owner's") {
    bench.files.put("/live/mx.a.example.pem", issue({"mx.a.example"}).combined_pem());
    bench.load();
    CHECK(bench.served("mx.a.example") == "/live/mx.a.example.pem");
    CHECK(bench.served("a.example") == "/live/site-a.pem");
  }
  SECTION("when the file that serves it is gone, the other one may") {
    bench.files.remove("/live/site-a.pem");
    bench.load();
    bench.load(2 * second);
    CHECK(bench.served("a.example") == "/live/evil.pem");
    CHECK_FALSE(bench.has_standing("site-a.pem"));
  }
}

TEST_CASE("ECDSA and RSA files of one lineage belong together") {
  Bench bench;
  bench.files.put("/live/mx-ecdsa.pem", issue({"mx.example"}).combined_pem());
  bench.files.put("/live/mx-rsa.pem", issue_rsa({"mx.example"}).combined_pem());
  bench.settings.directories = {"/live"};
  bench.load();
  CHECK(bench.served("mx.example") == "/live/mx-ecdsa.pem + /live/mx-rsa.pem");
  CHECK(bench.last.faults.empty());
}

TEST_CASE("names = \"declared\": only names of domains and maps") {
  Bench bench;
  bench.files.put_pair("/live/t1", issue({"mx.tenant.example", "mail.other.example"}));
  bench.files.put_pair("/live/t2", issue({"*.wild.example"}));
  bench.settings.directories = {"/live"};
  bench.settings.names = Names::Declared;
  bench.settings.declared = {*DnsName::parse("mx.tenant.example"), *DnsName::parse("a.wild.example")};
  bench.load();
  CHECK(bench.last.snapshot->name_count() == 2);
  CHECK(bench.served("mx.tenant.example") != "-");
  CHECK(bench.served("a.wild.example") != "-");
  CHECK(bench.served("b.wild.example") == "-");
  CHECK(bench.served("mail.other.example") == "-");
  SECTION("a domain more") {
    bench.settings.declared.push_back(*DnsName::parse("b.wild.example"));
    bench.load();
    CHECK(sorted(bench.last.changes.added) == Strings{"b.wild.example"});
    CHECK(bench.last.files_read == 0);
  }
  SECTION("a map declares too, also when its own file cannot be used") {
    bench.files.put("/map", "mail.other.example missing.pem\n");
    bench.settings.maps = {"/map"};
    bench.load();
    CHECK(bench.served("mail.other.example") == "/live/t1/fullchain.pem");
  }
  SECTION("all names again") {
    bench.settings.names = Names::All;
    bench.load();
    CHECK(bench.served("b.wild.example") != "-");
    CHECK(bench.served("mail.other.example") != "-");
  }
}

TEST_CASE("a certificate that becomes valid takes over at that time, unread") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue_between({"a.example"}, bench.now - 90 * day, bench.now + 30 * day));
  bench.files.put_pair("/live/a.example-0001", issue_between({"a.example"}, bench.now + day, bench.now + 60 * day));
  bench.settings.directories = {"/live"};
  bench.load();
  CHECK(bench.served("a.example") == "/live/a.example/fullchain.pem");
  CHECK(bench.has_fault("is not valid before"));
  bench.load(day);
  CHECK(bench.served("a.example") == "/live/a.example-0001/fullchain.pem");
  CHECK(bench.last.standing.empty());
  CHECK(bench.last.files_read == 0);
}

TEST_CASE("folders and files to be watched") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.files.put("/etc/map", "b.example /ssl/b.pem\n");
  bench.settings.directories = {"/live"};
  bench.settings.maps = {"/etc/map"};
  bench.load();
  CHECK(bench.loader.watched_directories() == Strings{"/etc", "/live", "/live/a.example", "/ssl"});
}

TEST_CASE("a look at folders where something happened finds what a whole load would, and reads nothing else") {
  Bench bench;
  for (const char* name : {"a.example", "b.example", "c.example"}) {
    bench.files.put_pair(fmt::format("/live/{}", name), issue({name}));
  }
  bench.files.put("/etc/map", "m.example /ssl/m.pem\n");
  bench.files.put("/ssl/m.pem", issue({"m.example"}).combined_pem());
  bench.settings.directories = {"/live"};
  bench.settings.maps = {"/etc/map"};
  bench.load();
  bench.files.reads();
  const auto look_at = [&](Strings folders) { bench.last = bench.loader.load_changed(folders, bench.now); };

  look_at({});
  CHECK_FALSE(bench.last.anything_changed);
  CHECK(bench.last.snapshot->name_count() == 4);

  SECTION("renewals, only where it was told") {
    bench.files.put_pair("/live/a.example", issue({"a.example"}));
    bench.files.put_pair("/live/b.example", issue({"b.example"}));
    look_at({"/live/a.example"});
    CHECK(sorted(bench.last.changes.renewed) == Strings{"a.example"});
    CHECK(bench.last.files_read == 2);
    bench.load();
    CHECK(sorted(bench.last.changes.renewed) == Strings{"b.example"});
  }
  SECTION("a new folder") {
    bench.files.put_pair("/live/d.example", issue({"d.example"}));
    look_at({"/live"});
    CHECK(sorted(bench.last.changes.added) == Strings{"d.example"});
    CHECK(bench.last.files_read == 2);
  }
  SECTION("a folder that is gone, by two such looks") {
    bench.files.remove("/live/a.example");
    look_at({"/live"});
    REQUIRE(bench.last.look_again);
    bench.now += 2 * second;
    look_at({});
    CHECK_FALSE(bench.last.anything_changed);  // nobody has looked there a second time
    look_at(bench.last.look_again_at);
    CHECK(sorted(bench.last.changes.removed) == Strings{"a.example"});
    CHECK(bench.last.standing.empty());
    CHECK(bench.load().snapshot->name_count() == 3);
  }
  SECTION("a map, and a file that a map names") {
    bench.files.put("/etc/map", "m.example /ssl/m.pem\nn.example /ssl/m.pem\n");
    look_at({"/etc"});
    CHECK(sorted(bench.last.changes.added) == Strings{"n.example"});
    bench.files.put("/ssl/m.pem", issue({"m.example"}).combined_pem());
    look_at({"/ssl"});
    CHECK(bench.last.changes.renewed.size() == 2);
    CHECK(bench.last.files_read == 1);
  }
}

TEST_CASE("a copy of a loader goes its own way, and knows what was known") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.files.put_pair("/live/b.example", issue({"b.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  bench.files.reads();
  bench.files.put("/live/b.example/fullchain.pem", "broken");
  bench.files.put_pair("/live/c.example", issue({"c.example"}));
  const auto trial = bench.loader.copy();
  const auto tried = trial->load(bench.settings, bench.now);
  CHECK(sorted(tried.changes.added) == Strings{"c.example"});
  CHECK(tried.changes.removed.empty());  // the last good certificate is known to the copy
  CHECK(tried.snapshot->version() == bench.last.snapshot->version() + 1);
  CHECK(bench.last.snapshot->name_count() == 2);
  const auto again = bench.load();
  CHECK(sorted(again.changes.added) == Strings{"c.example"});
  CHECK(difference(*again.snapshot, *tried.snapshot).empty());
}

TEST_CASE("lazy and eager loading, one after the other", "[lazy]") {
  Bench bench;
  bench.settings.directories = {"/live"};
  bench.settings.load = Load::Lazy;
  bench.files.put_pair("/live/a", issue({"a.example"}));
  const auto entry = [&] { return bench.last.snapshot->find(*DnsName::parse("a.example")).entry; };
  bench.load();
  REQUIRE(entry());
  CHECK(entry()->ecdsa->deferred);
  CHECK_FALSE(bench.load(second).anything_changed);
  bench.files.put_pair("/live/a", issue({"a.example"}));
  CHECK(sorted(bench.load(second).changes.renewed) == Strings{"a.example"});
  bench.settings.load = Load::Eager;
  CHECK(bench.load(second).changes.renewed.empty());
  CHECK(bench.last.anything_changed);
  CHECK(entry()->ecdsa->key);
}
