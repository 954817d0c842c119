#include "control/protocol.h"

#include "tests/support/catch.h"

using namespace postern::control;

namespace {

std::string refusal(std::string_view line) {
  const auto request = parse_request(line);
  return request ? "" : request.error().text;
}

bool is_malformed(std::string_view line) { return refusal(line).starts_with("malformed request: "); }

StatusReply full_status() {
  StatusReply status;
  status.version = "0.1.0";
  status.pid = 1;
  status.uptime_seconds = 2;
  status.workers = 3;
  status.ready = false;
  status.not_ready = {"draining"};
  status.draining = true;
  status.log_level = "info";
  status.memory_octets = 10;
  status.message_memory_octets = 11;
  status.descriptors = 12;
  status.descriptors_max = 13;
  status.rates = {60, 1, 2, 3};
  status.per_worker = {{4, 5, 6}};
  status.sessions = 4;
  status.sessions_total = 5;
  status.key_queue_full = 2;
  status.messages_total = 6;
  status.names = 7;
  status.certificates = 8;
  status.map_version = 9;
  status.config_generation = 18'446'744'073'709'551'615ull;
  status.faults = {"a fault", "another \"fault\"\n"};
  status.listeners = {ListenerStatus{"[::]:25", "smtp", "starttls"}};
  status.backends = {BackendStatus{"store", "unix:/run/lmtp", 1, 2, 4, false, 75, 3, "refused"}};
  status.ledger = {1, 2, 3, 4, 5, 6, 7, "disk full"};
  return status;
}

}  // namespace

TEST_CASE("requests") {
  CHECK(to_json(Request(StatusRequest{})) == R"({"request":"status"})");
  CHECK(to_json(Request(ReloadRequest{})) == R"({"request":"reload"})");
  CHECK(std::holds_alternative<StatusRequest>(parse_request(R"({"request":"status"})").value()));
  CHECK(std::holds_alternative<ReloadRequest>(parse_request(R"( { "request" : "reload" } )").value()));
}

TEST_CASE("an unknown request is told which are known") {
  CHECK(refusal(R"({"request":"stop\n"})") == R"(unknown request "stop\x0a"; known are: status, reload, certificates, explain, versions, rollback, sessions, drain, undrain, log-level, sni, sni-domain, sni-failures, sni-domains, page)");
}

TEST_CASE("malformed requests") {
  CHECK(is_malformed(""));
  CHECK(is_malformed("status"));
  CHECK(is_malformed("[]"));
  CHECK(is_malformed("{}"));
  CHECK(is_malformed(R"({"request":1})"));
  CHECK(is_malformed(R"({"request":"status")"));
  CHECK(is_malformed(R"({"request":"status","verbose":true})"));
  CHECK(is_malformed("{\"request\":\"\xff\"}"));
  CHECK(is_malformed(std::string(request_octets_max, '[')));
  CHECK(is_malformed(R"({"request":"status"})" + std::string(request_octets_max, ' ')));
}

TEST_CASE("a status reply comes back as it went, key by key") {
  const std::string line = to_json(Reply(full_status()));
  CHECK(line ==
        R"({"reply":"status","version":"0.1.0","pid":1,"uptime_seconds":2,"workers":3,)"
        R"("ready":false,"not_ready":["draining"],"draining":true,"log_level":"info","memory_octets":10,)"
        R"("message_memory_octets":11,"descriptors":12,"descriptors_max":13,)"
        R"("rates":{"seconds":60,"sessions":1,"messages":2,"octets":3},)"
        R"("per_worker":[{"sessions":4,"sessions_total":5,"messages_total":6}],"sessions":4,)"
        R"("sessions_total":5,"messages_total":6,"key_queue_full":2,"names":7,"certificates":8,"map_version":9,)"
        R"("pinned_version":0,"held_back":"",)"
        R"("config_generation":18446744073709551615,"faults":["a fault","another \"fault\"\n"],)"
        R"("listeners":[{"address":"[::]:25","protocol":"smtp","tls":"starttls"}],"backends":[{"name":"store",)"
        R"("target":"unix:/run/lmtp","connections":1,"idle":2,"waiting":4,"up":false,"down_seconds":75,)"
        R"("failures":3,"last_failure":"refused"}],)"
        R"("ledger":{"entries":1,"recorded":2,"deduplicated":3,"refused":4,"separated":5,"dropped":6,"failures":7,)"
        R"("last_failure":"disk full"}})");
  const auto parsed = parse_reply(line);
  REQUIRE(parsed);
  CHECK(to_json(*parsed) == line);
}

TEST_CASE("sessions, draining and the log level come back as they went") {
  SessionsReply sessions;
  sessions.matching = 2;
  sessions.sessions = {{"id", "[::1]:1", "[::1]:25", "ehlo\n", "TLSv1.3", "mx.example", "idle", 1, 2, 3, 4}};
  const std::string line = to_json(Reply(sessions));
  CHECK(line == R"({"reply":"sessions","matching":2,"sessions":[{"id":"id","peer":"[::1]:1","local":"[::1]:25",)"
                R"("client_name":"ehlo\n","tls_version":"TLSv1.3","sni":"mx.example","doing":"idle","milliseconds":1,)"
                R"("messages":2,"recipients":3,"octets":4}]})");
  CHECK(to_json(parse_reply(line).value()) == line);
  CHECK(to_json(parse_reply(to_json(Reply(DrainReply{true, 15}))).value()) ==
        R"({"reply":"drain","draining":true,"accepts_for_seconds":15})");
  CHECK(to_json(parse_reply(to_json(Reply(LogLevelReply{"debug", "info"}))).value()) ==
        R"({"reply":"log-level","level":"debug","before":"info"})");
  CHECK(to_json(Request(SessionsRequest{"x", 500})) == R"({"request":"sessions","text":"x"})");
}

TEST_CASE("the page comes back as it went, with everything in it") {
  PageReply page;
  page.time = "2026-11-26T12:00:00Z";
  page.hostname = "mx.example";
  page.status = full_status();
  page.fault_count = 2;
  page.target_count = 1;
  page.minute = {60000, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  page.history = {{5000, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  page.versions = {{"TLSv1.3", 1}, {"failed", 2}};
  page.server_names = {{"exact", 3}};
  page.limits = {{"limits.connections", 4}};
  page.backends = {{"store", 1, 2, 3, 4, 5, 6}};
  page.certificates = {{"mx.example", "2026-12-01T00:00:00Z", -1}};
  page.sni.window = page.domains.window = "1h";
  page.domains.domain_count = 9;
  page.domains.domains = {{"example", "testing", "unsafe", 1, 2, 3, 4, 5}};
  page.failures.emplace_back().server_name = "<script>";
  page.log = {{"2026-11-26T11:59:00Z", "error", "a \"fault\" <b>"}};
  const std::string line = to_json(Reply(page));
  CHECK(line.starts_with(R"({"reply":"page","time":"2026-11-26T12:00:00Z","hostname":"mx.example","status":{"version":)"));
  const auto parsed = parse_reply(line);
  REQUIRE(parsed);
  CHECK(to_json(*parsed) == line);
  CHECK(to_json(Request(PageRequest{"1h"})) == R"({"request":"page","window":"1h"})");
  CHECK(to_json(Request(SniDomainsRequest{"24h", 3})) == R"({"request":"sni-domains","limit":3})");
}

TEST_CASE("reload and error replies come back as they went") {
  ReloadReply reload;
  reload.configuration_taken = true;
  reload.errors = {"e"};
  reload.warnings = {"w"};
  reload.added = {"a", "b"};
  reload.removed = {"r"};
  reload.renewed = {"n"};
  reload.faults = {"f"};
  const std::string line = to_json(Reply(reload));
  CHECK(line ==
        R"({"reply":"reload","configuration_taken":true,"dry_run":false,"map_version":0,"errors":["e"],"warnings":["w"],)"
        R"("added":["a","b"],"removed":["r"],"renewed":["n"],"worse":[],"faults":["f"]})");
  CHECK(to_json(parse_reply(line).value()) == line);
  CHECK(to_json(parse_reply(to_json(Reply(ErrorReply{"no"}))).value()) == R"({"reply":"error","text":"no"})");
}

TEST_CASE("octets that are not UTF-8 do not spoil a reply") {
  const auto parsed = parse_reply(to_json(Reply(ErrorReply{"/etc/\xff.pem"})));
  REQUIRE(parsed);
  CHECK(std::get<ErrorReply>(*parsed).text == "/etc/\xef\xbf\xbd.pem");
}

TEST_CASE("malformed replies, and keys of a newer daemon") {
  CHECK_FALSE(parse_reply("{}"));
  CHECK_FALSE(parse_reply(R"({"reply":"other"})"));
  CHECK_FALSE(parse_reply(R"({"reply":"error"})"));
  CHECK_FALSE(parse_reply(R"({"reply":"error","text":7})"));
  CHECK_FALSE(parse_reply(R"({"reply":"status","version":"1"})"));
  CHECK_FALSE(parse_reply(R"({"reply":"reload","configuration_taken":1,"errors":[],"warnings":[],"added":[],)"
                          R"("removed":[],"renewed":[],"faults":[]})"));
  CHECK(parse_reply(R"({"reply":"error","text":"no","since":"later"})"));
}

TEST_CASE("requests about certificates leave out what has its default, and come back as they went") {
  const auto round = [](const Request& request) { return to_json(parse_request(to_json(request)).value()); };
  CertificatesRequest page;
  page.from = 7;
  page.state = "failed";
  CHECK(round(page) == R"({"request":"certificates","from":7,"state":"failed"})");
  CHECK(round(CertificatesRequest{}) == R"({"request":"certificates"})");
  CHECK(round(ExplainRequest{"mx.example"}) == R"({"request":"explain","name":"mx.example"})");
  CHECK(round(VersionsRequest{}) == R"({"request":"versions"})");
  CHECK(round(RollbackRequest{3}) == R"({"request":"rollback","version":3})");
  CHECK(round(ReloadRequest{true, false}) == R"({"request":"reload","dry_run":true})");
  CHECK(is_malformed(R"({"request":"rollback","version":-3})"));
  CHECK(is_malformed(R"({"request":"reload","dry_run":1})"));
  CHECK(is_malformed(R"({"request":"reload","dryrun":true})"));
}

TEST_CASE("replies about certificates come back as they went") {
  CertificateRow row;
  row.names = {"a.example", "*.b.example"};
  row.name_count = row.served_count = 2;
  row.key = "ECDSA P-256";
  row.days_left = -3;
  row.state = "expired";
  CertificatesReply page{4, {row}, 9};
  ExplainReply explained;
  explained.name = "a.example";
  explained.steps = {"one", "two"};
  explained.defaults = {DefaultCertificate{"[::]:25", "mx", {"mx.pem"}}};
  VersionsReply versions;
  versions.versions.emplace_back();
  versions.versions[0].live = true;
  RollbackReply back;
  back.missing = {"a.example: no key"};
  for (const Reply& reply : {Reply(page), Reply(explained), Reply(versions), Reply(back)}) {
    const std::string line = to_json(reply);
    const auto parsed = parse_reply(line);
    REQUIRE(parsed);
    CHECK(to_json(*parsed) == line);
  }
  CHECK(to_json(Reply(page)).find(R"("days_left":-3)") != std::string::npos);
}
