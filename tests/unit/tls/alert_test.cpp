#include "tls/alert.h"

#include "tests/support/catch.h"

using namespace postern::tls;

TEST_CASE("alerts have the names of the registry", "[alert]") {
  CHECK(alert_name(alert_close_notify) == "close_notify");
  CHECK(alert_name(42) == "bad_certificate");
  CHECK(alert_name(48) == "unknown_ca");
  CHECK(alert_name(112) == "unrecognized_name");
  CHECK(alert_name(120) == "no_application_protocol");
  CHECK(alert_name(99) == "unknown");
  CHECK(alert_name(-1) == "unknown");
}
