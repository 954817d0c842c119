#include "report/event.h"

#include "tests/support/catch.h"

using namespace postern::report;

TEST_CASE("an alert about the certificate is a refusal, whenever it comes") {
  for (const auto moment : {AlertMoment::DuringHandshake, AlertMoment::Afterwards}) {
    CHECK(reception_of_alert(42, moment) == Reception::BadCertificate);
    CHECK(reception_of_alert(45, moment) == Reception::CertificateExpired);
    CHECK(reception_of_alert(46, moment) == Reception::CertificateUnknown);
    CHECK(reception_of_alert(48, moment) == Reception::UnknownCa);
    CHECK(reception_of_alert(49, moment) == Reception::OtherAlert);
    CHECK(reception_of_alert(0, moment) == Reception::Closed);
  }
}

TEST_CASE("another alert is one only when the handshake was over: what else could it be about?") {
  CHECK(reception_of_alert(40, AlertMoment::DuringHandshake) == Reception::Failed);
  CHECK(reception_of_alert(70, AlertMoment::DuringHandshake) == Reception::Failed);
  CHECK(reception_of_alert(80, AlertMoment::Afterwards) == Reception::OtherAlert);
}

TEST_CASE("what is a refusal, and how it is called") {
  CHECK_FALSE(is_refusal(Reception::Accepted));
  CHECK_FALSE(is_refusal(Reception::Left));
  CHECK_FALSE(is_refusal(Reception::Failed));
  CHECK(is_refusal(Reception::BadCertificate));
  CHECK(is_refusal(Reception::Closed));
  CHECK(to_string(Reception::BadCertificate) == "alert bad_certificate");
  CHECK(to_string(Reception::Closed) == "connection closed");
  CHECK(to_string(Sts::Pass) == "pass");
  CHECK(to_string(Sts::DomainAsSni) == "fail:domain-as-sni");
}
