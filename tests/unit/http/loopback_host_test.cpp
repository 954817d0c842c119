#include "http/loopback_host.h"

#include "tests/support/catch.h"

using postern::http::means_loopback;

TEST_CASE("names of this machine") {
  for (const char* host : {"", "localhost", "LocalHost:9125", "a.localhost", "127.0.0.1", "127.0.0.1:9125", "127.8.9.1", "[::1]",
                           "[::1]:9125", "[::ffff:127.0.0.1]:1"}) {
    INFO(host);
    CHECK(means_loopback(host));
  }
}

TEST_CASE("what a rebound name or another machine looks like") {
  for (const char* host : {"rebound.example", "rebound.example:9125", "localhost.example", "notlocalhost", ".example", ":9125",
                           "[", "[]", "[::1", "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "127.0.0.1.example", "0.0.0.0",
                           "127.1", "localhost."}) {
    INFO(host);
    CHECK_FALSE(means_loopback(host));
  }
}
