#include "delivery/ledger_key.h"

#include "tests/support/catch.h"

using namespace postern;
using delivery::MessageKey;

namespace {

delivery::LedgerSecret secret_of(std::uint8_t octet) {
  delivery::LedgerSecret secret;
  secret.octets.fill(octet);
  return secret;
}

const IpAddress here = *IpAddress::parse("192.0.2.1");
const IpAddress there = *IpAddress::parse("198.51.100.7");

MessageKey key_of(std::string_view message, std::string_view sender = "a@b.test", const IpAddress& client = here) {
  delivery::MessageDigester digester;
  digester.receive(message);
  return digester.finish(secret_of(1), sender, client);
}

const std::string plain =
    "From: A <a@b.test>\r\nDate: Mon, 23 Nov 2026 19:03:10 +0000\r\nSubject: Hello there\r\n"
    "Message-ID: <1@b.test>\r\n\r\nThe body.\r\n";

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  text.replace(text.find(what), what.size(), with);
  return text;
}

}  // namespace

TEST_CASE("the key of a message does not depend on how it is cut") {
  const auto expected = key_of(plain);
  for (std::size_t first = 0; first <= plain.size(); ++first) {
    delivery::MessageDigester digester;
    digester.receive(std::string_view(plain).substr(0, first));
    digester.receive({});
    digester.receive(std::string_view(plain).substr(first));
    CHECK((digester.finish(secret_of(1), "a@b.test", here) == expected));
  }
  delivery::MessageDigester digester;
  for (const char c : plain) digester.receive({&c, 1});
  CHECK((digester.finish(secret_of(1), "a@b.test", here) == expected));
}

TEST_CASE("what hops add or change makes no other message") {
  const auto same = GENERATE(
      "Received: from x by y; Mon, 23 Nov 2026 19:05:00 +0000\r\n" + plain,
      "DKIM-Signature: v=1; t=1;\r\n\tb=abc\r\nARC-Seal: i=1\r\nX-Spam: no\r\nAuthentication-Results: mx\r\n" + plain,
      "Return-Path: <a@b.test>\r\n" + plain, replaced(plain, "Hello there", "Hello\r\n there"),
      replaced(plain, "Subject: ", "SUBJECT:\t"), replaced(plain, "Hello there", "Hello   there  "),
      replaced(plain, "Message-ID: ", "Message-Id:\r\n "),
      replaced(plain, "From: A", "X-Very-Long-Name-" + std::string(5000, 'x') + ": y\r\nFrom: A"));
  CHECK((key_of(same) == key_of(plain)));
  CHECK((key_of(same, "a@b.test", there) == key_of(plain)));
}

TEST_CASE("what its author wrote makes the message") {
  const auto other = GENERATE(
      replaced(plain, "The body", "the body"), replaced(plain, "<1@b", "<2@b"), replaced(plain, "A <a", "B <a"),
      replaced(plain, "19:03:10", "19:03:11"), replaced(plain, "Hello there", "Hello"), plain + "\r\n",
      replaced(plain, "Subject: Hello there\r\n", ""), replaced(plain, "Subject: ", "Subject: x\r\nSubject: "),
      replaced(plain, "Message-ID: <1@b.test>\r\n\r\n", "\r\nMessage-ID: <1@b.test>\r\n"));
  CHECK((key_of(other) != key_of(plain)));
  CHECK((key_of(plain, "c@b.test") != key_of(plain)));
  delivery::MessageDigester digester;
  digester.receive(plain);
  CHECK((digester.finish(secret_of(2), "a@b.test", here) != key_of(plain)));
}

TEST_CASE("without a Message-ID every octet counts, and where it came from") {
  const auto without = GENERATE(as<std::string>(), "Subject: report\r\n\r\nall is well\r\n",
                                "Subject: report\r\nMessage-ID:\r\n\r\nall is well\r\n", "\r\nno header\r\n", "",
                                "no header and no body\r\n");
  CHECK((key_of(without) == key_of(without)));
  CHECK((key_of(without) != key_of(without, "a@b.test", there)));
  CHECK((key_of("X-New: 1\r\n" + without) != key_of(without)));
  CHECK((key_of(without + "x") != key_of(without)));
}

TEST_CASE("an envelope is a sender and a recipient; only the domain's case is free") {
  const auto secret = secret_of(1);
  const auto path = [](const char* text) { return smtp::ForwardPath{*smtp::parse_mailbox(text)}; };
  const auto key = delivery::envelope_key(secret, "a@b.test", path("user@example.test"));
  CHECK((key == delivery::envelope_key(secret, "a@b.test", path("user@EXAMPLE.test"))));
  CHECK((key != delivery::envelope_key(secret, "a@b.test", path("User@example.test"))));
  CHECK((key != delivery::envelope_key(secret, "<>", path("user@example.test"))));
  CHECK((key != delivery::envelope_key(secret_of(2), "a@b.test", path("user@example.test"))));
}
