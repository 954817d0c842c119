#include "observe/log_line.h"

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::observe;

namespace {

const WallTime noon{std::chrono::seconds(1'795'460'590)};

SessionRecord tls_session() {
  SessionRecord record;
  record.id = "7f-12";
  record.peer = *Endpoint::parse("[::1]:40000");
  record.local = *Endpoint::parse("[::1]:25");
  record.client_name = "mail.example";
  record.tls = true;
  record.sni = "mx.example";
  record.sni_match = "exact";
  record.certificate = "mx.example /etc/certs/mx.pem";
  record.tls_version = "TLSv1.3";
  record.tls_cipher = "TLS_AES_128_GCM_SHA256";
  record.outcome = "quit";
  record.messages = 1;
  record.recipients = 2;
  record.octets = 4096;
  record.handshake = std::chrono::microseconds(1260);
  record.total = std::chrono::milliseconds(2500);
  return record;
}

}  // namespace

TEST_CASE("a session with TLS, in both formats") {
  CHECK(render(tls_session(), LineFormat::Text, noon) ==
        "2026-11-23T19:03:10Z info session id=7f-12 peer=[::1]:40000 local=[::1]:25 helo=mail.example tls=TLSv1.3 "
        "cipher=TLS_AES_128_GCM_SHA256 resumed=no sni=mx.example match=exact "
        "certificate=\"mx.example /etc/certs/mx.pem\" handshake_ms=1.3 messages=1 recipients=2 octets=4096 "
        "total_ms=2500.0 outcome=quit");

  const auto json = nlohmann::json::parse(render(tls_session(), LineFormat::Json, noon));
  CHECK(json["time"] == "2026-11-23T19:03:10Z");
  CHECK(json["level"] == "info");
  CHECK(json["event"] == "session");
  CHECK(json["certificate"] == "mx.example /etc/certs/mx.pem");
  CHECK(json["handshake_ms"] == 1.3);
  CHECK(json["messages"] == 1);
}

TEST_CASE("the name of a client stands before what it calls itself") {
  SessionRecord record = tls_session();
  record.dns_name = "out.mail.example";
  CHECK(render(record, LineFormat::Text, noon).find(" name=out.mail.example helo=mail.example ") != std::string::npos);
}

TEST_CASE("a session in clear has no TLS fields") {
  SessionRecord record = tls_session();
  record.tls = false;
  record.tls_version = record.tls_cipher = record.sni = record.sni_match = record.certificate = "";
  const std::string line = render(record, LineFormat::Text, noon);
  CHECK(line.find(" tls=none messages=1 ") != std::string::npos);
  CHECK(line.find("handshake_ms") == std::string::npos);
}

TEST_CASE("a client cannot forge a field or a line") {
  SessionRecord record = tls_session();
  record.client_name = "x outcome=quit\r\nfake \"line\" \\ \xff";
  const std::string text = render(record, LineFormat::Text, noon);
  CHECK(text.find("helo=\"x outcome=quit\\x0d\\x0afake \\\"line\\\" \\x5c \\xff\" tls=") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);

  const auto json = nlohmann::json::parse(render(record, LineFormat::Json, noon));
  CHECK(json["helo"] == "x outcome=quit\\x0d\\x0afake \"line\" \\x5c \\xff");
  CHECK(json["outcome"] == "quit");
}

TEST_CASE("a long value is cut") {
  SessionRecord record = tls_session();
  record.sni = std::string(100'000, '\n');
  for (const LineFormat format : {LineFormat::Text, LineFormat::Json}) {
    const std::string line = render(record, format, noon);
    CHECK(line.size() < 4096);
    CHECK(line.find("x0a...") != std::string::npos);
  }
}

TEST_CASE("a recipient") {
  RecipientRecord record;
  record.transaction = "7f-12.1";
  record.session = "7f-12";
  record.from = "<a@example.org>";
  record.to = "<b@example.com>";
  record.peer = *Endpoint::parse("192.0.2.1:40000");
  record.client_name = "mail.example";
  record.message_id = "<1@example.org>";
  record.octets = 100;
  record.backend = "store";
  record.delay = std::chrono::milliseconds(3);
  record.code = 250;
  record.reply = "2.0.0 Saved (as 7)";
  record.status = "taken";
  CHECK(render(record, LineFormat::Text, noon) ==
        "2026-11-23T19:03:10Z info recipient id=7f-12.1 session=7f-12 from=<a@example.org> to=<b@example.com> "
        "status=taken code=250 reply=\"2.0.0 Saved (as 7)\" backend=store delay_ms=3.0 octets=100 "
        "message_id=<1@example.org> peer=192.0.2.1:40000 helo=mail.example tls=none");
  const auto json = nlohmann::json::parse(render(record, LineFormat::Json, noon));
  CHECK(json["event"] == "recipient");
  CHECK(json["code"] == 250);
  CHECK(json["reply"] == "2.0.0 Saved (as 7)");
}

TEST_CASE("other messages keep their prose and stay one line") {
  CHECK(render(Level::Warning, "map (2 names): \"a\\x0a\"\nnext", LineFormat::Text, noon) ==
        "2026-11-23T19:03:10Z warning map (2 names): \"a\\x0a\"\\x0anext");
  CHECK(render(Level::Error, "bad \xc3 octet", LineFormat::Json, noon) ==
        R"({"time":"2026-11-23T19:03:10Z","level":"error","message":"bad \\xc3 octet"})");
}
