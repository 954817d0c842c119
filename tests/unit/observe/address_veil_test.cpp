#include "observe/address_veil.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "observe/log_line.h"
#include "tests/support/catch.h"
#include "tls/digest.h"

using namespace postern;
using namespace postern::observe;

namespace {

AddressKey key_of(std::uint8_t octet) {
  AddressKey key;
  key.octets.fill(octet);
  return key;
}

const AddressKey key = key_of(7);
const AddressVeil full;
const AddressVeil hash(Addresses::Hash, key);
const AddressVeil domain(Addresses::Domain, key);

std::string digest(const std::string& address) { return "hash:" + address_digest(key, address); }

}  // namespace

TEST_CASE("an address is shown whole, as a digest before its domain, or as its domain") {
  CHECK(full.path("<alice@example.org>") == "<alice@example.org>");
  CHECK(hash.path("<alice@example.org>") == "<" + digest("alice@example.org") + "@example.org>");
  CHECK(domain.path("<alice@example.org>") == "<*@example.org>");
  for (const auto* veil : {&full, &hash, &domain}) CHECK(veil->path("<>") == "<>");
}

TEST_CASE("the digest is that of the manual page") {
  const std::string octets(32, '\x07');
  const auto whole = tls::hmac_sha256(octets, "alice@example.org");
  CHECK(address_digest(key, "alice@example.org") ==
        tls::hex({reinterpret_cast<const char*>(whole.data()), whole.size()}).substr(0, 12));
}

TEST_CASE("one address has one digest, however it is written") {
  const std::string one = address_digest(key, "alice@example.org");
  for (const char* same : {"<alice@example.org>", "ALICE@Example.ORG", "\"alice\"@example.org", "\"a\\lice\"@example.org",
                           "alice@example.org."}) {
    CHECK(address_digest(key, same) == one);
  }
  CHECK(address_digest(key, "x@b\xc3\xbc\x63her.example") == address_digest(key, "x@xn--bcher-kva.example"));
  CHECK(address_digest(key, "alice@example.com") != one);
  CHECK(address_digest(key, "alicf@example.org") != one);
  CHECK(address_digest(key_of(8), "alice@example.org") != one);
}

TEST_CASE("without a key a digest is no more than the domain") {
  CHECK(AddressVeil(Addresses::Hash, std::nullopt).path("<alice@example.org>") == "<*@example.org>");
}

TEST_CASE("what is no path shows nothing of itself") {
  const std::vector<std::string> paths{"<alice",          "alice",
                                       "<alice@",         "<alice@x> ORCPT=rfc822;alice@x",
                                       " <\"a>alice\"@x>", "<alice@[192.0.2.1]>",
                                       "alice alice@x y", "<@relay:alice@x>",
                                       "<alice@x alice",  "<a@alice@x>"};
  for (const auto* veil : {&hash, &domain}) {
    for (const std::string& path : paths) {
      INFO(path);
      CHECK(veil->path(path).find("alice") == std::string::npos);
    }
  }
  CHECK(domain.path("<alice@[IPv6:2001:db8::1]>") == "<*@[IPv6:2001:db8::1]>");
}

TEST_CASE("addresses in any text are hidden") {
  CHECK(domain.text("550 <alice@example.org>: no such user") == "550 <*@example.org>: no such user");
  CHECK(domain.text("alice@example.org.") == "*@example.org.");
  CHECK(hash.text("to=alice@a.example, bob@b.example") ==
        digest("to=alice@a.example") + "@a.example, " + digest("bob@b.example") + "@b.example");
  CHECK(domain.text("/x?mail=alice%40example.org&y=1") == "*@example.org&y=1");
  CHECK(domain.text("\"al ice\"@example.org is full") == "*@example.org is full");
  CHECK(hash.text("\\x22al ice\\x22@example.org") == digest("\"al ice\"@example.org") + "@example.org");
  CHECK(domain.text("j\xc3\xbcrgen@example.org") == "*@example.org");
  CHECK(domain.text("j\\xc3\\xbcrgen@b\\xc3\\xbc.example") == "*@b\\xc3\\xbc.example");
  CHECK(domain.text("alice%example.org@relay.example") == "*@relay.example");
  CHECK(domain.text("alice+tag=x@example.org") == "*@example.org");
  CHECK(domain.text("alice@bob@example.org").find("alice") == std::string::npos);
  CHECK(full.text("<alice@example.org>") == "<alice@example.org>");
}

TEST_CASE("text without addresses stays") {
  for (const char* text : {"", "2.0.0 Saved (as 7)", "@", "a @ b", "<@relay.example:", "5 @ 3"}) {
    CHECK(domain.text(text) == text);
  }
}

TEST_CASE("the local part alone of an address that is known is hidden where it is a word") {
  const std::vector<std::string> known{"<alice+news@example.org>", "<Bob@example.com>", "<>"};
  CHECK(domain.text("alice+news: mailbox alice has no folder news", known) == "*: mailbox * has no folder *");
  CHECK(hash.text("user bob is gone", known) == "user " + digest("bob@example.com") + " is gone");
  CHECK(domain.text("first\\x0aBOB, (bob) bobby", known) == "first\\x0a*, (*) bobby");
  CHECK(domain.text("bob", known) == "*");
  // The domain of an address is no place for it.
  CHECK(domain.text("carol@bob.example", known) == "*@bob.example");
}

TEST_CASE("a word that was cut may be the beginning of an address") {
  CHECK(domain.text("User unknown: <alic...") == "User unknown: <...");
  CHECK(domain.text("alic...") == "...");
}

TEST_CASE("lines of the log hide addresses") {
  RecipientRecord record;
  record.from = "<alice@example.org>";
  record.to = "<bob@example.com>";
  record.reply = "5.1.1 <bob@example.com> bob unknown; alice may ask carol, or dave@example.net";
  record.message_id = "<alice.1@example.org>";
  record.client_name = "alice@helo";
  record.forwarded_for = "name=erin@example.org";
  record.others = std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"<carol@example.com>"});
  const WallTime noon{std::chrono::seconds(1'795'460'590)};
  for (const auto format : {LineFormat::Text, LineFormat::Json}) {
    for (const auto framing : {Framing::Line, Framing::JournalEntry}) {
      const std::string line = render(record, LineStyle(format, framing, hash), noon);
      for (const char* name : {"alice", "bob", "carol", "dave", "erin"}) {
        INFO(line);
        CHECK(line.find(name) == std::string::npos);
      }
      CHECK(line.find("<" + digest("bob@example.com") + "@example.com>") != std::string::npos);
      CHECK(line.find(".1@example.org>") != std::string::npos);
    }
  }
}

TEST_CASE("of a refused command nothing is left that could be an address") {
  RefusedCommand refused;
  refused.session = "7f";
  refused.peer = *Endpoint::parse("192.0.2.1:40000");
  refused.verb = "MAIL";
  refused.line = "MAIL FROM:<a lice@example.org> SIZE=1";
  refused.path = "<a lice@example.org> SIZE=1";
  refused.code = 501;
  refused.reply = "5.1.7 Bad";
  const WallTime noon{std::chrono::seconds(1'795'460'590)};
  const std::string before = "2026-11-23T19:03:10Z info 7f: 192.0.2.1:40000: refused: ";
  CHECK(render(refused, LineFormat::Text, noon) == before + "MAIL FROM:<a lice@example.org> SIZE=1: 501 5.1.7 Bad");
  CHECK(render(refused, LineStyle(LineFormat::Text, Framing::Line, hash), noon) ==
        before + "MAIL FROM:<" + digest("a lice@example.org") + "@example.org> ...: 501 5.1.7 Bad");
  refused.verb = "VRFY";
  refused.line = "VRFY alice";
  refused.path = "";
  CHECK(render(refused, LineStyle(LineFormat::Text, Framing::Line, domain), noon) == before + "VRFY ...: 501 5.1.7 Bad");
}
