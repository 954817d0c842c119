// STARTTLS, BDAT, XCLIENT and XFORWARD, NOOP: what a client session does with more of a peer than it must offer.
#include "smtp/client_session.h"
#include "smtp/replies.h"
#include "tests/support/catch.h"
#include "tests/unit/smtp/client_dialogue.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;
using namespace std::chrono_literals;

namespace {

Envelope binary(std::initializer_list<const char*> names) {
  auto envelope = envelope_for(names);
  envelope.parameters.body = MailParameters::Body::BinaryMime;
  return envelope;
}

Envelope identified(std::string identify) {
  auto envelope = envelope_for({"bob"});
  envelope.identify = std::move(identify);
  return envelope;
}

constexpr std::string_view binary_offer = "250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n";

}  // namespace

TEST_CASE("what a peer offers") {
  Dialogue dialogue;
  dialogue.be_ready(
      "250-xclient NAME addr PROTO\r\n250-XFORWARD NAME ADDR\r\n250-BinaryMIME\r\n250-CHUNKING\r\n250-REQUIRETLS\r\n"
      "250-DSN\r\n250 X-UNKNOWN what\r\n");
  const auto& offered = dialogue.session.extensions();
  CHECK(offered.xclient == std::vector<std::string>{"NAME", "ADDR", "PROTO"});
  CHECK(offered.xforward == std::vector<std::string>{"NAME", "ADDR"});
  CHECK((offered.binary_mime && offered.chunking && offered.require_tls && offered.dsn));
  CHECK_FALSE((offered.pipelining || offered.smtputf8 || offered.starttls || offered.size_max));
}

// --- STARTTLS ---

TEST_CASE("where STARTTLS is required nothing else is said before it") {
  const auto cut = GENERATE(Cut::None, Cut::EachByte);
  Dialogue dialogue(Dialect::Lmtp, cut, StartTls::Required);
  dialogue.hear("220 store\r\n");
  CHECK(dialogue.hear("250-store\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n") == "STARTTLS\r\n");
  dialogue.expect_nothing();
  CHECK(dialogue.hear("220 go\r\n").empty());
  dialogue.expect<TlsWanted>();
  CHECK(dialogue.session.stage() == ClientStage::Handshake);
  CHECK(dialogue.session.deadline());
  dialogue.session.tls_started(start);
  CHECK(dialogue.session.extensions() == PeerExtensions{});
  CHECK(dialogue.session.take_output() == "LHLO mx.example.net\r\n");
  dialogue.hear("250-store\r\n250 8BITMIME\r\n");
  const auto ready = dialogue.expect<PeerReady>();
  CHECK((ready.extensions.eight_bit_mime && !ready.extensions.smtputf8));
  CHECK(dialogue.session.idle());
}

TEST_CASE("a peer that cannot start TLS where it is required") {
  Dialogue dialogue(Dialect::Smtp, Cut::None, StartTls::Required);
  dialogue.hear("220 mta\r\n");
  SECTION("does not offer it") {
    CHECK(dialogue.hear("250-mta\r\n250 PIPELINING\r\n").empty());
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Hello);
  }
  SECTION("knows HELO only") {
    CHECK(dialogue.hear("500 what\r\n") == "HELO mx.example.net\r\n");
    CHECK(dialogue.hear("250 mta\r\n").empty());
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Hello);
  }
  SECTION("refuses it") {
    dialogue.hear("250-mta\r\n250 STARTTLS\r\n");
    CHECK(dialogue.hear("454 4.7.0 no\r\n").empty());
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::StartTls);
  }
  SECTION("fails in the handshake") {
    dialogue.hear("250-mta\r\n250 STARTTLS\r\n");
    dialogue.hear("220 go\r\n");
    dialogue.expect<TlsWanted>();
    dialogue.session.connection_lost("the certificate is not trusted", start);
    dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::Handshake);
  }
  SECTION("takes too long for the handshake") {
    dialogue.hear("250-mta\r\n250 STARTTLS\r\n");
    dialogue.hear("220 go\r\n");
    dialogue.expect<TlsWanted>();
    dialogue.session.expire(*dialogue.session.deadline());
    dialogue.expect_failure(SessionFailed::Why::TimedOut, ClientStage::Handshake);
  }
}

TEST_CASE("what stands behind the answer to STARTTLS in clear is an attack") {
  Dialogue dialogue(Dialect::Smtp, Cut::None, StartTls::Required);
  dialogue.hear("220 mta\r\n");
  dialogue.hear("250-mta\r\n250 STARTTLS\r\n");
  SECTION("a reply") { dialogue.hear("220 go\r\n250-evil\r\n250 PIPELINING\r\n"); }
  SECTION("part of one") { dialogue.hear("220 go\r\n2"); }
  SECTION("a reply that comes later") {
    dialogue.hear("220 go\r\n");
    dialogue.expect<TlsWanted>();
    dialogue.hear("250-evil\r\n250 PIPELINING\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Handshake);
    return;
  }
  dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::StartTls);
}

// --- BDAT ---

TEST_CASE("a BINARYMIME message goes by BDAT, as it is") {
  Dialogue dialogue;
  dialogue.be_ready(binary_offer);
  dialogue.session.deliver(binary({"a", "b"}), start);
  CHECK(dialogue.session.take_output() ==
        "MAIL FROM:<alice@example.org> BODY=BINARYMIME\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n");
  dialogue.hear("250 ok\r\n250 ok\r\n");
  dialogue.expect_nothing();
  dialogue.hear("250 ok\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.send_body(".\r\n", start);
  dialogue.session.send_body(std::string_view(".\0\n", 3), start);
  dialogue.session.send_body("", start);
  dialogue.session.finish_body(start);
  CHECK(dialogue.session.take_output() == std::string("BDAT 3\r\n.\r\nBDAT 3\r\n.\0\nBDAT 0 LAST\r\n", 35));
  dialogue.hear("250 chunk\r\n250 chunk\r\n250 for a\r\n");
  dialogue.expect_nothing();
  dialogue.hear("452 for b\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250, 452});
  CHECK(dialogue.session.idle());
}

TEST_CASE("a BINARYMIME message of which nobody wants a copy is not sent") {
  Dialogue dialogue(Dialect::Smtp);
  dialogue.be_ready(GENERATE(as<std::string>{}, "250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n",
                             "250-CHUNKING\r\n250 BINARYMIME\r\n"));
  dialogue.session.deliver(binary({"a"}), start);
  std::string sent = dialogue.session.take_output();
  sent += dialogue.hear("250 ok\r\n");
  sent += dialogue.hear("550 5.1.1 no\r\n");
  CHECK(sent.ends_with("RCPT TO:<a@example.com>\r\nRSET\r\n"));
  dialogue.hear("250 reset\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550});
  CHECK(dialogue.session.idle());
}

TEST_CASE("a chunk that is refused is the end of the message and of the connection") {
  Dialogue dialogue(Dialect::Smtp);
  dialogue.be_ready(binary_offer);
  dialogue.session.deliver(binary({"a", "b"}), start);
  dialogue.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.send_body("x", start);
  dialogue.hear("552 5.3.4 too much\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550, 552});
  dialogue.session.finish_body(start);
  dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Body);
}

TEST_CASE("a BINARYMIME message cannot go to a peer without BINARYMIME or without CHUNKING") {
  Dialogue dialogue;
  dialogue.be_ready(GENERATE(as<std::string>{}, "250-PIPELINING\r\n250 BINARYMIME\r\n", "250 CHUNKING\r\n"));
  dialogue.session.deliver(binary({"a"}), start);
  CHECK(dialogue.session.take_output().empty());
  const auto done = dialogue.expect<DeliveryDone>();
  CHECK(done.replies.front() == replies::binarymime_unsupported_behind);
}

// --- XCLIENT and XFORWARD ---

TEST_CASE("after XCLIENT the session begins anew") {
  Dialogue dialogue;
  dialogue.be_ready("250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
  dialogue.session.deliver(identified("XCLIENT ADDR=192.0.2.1"), start);
  CHECK(dialogue.session.take_output() == "XCLIENT ADDR=192.0.2.1\r\n");
  CHECK(dialogue.session.stage() == ClientStage::Identify);
  CHECK(dialogue.hear("220 again\r\n") == "LHLO mx.example.net\r\n");
  // It offers another set to that client.
  CHECK(dialogue.hear("250-store\r\n250-XCLIENT ADDR\r\n250 8BITMIME\r\n") == "MAIL FROM:<alice@example.org>\r\n");
  dialogue.expect_nothing();
  CHECK_FALSE(dialogue.session.extensions().pipelining);
  dialogue.hear("250 ok\r\n");
  dialogue.hear("250 ok\r\n");
  dialogue.hear("354 go\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.finish_body(start);
  dialogue.hear("250 ok\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250});
  CHECK(dialogue.session.idle());
}

TEST_CASE("a peer that takes XCLIENT once has taken the connection for that client's") {
  for (const bool again : {true, false}) {
    Dialogue dialogue;
    dialogue.be_ready("250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    CHECK_FALSE(dialogue.session.bound_to_client());
    dialogue.session.deliver(identified("XCLIENT ADDR=192.0.2.1"), start);
    (void)dialogue.session.take_output();
    (void)dialogue.hear("220 store\r\n");
    (void)dialogue.hear(again ? "250-store\r\n250 XCLIENT ADDR\r\n" : "250 store\r\n");
    CHECK(dialogue.session.bound_to_client() == !again);
  }
}

TEST_CASE("a peer that does not want the client") {
  Dialogue dialogue(Dialect::Smtp);
  dialogue.be_ready("250 XCLIENT ADDR\r\n");
  dialogue.session.deliver(identified("XCLIENT ADDR=192.0.2.1"), start);
  SECTION("says so at once") {
    dialogue.hear("554 5.7.1 blocked\r\n");
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{554});
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Identify);
  }
  SECTION("says so when it is greeted") {
    dialogue.hear("220 again\r\n");
    dialogue.hear("554 5.7.1 blocked\r\n");
    dialogue.hear("554 5.7.1 blocked\r\n");  // to HELO
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{554});
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Hello);
  }
  SECTION("says that we may not use XCLIENT, which is not the client's fault") {
    dialogue.hear("550 5.7.0 insufficient authorization\r\n");
    const auto failed = dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Identify);
    CHECK(codes(failed.replies) == std::vector{0});
  }
}

TEST_CASE("XFORWARD is told before MAIL, and a peer that refuses it gets the message even so") {
  Dialogue dialogue(Dialect::Smtp);
  dialogue.be_ready("250-PIPELINING\r\n250 XFORWARD ADDR\r\n");
  dialogue.session.check(identified("XFORWARD ADDR=192.0.2.1"), start);
  CHECK(dialogue.session.take_output() == "XFORWARD ADDR=192.0.2.1\r\n");
  const auto answer = GENERATE(as<std::string>{}, "250 ok\r\n", "501 bad\r\n");
  CHECK(dialogue.hear(answer) == "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.com>\r\nRSET\r\n");
  dialogue.hear("250 ok\r\n250 ok\r\n250 ok\r\n");
  CHECK(dialogue.expect<RecipientChecked>().reply.code == 250);
}

// --- NOOP ---

TEST_CASE("a probe") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.probe(start);
  CHECK(dialogue.session.take_output() == "NOOP\r\n");
  CHECK_FALSE(dialogue.session.idle());
  SECTION("is answered") {
    dialogue.hear("250 ok\r\n");
    dialogue.expect<PeerAlive>();
    CHECK(dialogue.session.idle());
    CHECK_FALSE(dialogue.session.deadline());
  }
  SECTION("is refused") {
    dialogue.hear("502 no\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Noop);
  }
  SECTION("is not answered") {
    dialogue.session.expire(start + 60s);
    dialogue.expect_failure(SessionFailed::Why::TimedOut, ClientStage::Noop);
  }
  SECTION("finds that the peer is leaving") {
    dialogue.hear("421 bye\r\n");
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Noop);
  }
}

// --- parameters that are passed on ---

TEST_CASE("the parameters of DSN and REQUIRETLS are passed on to a peer that has them") {
  auto envelope = envelope_for({"a", "b"});
  envelope.parameters.ret = MailParameters::Return::Headers;
  envelope.parameters.envid = "QQ+2B1";
  envelope.recipient_parameters = {{Notify{true, true, false}, "rfc822;a+2B@example.com"}, {Notify{}, ""}};
  Dialogue dialogue(Dialect::Smtp, Cut::None, StartTls::Never, Privacy::Tls);
  SECTION("with both") {
    envelope.parameters.require_tls = true;
    dialogue.be_ready("250-PIPELINING\r\n250-DSN\r\n250 REQUIRETLS\r\n");
    dialogue.session.deliver(envelope, start);
    CHECK(dialogue.session.take_output() ==
          "MAIL FROM:<alice@example.org> REQUIRETLS RET=HDRS ENVID=QQ+2B1\r\n"
          "RCPT TO:<a@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2B@example.com\r\n"
          "RCPT TO:<b@example.com> NOTIFY=NEVER\r\nDATA\r\n");
  }
  SECTION("without DSN nothing is said of it") {
    dialogue.be_ready("250 PIPELINING\r\n");
    dialogue.session.deliver(envelope, start);
    CHECK(dialogue.session.take_output() ==
          "MAIL FROM:<alice@example.org>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
  }
  SECTION("without REQUIRETLS the message is not sent") {
    envelope.parameters.require_tls = true;
    dialogue.be_ready("250 DSN\r\n");
    dialogue.session.deliver(envelope, start);
    CHECK(dialogue.session.take_output().empty());
    CHECK(dialogue.expect<DeliveryDone>().replies.front() == replies::requiretls_unsupported_behind);
  }
}

TEST_CASE("REQUIRETLS needs privacy to a store, and a promise under TLS from an MTA") {
  PeerExtensions silent;
  PeerExtensions promising;
  promising.require_tls = true;
  const auto able = [](const PeerExtensions& offered, PeerRole role, Privacy privacy) {
    return capabilities_of(offered, role, privacy).require_tls;
  };
  CHECK(able(silent, PeerRole::Store, Privacy::Local));
  CHECK(able(silent, PeerRole::Store, Privacy::Tls));
  CHECK_FALSE(able(promising, PeerRole::Store, Privacy::Open));
  CHECK(able(promising, PeerRole::Mta, Privacy::Tls));
  CHECK_FALSE(able(silent, PeerRole::Mta, Privacy::Tls));
  CHECK_FALSE(able(promising, PeerRole::Mta, Privacy::Local));
}

TEST_CASE("a store on this machine gets a message with REQUIRETLS, of which it is told nothing") {
  Dialogue dialogue(Dialect::Lmtp, Cut::None, StartTls::Never, Privacy::Local);
  auto envelope = envelope_for({"a"});
  envelope.parameters.require_tls = true;
  dialogue.be_ready("250 PIPELINING\r\n");
  dialogue.session.deliver(envelope, start);
  CHECK(dialogue.session.take_output() ==
        "MAIL FROM:<alice@example.org>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n");
}
