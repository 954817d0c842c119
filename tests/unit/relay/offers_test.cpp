#include "relay/offers.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::relay;

TEST_CASE("a client is shown what is known and what is allowed, and our own STARTTLS") {
  const Offers offers{"PIPELINING", "SIZE 1000",     "VRFY", "ETRN", "STARTTLS",  "AUTH PLAIN", "XCLIENT NAME ADDR",
                      "DSN",        "DELIVERBY 240", "CHUNKING", "X-NEW thing", "XFORWARD NAME"};
  OfferPolicy policy;
  policy.message_octets_max = 5000;
  policy.pass_extensions = {"deliverby"};
  policy.starttls = OfferPolicy::Starttls::Offered;
  const Shown shown = shown_to_client("mx.example", offers, policy);
  CHECK(shown.reply.text == "mx.example\nSTARTTLS\nPIPELINING\nSIZE 1000\nDSN\nDELIVERBY 240\nCHUNKING");
  CHECK(shown.passing.chunking);
  CHECK_FALSE(shown.passing.authentication);
  CHECK(shown.passing.mail_parameters == std::vector<std::string>{"SIZE", "BODY", "RET", "ENVID", "BY"});
  CHECK(shown.passing.recipient_parameters == std::vector<std::string>{"NOTIFY", "ORCPT"});

  policy.authentication = OfferPolicy::Authentication::Passed;
  policy.own = {"XCLIENT ADDR"};
  policy.message_octets_max = 10;
  const Shown with_auth = shown_to_client("mx.example", offers, policy);
  CHECK(with_auth.passing.authentication);
  CHECK(with_auth.reply.text.find("\nAUTH PLAIN") != std::string::npos);
  CHECK(with_auth.reply.text.find("\nSIZE 10\n") != std::string::npos);
  CHECK(with_auth.reply.text.find("\nXCLIENT ADDR\n") != std::string::npos);
}

TEST_CASE("several backends offer what all of them offer") {
  CHECK(common_offers({{"PIPELINING", "SIZE 10", "DSN", "LIMITS RCPTMAX=5 MAILMAX=2"}, {"size 7", "LIMITS MAILMAX=2", "pipelining"}}) ==
        Offers{"PIPELINING", "SIZE 7", "LIMITS MAILMAX=2"});
  CHECK(common_offers({{"SIZE"}, {"SIZE 7"}}) == Offers{"SIZE 7"});
  CHECK(common_offers({}).empty());
}

TEST_CASE("what may never pass") {
  for (const auto* keyword : {"xclient", "XFORWARD", "starttls", "AUTH", "ETRN", "BURL", "TURN", "ATRN"}) {
    CHECK(must_not_pass(keyword));
  }
  CHECK_FALSE(must_not_pass("DELIVERBY"));
}
