#include "report/tlsrpt_comparison.h"

#include <fmt/format.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

TlsReport report_of(std::string organization, std::string contact) {
  TlsReport report;
  report.organization = std::move(organization);
  report.contact = std::move(contact);
  TlsPolicyResult policy;
  policy.domain = "one.test";
  policy.successful = 10;
  policy.failed = 3;
  policy.failures = {{"certificate-expired", "", "mx1.one.test", "", "", 2}, {"certificate-expired", "", "mx2.one.test", "", "", 1}};
  report.policies = {policy};
  return report;
}

std::vector<std::string> lines(const std::vector<ComparedRow>& rows) {
  std::vector<std::string> made;
  for (const auto& row : rows) {
    made.push_back(fmt::format("{} {} [{}] {}: {} {}", row.domain, row.sender, row.organization, row.result, row.reported, row.seen));
  }
  return made;
}

}  // namespace

TEST_CASE("what is reported and what was seen of one sender stand side by side", "[tlsrpt_comparison]") {
  TlsReportTable table;
  table.add(report_of("Sender Inc.", "tls-reports@mail.sender.example"));
  table.add(report_of("Nobody", "https://nobody.example/contact"));
  const std::vector<OwnFinding> seen{{"one.test", "sender.example", "ok", 7},
                                     {"one.test", "sender.example", "certificate-expired", 1},
                                     {"one.test", "sender.example", "certificate-expired", 1},
                                     {"one.test", "sender.example", "in clear", 0},
                                     {"one.test", "192.0.2.0/24", "QUIT after the handshake", 4}};
  CHECK(lines(compare(table.rows(), seen)) ==
        std::vector<std::string>{"one.test 192.0.2.0/24 [] QUIT after the handshake: 0 4",
                                 "one.test Nobody [Nobody] certificate-expired: 3 0", "one.test Nobody [Nobody] ok: 10 0",
                                 "one.test sender.example [Sender Inc.] certificate-expired: 3 2",
                                 "one.test sender.example [Sender Inc.] ok: 10 7"});
}

TEST_CASE("a reporter is who its contact's address says, else its name if that is a domain", "[tlsrpt_comparison]") {
  const auto sender_of_report = [](std::string organization, std::string contact) {
    TlsReportTable table;
    table.add(report_of(std::move(organization), std::move(contact)));
    return table.rows().front().sender_domain;
  };
  CHECK(sender_of_report("Google Inc.", "smtp-tls-reporting@google.com") == "google.com");
  CHECK(sender_of_report("Mail.Example.CO.UK", "") == "example.co.uk");
  CHECK(sender_of_report("Mail.Example.CO.UK", "nobody@not a domain") == "example.co.uk");
  CHECK(sender_of_report("A. Person", "").empty());
  CHECK(sender_of_report("Person", "").empty());
}

TEST_CASE("the score's words become those of RFC 8460 where they say the same", "[tlsrpt_comparison]") {
  CHECK(reported_as("pass") == "ok");
  CHECK(reported_as("fail:name") == "certificate-host-mismatch");
  CHECK(reported_as("alert certificate_expired") == "certificate-expired");
  CHECK(reported_as("fail:untrusted") == "certificate-not-trusted");
  CHECK(reported_as("fail:other-mx") == "fail:other-mx");
  CHECK(reported_as("QUIT after the handshake") == "QUIT after the handshake");
}
