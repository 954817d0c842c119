#include "smtp/client_session.h"

#include "smtp/replies.h"
#include "tests/support/catch.h"
#include "tests/unit/smtp/client_dialogue.h"

using namespace postern;
using namespace postern::smtp;
using namespace postern::smtp::test;
using namespace std::chrono_literals;

namespace {

std::string stuffed(std::initializer_list<std::string_view> pieces) {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"bob"}), start);
  dialogue.hear("250 a\r\n250 b\r\n354 c\r\n");
  for (const auto piece : pieces) dialogue.session.send_body(piece, start);
  dialogue.session.finish_body(start);
  return dialogue.session.take_output();
}

}  // namespace

TEST_CASE("the greeting and LHLO") {
  Dialogue dialogue;
  CHECK(dialogue.hear("").empty());
  CHECK(dialogue.hear("220-store.example LMTP\r\n220 go on\r\n") == "LHLO mx.example.net\r\n");
  CHECK_FALSE(dialogue.session.idle());
  CHECK(dialogue
            .hear("250-store.example at your service\r\n250-pipelining\r\n250-SIZE 52428800\r\n250-SMTPUTF8\r\n"
                  "250-8BITMIME\r\n250-CHUNKING\r\n250-DSN\r\n250-STARTTLS\r\n250 XCLIENT ADDR PORT\r\n")
            .empty());
  const auto offered = dialogue.expect<PeerReady>().extensions;
  CHECK(offered.pipelining);
  CHECK(offered.smtputf8);
  CHECK(offered.eight_bit_mime);
  CHECK(offered.chunking);
  CHECK(offered.dsn);
  CHECK(offered.starttls);
  CHECK(offered.size_max == 52428800u);
  CHECK(offered.keywords == std::vector<std::string>{"PIPELINING", "SIZE", "SMTPUTF8", "8BITMIME", "CHUNKING", "DSN",
                                                     "STARTTLS", "XCLIENT"});
  CHECK(dialogue.session.idle());
  CHECK_FALSE(dialogue.session.deadline());
}

TEST_CASE("an SMTP peer that does not know EHLO gets HELO") {
  Dialogue dialogue(Dialect::Smtp);
  CHECK(dialogue.hear("220 old\r\n") == "EHLO mx.example.net\r\n");
  CHECK(dialogue.hear("502 what?\r\n") == "HELO mx.example.net\r\n");
  dialogue.hear("250 old\r\n");
  CHECK(dialogue.expect<PeerReady>().extensions == PeerExtensions{});
}

TEST_CASE("a peer that refuses to serve") {
  Dialogue dialogue;
  SECTION("in its greeting") {
    dialogue.hear("554 no service\r\n");
    CHECK(dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Greeting).reply->code == 554);
  }
  SECTION("at LHLO") {
    dialogue.hear("220 hi\r\n");
    dialogue.hear("500 LHLO?\r\n");
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Hello);
  }
  SECTION("at HELO, after EHLO") {
    Dialogue smtp(Dialect::Smtp);
    smtp.hear("220 hi\r\n");
    smtp.hear("500 EHLO?\r\n");
    smtp.hear("500 HELO?\r\n");
    smtp.expect_failure(SessionFailed::Why::Refused, ClientStage::Hello);
  }
}

TEST_CASE("with PIPELINING, the commands of a message are one batch") {
  const auto cut = GENERATE(Cut::None, Cut::EachByte);
  Dialogue dialogue(Dialect::Lmtp, cut);
  dialogue.be_ready();
  auto envelope = envelope_for({"bob", "carol"});
  envelope.parameters.size = 42;
  envelope.parameters.body = MailParameters::Body::EightBitMime;
  dialogue.session.deliver(envelope, start);
  CHECK_FALSE(dialogue.session.idle());
  CHECK(dialogue.session.take_output() ==
        "MAIL FROM:<alice@example.org> SIZE=42 BODY=8BITMIME\r\nRCPT TO:<bob@example.com>\r\n"
        "RCPT TO:<carol@example.com>\r\nDATA\r\n");
  CHECK(dialogue.hear("250 2.1.0 OK\r\n250-2.1.5 first line\r\n250 2.1.5 last line\r\n250 2.1.5 OK\r\n").empty());
  dialogue.expect_nothing();
  CHECK(dialogue.hear("354 OK\r\n").empty());
  dialogue.expect<BodyWanted>();
  dialogue.session.send_body("Subject: x\r\n\r\n.dot", start);
  CHECK(dialogue.session.take_output() == "Subject: x\r\n\r\n..dot");
  dialogue.session.finish_body(start);
  CHECK(dialogue.session.take_output() == "\r\n.\r\n");
  dialogue.hear("250 2.0.0 <bob> saved\r\n");
  dialogue.expect_nothing();
  dialogue.hear("452-4.2.2 <carol>\r\n452 4.2.2 over quota\r\n");
  CHECK(dialogue.expect<DeliveryDone>().replies ==
        std::vector<Reply>{{250, "2.0.0", "<bob> saved"}, {452, "4.2.2", "<carol>\nover quota"}});
  CHECK(dialogue.session.idle());
  dialogue.expect_nothing();

  // The connection serves the next message.
  dialogue.send_message({"dave"});
  dialogue.hear("250 ok\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250});
}

TEST_CASE("without PIPELINING, every command waits") {
  Dialogue dialogue;
  dialogue.be_ready_without_pipelining();
  dialogue.session.deliver(envelope_for({"bob", "carol"}), start);
  CHECK(dialogue.session.take_output() == "MAIL FROM:<alice@example.org>\r\n");
  CHECK(dialogue.hear("250 ok\r\n") == "RCPT TO:<bob@example.com>\r\n");
  CHECK(dialogue.hear("550 5.1.1 no\r\n") == "RCPT TO:<carol@example.com>\r\n");
  CHECK(dialogue.hear("251 ok\r\n") == "DATA\r\n");
  dialogue.hear("354 go\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.finish_body(start);
  CHECK(dialogue.session.take_output() == ".\r\n");
  dialogue.hear("250 ok\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550, 250});
}

TEST_CASE("replies behind the dot belong to the accepted recipients, in their order") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"a", "b", "c", "d"}), start);
  dialogue.hear("250 s\r\n450 4.2.1 a\r\n250 b\r\n550 5.1.1 c\r\n250 d\r\n354 go\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.finish_body(start);
  dialogue.hear("554 5.7.1 b\r\n250 2.0.0 d\r\n");
  CHECK(dialogue.expect<DeliveryDone>().replies ==
        std::vector<Reply>{{450, "4.2.1", "a"}, {554, "5.7.1", "b"}, {550, "5.1.1", "c"}, {250, "2.0.0", "d"}});
}

TEST_CASE("over SMTP one reply behind the dot is for all") {
  Dialogue dialogue(Dialect::Smtp);
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"a", "b", "c"}), start);
  dialogue.hear("250 s\r\n250 a\r\n550 5.1.1 b\r\n250 c\r\n354 go\r\n");
  dialogue.expect<BodyWanted>();
  dialogue.session.finish_body(start);
  dialogue.hear("250 queued\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250, 550, 250});
  CHECK(dialogue.session.idle());
}

TEST_CASE("when every recipient is refused, the transaction is reset") {
  Dialogue dialogue;
  SECTION("pipelined") {
    dialogue.be_ready();
    dialogue.session.deliver(envelope_for({"a", "b"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("250 s\r\n550 a\r\n452 b\r\n503 no valid recipients\r\n") == "RSET\r\n");
  }
  SECTION("step by step, without DATA") {
    dialogue.be_ready_without_pipelining();
    dialogue.session.deliver(envelope_for({"a", "b"}), start);
    dialogue.hear("250 s\r\n");
    dialogue.hear("550 a\r\n");
    CHECK(dialogue.hear("452 b\r\n") == "RSET\r\n");
  }
  dialogue.expect_nothing();
  CHECK_FALSE(dialogue.session.idle());
  dialogue.hear("250 flushed\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550, 452});
  CHECK(dialogue.session.idle());
}

TEST_CASE("a peer that wants the message although it has refused every recipient gets a dot alone") {
  SECTION("over SMTP it is answered, and the answer means nothing") {
    Dialogue dialogue(Dialect::Smtp);
    dialogue.be_ready();
    dialogue.session.deliver(envelope_for({"a"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("250 s\r\n550 5.1.1 a\r\n354 go\r\n") == ".\r\n");
    dialogue.hear("250 queued\r\n");
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550});
    CHECK(dialogue.session.idle());
  }
  SECTION("over LMTP nobody knows whether it is answered: the connection is not kept") {
    Dialogue dialogue;
    dialogue.be_ready();
    dialogue.session.deliver(envelope_for({"a"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("250 s\r\n550 5.1.1 a\r\n354 go\r\n") == ".\r\n");
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550});
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Data);
  }
}

TEST_CASE("a refused sender counts for every recipient") {
  Dialogue dialogue;
  SECTION("pipelined, whatever is said of the recipients") {
    dialogue.be_ready();
    dialogue.session.deliver(envelope_for({"a", "b"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("550 5.7.1 not you\r\n250 a\r\n503 b\r\n503 data\r\n") == "RSET\r\n");
    dialogue.hear("250 ok\r\n");
    CHECK(dialogue.expect<DeliveryDone>().replies ==
          std::vector<Reply>{{550, "5.7.1", "not you"}, {550, "5.7.1", "not you"}});
    CHECK(dialogue.session.idle());
  }
  SECTION("and a 354 is not answered: the message would go to nobody knows whom") {
    dialogue.be_ready();
    dialogue.session.deliver(envelope_for({"a"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("550 5.7.1 not you\r\n250 a\r\n354 go\r\n").empty());
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550});
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Data);
  }
  SECTION("step by step, without a RCPT") {
    dialogue.be_ready_without_pipelining();
    dialogue.session.deliver(envelope_for({"a", "b"}), start);
    dialogue.session.take_output();
    CHECK(dialogue.hear("451 later\r\n") == "RSET\r\n");
    dialogue.hear("250 ok\r\n");
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{451, 451});
  }
}

TEST_CASE("a refused DATA counts for the accepted recipients") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"a", "b"}), start);
  dialogue.session.take_output();
  CHECK(dialogue.hear("250 s\r\n550 5.1.1 a\r\n250 b\r\n451 4.3.0 full\r\n") == "RSET\r\n");
  dialogue.hear("250 ok\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550, 451});
}

TEST_CASE("dot-stuffing, whatever the pieces") {
  CHECK(stuffed({}) == ".\r\n");
  CHECK(stuffed({"a\r\n"}) == "a\r\n.\r\n");
  CHECK(stuffed({"a"}) == "a\r\n.\r\n");
  CHECK(stuffed({"a\r"}) == "a\r\n.\r\n");
  CHECK(stuffed({"."}) == "..\r\n.\r\n");
  CHECK(stuffed({".\r\n"}) == "..\r\n.\r\n");
  CHECK(stuffed({"..\r\n.\r\n"}) == "...\r\n..\r\n.\r\n");
  CHECK(stuffed({"a\r\n.", "\r\nb\r\n"}) == "a\r\n..\r\nb\r\n.\r\n");
  CHECK(stuffed({"a\r\n", ".b\r\n"}) == "a\r\n..b\r\n.\r\n");
  CHECK(stuffed({"a\r", "\n", ".b", ".c\r", "\n"}) == "a\r\n..b.c\r\n.\r\n");
  CHECK(stuffed({"a.b\r\n", "", ".\r\n"}) == "a.b\r\n..\r\n.\r\n");
}

TEST_CASE("a lone LF that got here cannot end the message early") {
  CHECK(stuffed({"a\n.\r\nMAIL"}) == "a\n..\r\nMAIL\r\n.\r\n");
  CHECK(stuffed({"a\n"}) == "a\n\r\n.\r\n");
}

TEST_CASE("a recipient check holds no transaction open") {
  Dialogue dialogue;
  SECTION("pipelined") {
    dialogue.be_ready();
    dialogue.session.check({{}, {to("bob")}, {}}, start);
    CHECK(dialogue.session.take_output() == "MAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nRSET\r\n");
    dialogue.hear("250 s\r\n550 5.1.1 unknown\r\n");
    dialogue.expect_nothing();
    dialogue.hear("250 reset\r\n");
  }
  SECTION("step by step") {
    dialogue.be_ready_without_pipelining();
    dialogue.session.check({{}, {to("bob")}, {}}, start);
    CHECK(dialogue.session.take_output() == "MAIL FROM:<>\r\n");
    CHECK(dialogue.hear("250 s\r\n") == "RCPT TO:<bob@example.com>\r\n");
    CHECK(dialogue.hear("550 5.1.1 unknown\r\n") == "RSET\r\n");
    dialogue.hear("250 reset\r\n");
  }
  CHECK(dialogue.expect<RecipientChecked>().reply == Reply{550, "5.1.1", "unknown"});
  CHECK(dialogue.session.idle());
}

TEST_CASE("a recipient check: taken, or the sender refused") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.check({{}, {to("bob")}, {}}, start);
  dialogue.hear("250 s\r\n250 2.1.5 yes\r\n250 r\r\n");
  CHECK(dialogue.expect<RecipientChecked>().reply == Reply{250, "2.1.5", "yes"});
  dialogue.session.check({from_alice(), {to("bob")}, {}}, start);
  dialogue.hear("451 4.7.1 later\r\n503 no\r\n250 r\r\n");
  CHECK(dialogue.expect<RecipientChecked>().reply == Reply{451, "4.7.1", "later"});
  CHECK(dialogue.session.idle());
}

TEST_CASE("an answer that was read is not lost with the connection") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.session.check({{}, {to("bob")}, {}}, start);
  dialogue.hear("250 s\r\n550 5.1.1 unknown\r\n");
  SECTION("that closes") {
    dialogue.session.connection_lost("closed", start);
    CHECK(dialogue.expect<RecipientChecked>().reply.code == 550);
    dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::Reset);
  }
  SECTION("that refuses RSET") {
    dialogue.hear("502 RSET?\r\n");
    CHECK(dialogue.expect<RecipientChecked>().reply.code == 550);
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Reset);
  }
}

TEST_CASE("421 ends the connection at any step before the dot") {
  Dialogue dialogue;
  const auto refused_at = [&](ClientStage stage) {
    const auto failed = dialogue.expect_failure(SessionFailed::Why::Refused, stage);
    REQUIRE(failed.reply);
    CHECK(failed.reply->code == 421);
    return failed;
  };
  SECTION("greeting") {
    dialogue.hear("421 busy\r\n");
    refused_at(ClientStage::Greeting);
  }
  SECTION("LHLO") {
    dialogue.hear("220 hi\r\n421 busy\r\n");
    refused_at(ClientStage::Hello);
  }
  dialogue.session = ClientSession({Dialect::Lmtp, "mx", {}}, start);
  dialogue.be_ready();
  SECTION("idle") {
    dialogue.hear("421 idle for too long\r\n");
    refused_at(ClientStage::Idle);
  }
  dialogue.session = ClientSession({Dialect::Lmtp, "mx", {}}, start);
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"a", "b"}), start);
  SECTION("MAIL: a kept connection that the peer was about to close has answered nothing") {
    dialogue.hear("421 idle for too long\r\n");
    CHECK_FALSE(refused_at(ClientStage::Mail).answered_anything);
  }
  SECTION("RCPT, with what was said before") {
    dialogue.hear("250 s\r\n550 a\r\n421 b\r\n");
    const auto failed = refused_at(ClientStage::Rcpt);
    CHECK(codes(failed.replies) == std::vector{550, 0});
    CHECK(failed.answered_anything);
  }
  SECTION("DATA") {
    dialogue.hear("250 s\r\n250 a\r\n250 b\r\n421 x\r\n");
    refused_at(ClientStage::Data);
  }
  SECTION("the message") {
    dialogue.hear("250 s\r\n250 a\r\n250 b\r\n354 x\r\n");
    dialogue.expect<BodyWanted>();
    dialogue.session.send_body("x", start);
    dialogue.hear("421 too large\r\n");
    refused_at(ClientStage::Body);
    dialogue.session.take_output();
    dialogue.session.finish_body(start);
    CHECK(dialogue.session.take_output().empty());
  }
}

TEST_CASE("421 behind the dot is one recipient's answer, and the others' are still read") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.send_message({"a", "b", "c"});
  dialogue.hear("250 a\r\n421 b\r\n");
  dialogue.expect_nothing();
  SECTION("when they come") {
    dialogue.hear("250 c\r\n");
    CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250, 421, 250});
    dialogue.expect_failure(SessionFailed::Why::Refused, ClientStage::Idle);
  }
  SECTION("when the peer closes") {
    dialogue.session.connection_lost("closed", start);
    const auto failed = dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::AfterDot);
    CHECK(codes(failed.replies) == std::vector{250, 421, 0});
  }
}

TEST_CASE("too few replies behind the dot: the time limit ends the wait") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.send_message({"a", "b"});
  dialogue.now = start + 1min;
  dialogue.hear("250 a\r\n");
  CHECK(codes(dialogue.session.replies_so_far()) == std::vector{250, 0});
  // It is not counted anew with each reply.
  REQUIRE(dialogue.session.deadline() == start + 5min);
  dialogue.session.expire(start + 5min - 1ns);
  dialogue.expect_nothing();
  dialogue.session.expire(start + 5min);
  const auto failed = dialogue.expect_failure(SessionFailed::Why::TimedOut, ClientStage::AfterDot);
  CHECK(codes(failed.replies) == std::vector{250, 0});
}

TEST_CASE("too many replies: whatever comes unasked is a failure") {
  Dialogue dialogue;
  dialogue.be_ready();
  dialogue.send_message({"a"});
  dialogue.hear("250 a\r\n250 who?\r\n");
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{250});
  CHECK(dialogue.session.replies_so_far().empty());
  dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Idle);
}

TEST_CASE("words that no server says at that step") {
  Dialogue dialogue;
  SECTION("a greeting of 354") {
    dialogue.hear("354 hello\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Greeting);
  }
  SECTION("no reply at all, but HTTP") {
    dialogue.hear("HTTP/1.1 400 Bad Request\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Greeting);
  }
  SECTION("354 to LHLO") {
    dialogue.hear("220 hi\r\n354 go\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Hello);
  }
  dialogue.session = ClientSession({Dialect::Lmtp, "mx", {}}, start);
  dialogue.be_ready();
  dialogue.session.deliver(envelope_for({"a"}), start);
  SECTION("354 to MAIL") {
    dialogue.hear("354 go\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Mail);
  }
  SECTION("354 to RCPT") {
    dialogue.hear("250 s\r\n354 go\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Rcpt);
  }
  SECTION("250 to DATA") {
    dialogue.hear("250 s\r\n250 a\r\n250 d\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Data);
  }
  SECTION("334 to DATA") {
    dialogue.hear("250 s\r\n250 a\r\n334 d\r\n");
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Data);
  }
  SECTION("anything before the final dot") {
    dialogue.hear("250 s\r\n250 a\r\n354 go\r\n250 done\r\n");
    dialogue.expect<BodyWanted>();
    dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::Body);
  }
  SECTION("354 to the final dot") {
    dialogue.hear("250 s\r\n250 a\r\n354 go\r\n");
    dialogue.expect<BodyWanted>();
    dialogue.session.finish_body(start);
    dialogue.hear("354 again\r\n");
    CHECK(codes(dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::AfterDot).replies) ==
          std::vector{0});
  }
  SECTION("garbage behind the dot, after one recipient's answer") {
    dialogue.hear("250 s\r\n250 a\r\n354 go\r\n");
    dialogue.expect<BodyWanted>();
    dialogue.session.finish_body(start);
    dialogue.hear("\x16\x03\x01\r\n");
    CHECK(dialogue.expect_failure(SessionFailed::Why::BadReply, ClientStage::AfterDot).answered_anything);
  }
}

namespace {

/// Plays a delivery, 59 s a step, until the session waits in `stage`.
void advance_to(ClientStage stage, Dialogue& dialogue) {
  auto& session = dialogue.session;
  for (const auto* reply : {"220 hi\r\n", "250-store\r\n250 PIPELINING\r\n", "250 s\r\n", "250 a\r\n", "354 go\r\n"}) {
    if (session.stage() == stage) return;
    dialogue.now += 59s;
    dialogue.hear(reply);
    if (session.stage() != ClientStage::Idle) continue;
    dialogue.expect<PeerReady>();
    session.deliver(envelope_for({"a"}), dialogue.now);
  }
  dialogue.expect<BodyWanted>();
  dialogue.now += 59s;
  session.send_body("x", dialogue.now);
  if (stage == ClientStage::Body) return;
  dialogue.now += 59s;
  session.finish_body(dialogue.now);
}

}  // namespace

TEST_CASE("every wait has its time limit, which begins with the last step") {
  const auto stage = GENERATE(ClientStage::Greeting, ClientStage::Hello, ClientStage::Mail, ClientStage::Rcpt,
                              ClientStage::Data, ClientStage::Body, ClientStage::AfterDot);
  Dialogue dialogue;
  advance_to(stage, dialogue);
  const Duration limit = stage == ClientStage::AfterDot ? 5min : 1min;
  REQUIRE(dialogue.session.stage() == stage);
  REQUIRE(dialogue.session.deadline() == dialogue.now + limit);
  dialogue.session.expire(dialogue.now + limit - 1ns);
  dialogue.expect_nothing();
  dialogue.session.expire(dialogue.now + limit);
  dialogue.expect_failure(SessionFailed::Why::TimedOut, stage);
}

TEST_CASE("RSET has a time limit, and the answer that it does not change is given") {
  Dialogue dialogue;
  dialogue.be_ready_without_pipelining();
  dialogue.session.check({{}, {to("a")}, {}}, start);
  dialogue.hear("250 s\r\n");
  dialogue.hear("250 a\r\n");
  dialogue.session.expire(start + 60s);
  CHECK(dialogue.expect<RecipientChecked>().reply.code == 250);
  dialogue.expect_failure(SessionFailed::Why::TimedOut, ClientStage::Reset);
}

TEST_CASE("a connection that closes says how far it had come") {
  Dialogue dialogue;
  dialogue.be_ready();
  SECTION("idle") {
    dialogue.session.connection_lost("the peer closed", start);
    CHECK(dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::Idle).error.text == "the peer closed");
  }
  SECTION("before the first answer") {
    dialogue.session.deliver(envelope_for({"a"}), start);
    dialogue.session.connection_lost("reset", start);
    CHECK_FALSE(dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::Mail).answered_anything);
  }
  SECTION("twice is once") {
    dialogue.session.connection_lost("reset", start);
    dialogue.session.connection_lost("reset", start);
    dialogue.hear("250 too late\r\n");
    dialogue.expect_failure(SessionFailed::Why::PeerClosed, ClientStage::Idle);
  }
}

TEST_CASE("what the peer does not offer is not sent") {
  Dialogue dialogue;
  dialogue.be_ready("250 PIPELINING\r\n");
  auto envelope = envelope_for({"bob"});
  envelope.parameters = {MailParameters::Body::EightBitMime, 42, false};
  dialogue.session.deliver(envelope, start);
  CHECK(dialogue.session.take_output() == "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n");
}

TEST_CASE("a message that the peer cannot carry is refused without a word to it") {
  Dialogue dialogue;
  dialogue.be_ready();
  MailParameters utf8;
  utf8.smtputf8 = true;
  dialogue.session.check({{}, {to("j\xc3\xb6rg")}, utf8}, start);
  CHECK(dialogue.expect<RecipientChecked>().reply == replies::smtputf8_unsupported_behind);
  auto envelope = envelope_for({"a", "b"});
  envelope.parameters.body = MailParameters::Body::BinaryMime;
  dialogue.session.deliver(envelope, start);
  CHECK(codes(dialogue.expect<DeliveryDone>().replies) == std::vector{550, 550});
  CHECK(dialogue.session.take_output().empty());
  CHECK(dialogue.session.idle());
}

TEST_CASE("SMTPUTF8 where it is offered") {
  Dialogue dialogue;
  dialogue.be_ready("250-PIPELINING\r\n250 SMTPUTF8\r\n");
  MailParameters utf8;
  utf8.smtputf8 = true;
  dialogue.session.check({{}, {to("j\xc3\xb6rg")}, utf8}, start);
  CHECK(dialogue.session.take_output() ==
        "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<j\xc3\xb6rg@example.com>\r\nRSET\r\n");
}

TEST_CASE("quit and abandon say their last word, or none") {
  Dialogue dialogue;
  dialogue.be_ready();
  SECTION("quit") {
    dialogue.session.quit();
    CHECK(dialogue.session.take_output() == "QUIT\r\n");
    dialogue.hear("221 bye\r\n");
  }
  SECTION("abandon: no dot ever") {
    dialogue.session.deliver(envelope_for({"a"}), start);
    dialogue.hear("250 s\r\n250 a\r\n354 go\r\n");
    dialogue.session.send_body("half a mess", start);
    dialogue.session.abandon();
    dialogue.session.finish_body(start);
    CHECK(dialogue.session.take_output().empty());
  }
  dialogue.session.connection_lost("closed", start);
  dialogue.expect_nothing();
  CHECK_FALSE(dialogue.session.idle());
  CHECK_FALSE(dialogue.session.deadline());
}
