#include "report/tlsrpt.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

// After the example in RFC 8460, appendix B, with values of our own.
const std::string example = R"({
  "organization-name": "Sender Inc.",
  "date-range": {"start-datetime": "2026-11-25T00:00:00Z", "end-datetime": "2026-11-25T23:59:59Z"},
  "contact-info": "tls@sender.test",
  "report-id": "1@sender.test",
  "policies": [{
    "policy": {"policy-type": "sts", "policy-string": ["version: STSv1"], "policy-domain": "one.test",
               "mx-host": ["mx.one.test"]},
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": "303"},
    "failure-details": [
      {"result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1", "receiving-mx-hostname": "mx.one.test",
       "failed-session-count": 300},
      {"result-type": "starttls-not-supported", "receiving-ip": "192.0.2.2", "failed-session-count": 3,
       "additional-information": "https://sender.test/1"}]
  }, {"policy": {"policy-type": "no-policy-found", "policy-domain": "two.test", "mx-host": "mx.two.test"},
      "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0}}]
})";

std::string refusal(std::string_view octets) {
  const auto read = read_tls_report(octets);
  REQUIRE_FALSE(read);
  return read.error().text;
}

}  // namespace

TEST_CASE("a report of two policies", "[tlsrpt]") {
  const auto report = read_tls_report(example);
  REQUIRE(report);
  CHECK(report->organization == "Sender Inc.");
  CHECK(report->begin == "2026-11-25T00:00:00Z");
  REQUIRE(report->policies.size() == 2);
  const auto& first = report->policies[0];
  CHECK(first.successful == 5326);
  CHECK(first.failed == 303);
  REQUIRE(first.failures.size() == 2);
  CHECK(first.failures[0] == TlsFailure{"certificate-expired", "192.0.2.1", "mx.one.test", "", "", 300});
  CHECK(first.failures[1].information == "https://sender.test/1");
  CHECK(report->policies[1].mx_hosts == std::vector<std::string>{"mx.two.test"});
}

TEST_CASE("a report in a mail, not compressed", "[tlsrpt]") {
  const auto read = read_tls_report("From: a@b.test\r\nContent-Type: multipart/report; report-type=\"tlsrpt\"; boundary=x\r\n\r\n"
                                    "--x\r\nContent-Type: text/plain\r\n\r\n{}\r\n--x\r\nContent-Type: application/tlsrpt+json\r\n\r\n" +
                                    example + "\r\n--x--\r\n");
  REQUIRE(read);
  CHECK(*read == *read_tls_report(example));
}

TEST_CASE("members of another type than they should be are passed over", "[tlsrpt]") {
  const auto report = read_tls_report(R"({"organization-name": 7, "policies": [null, 1, {"policy": [], "summary":
    {"total-successful-session-count": -5, "total-failure-session-count": 1.5}, "failure-details": {"a": 1}},
    {"failure-details": [3, {"result-type": null}]}]})");
  REQUIRE(report);
  CHECK(report->organization.empty());
  CHECK(report->policies.size() == 4);
  CHECK(report->policies[2].successful == 0);
  CHECK(report->policies[3].failures.size() == 2);
}

TEST_CASE("what is no report says what it is", "[tlsrpt]") {
  CHECK(refusal("") == "it is no JSON");
  CHECK(refusal("{\"a\": 1}") == "it is no TLS report: it has no list \"policies\"");
  CHECK(refusal("[]").starts_with("it is no TLS report"));
  CHECK(refusal("Subject: hello\n\nno report\n").starts_with("it is a mail without a report in it"));
  CHECK(refusal(std::string(report_octets_max + 1, ' ')).starts_with("it is longer than"));
  CHECK(refusal(std::string(report_file_octets_max + 1, ' ')).starts_with("it is longer than"));
  CHECK(refusal("\x1f\x8b damaged").starts_with("its gzip is"));
}

TEST_CASE("depth is refused before anything follows it", "[tlsrpt]") {
  const std::string deep(1'000'000, '[');
  CHECK(refusal(deep) == "its JSON nests more than 16 deep");
  CHECK(refusal("{\"policies\": " + deep) == "its JSON nests more than 16 deep");
  CHECK(read_tls_report("{\"a\": \"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\", \"policies\": []}"));
}
