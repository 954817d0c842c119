// What dialogues in tests/transcripts cannot show: time, memory, late answers, the calls of the interface.
#include "smtp/server_session.h"

#include <malloc.h>

#include "smtp/replies.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const Instant start{};

ServerOptions options() {
  ServerOptions made;
  made.hostname = "mx.example.net";
  made.tls = TlsState::Offered;
  return made;
}

/// A session that has said its greeting, and the small steps that the tests below are made of.
struct Talk {
  explicit Talk(ServerOptions chosen = options()) : session(std::move(chosen), start) { session.take_output(); }

  void send(std::string_view bytes, Instant now = start) { session.receive(bytes, now); }

  template <class Event>
  Event expect() {
    const auto event = session.next();
    REQUIRE(event);
    REQUIRE(std::holds_alternative<Event>(*event));
    return std::get<Event>(*event);
  }

  /// Answers the next event, which must be an Event, with yes (or 354).
  template <class Event>
  void accept(Instant now = start) {
    const auto number = expect<Event>().number;
    if constexpr (std::is_same_v<Event, BodyOffered>) {
      session.answer(number, replies::start_input, now);
    } else {
      session.answer(number, replies::ok, now);
    }
  }

  void open_transaction() {
    send("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
    accept<SenderOffered>();
    accept<RecipientOffered>();
    CHECK_FALSE(session.next());
    session.take_output();
  }

  void open_body() {
    open_transaction();
    send("DATA\r\n");
    accept<BodyOffered>();
    CHECK(session.take_output() == render(replies::start_input));
  }

  ServerSession session;
};

}  // namespace

TEST_CASE("a message from greeting to quit") {
  ServerSession session(options(), start);
  CHECK(session.take_output() == "220 mx.example.net ESMTP\r\n");
  Talk talk;
  talk.open_body();
  CHECK(talk.session.in_transaction());
  talk.send("Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
  CHECK(talk.expect<BodyChunk>().bytes == "Subject: x\r\n\r\n");
  CHECK(talk.expect<BodyChunk>().bytes == ".dot\r\n");
  const auto complete = talk.expect<MessageComplete>();
  CHECK(complete.octets == 20);
  CHECK(talk.session.awaiting_outcome());
  CHECK_FALSE(talk.session.next());
  CHECK_FALSE(talk.session.wants_input());
  CHECK(talk.session.take_output().empty());
  talk.session.answer(complete.number, replies::taken, start);
  CHECK_FALSE(talk.session.in_transaction());
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::Quit);
  CHECK(talk.session.take_output() == render(replies::taken) + render(replies::closing));
  CHECK_FALSE(talk.session.next());
}

TEST_CASE("replies leave in the order of the commands, however late and in whatever order the answers come") {
  Talk talk;
  talk.send("EHLO x\r\nMAIL FROM:<>\r\n");
  talk.accept<SenderOffered>();
  talk.session.take_output();
  talk.send("RCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nNOOP\r\nRCPT TO:<c@x.example>\r\nDATA\r\n");
  const auto a = talk.expect<RecipientOffered>();
  const auto b = talk.expect<RecipientOffered>();
  const auto c = talk.expect<RecipientOffered>();
  CHECK_FALSE(talk.session.next());
  talk.session.answer(c.number, {250, "2.1.5", "c"}, start);
  talk.session.answer(b.number, {550, "5.1.1", "b"}, start);
  CHECK(talk.session.take_output().empty());
  CHECK_FALSE(talk.session.next());
  talk.session.answer(a.number, {250, "2.1.5", "a"}, start);
  CHECK(talk.session.take_output() == "250 2.1.5 a\r\n550 5.1.1 b\r\n250 2.0.0 OK\r\n250 2.1.5 c\r\n");
  CHECK(std::holds_alternative<BodyOffered>(*talk.session.next()));
}

TEST_CASE("an answer under an unknown or used number changes nothing") {
  Talk talk;
  talk.send("EHLO x\r\nMAIL FROM:<>\r\n");
  const auto sender = talk.expect<SenderOffered>();
  talk.session.take_output();
  talk.session.answer(sender.number + 1, replies::ok, start);
  CHECK(talk.session.take_output().empty());
  talk.session.answer(sender.number, replies::sender_ok, start);
  talk.session.answer(sender.number, replies::sender_ok, start);
  CHECK(talk.session.take_output() == render(replies::sender_ok));
}

TEST_CASE("at most pipeline_depth answers are open") {
  auto chosen = options();
  chosen.limits.pipeline_depth = 2;
  Talk talk(chosen);
  talk.send("EHLO x\r\nMAIL FROM:<>\r\n");
  talk.accept<SenderOffered>();
  talk.send("RCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\n");
  const auto a = talk.expect<RecipientOffered>();
  talk.expect<RecipientOffered>();
  CHECK_FALSE(talk.session.next());
  CHECK_FALSE(talk.session.wants_input());
  talk.session.answer(a.number, replies::recipient_ok, start);
  CHECK(talk.expect<RecipientOffered>().to.mailbox.local_part == "c");
}

TEST_CASE("the client's clock runs only while it is the client's turn") {
  Talk talk;
  CHECK(talk.session.deadline() == start + minutes(5));
  talk.session.expire(start + minutes(5) - seconds(1));
  CHECK_FALSE(talk.session.next());

  talk.send("EHLO x\r\nMAIL FROM:<>\r\n", start + minutes(4));
  const auto sender = talk.expect<SenderOffered>();
  CHECK_FALSE(talk.session.deadline());
  talk.session.answer(sender.number, replies::sender_ok, start + minutes(20));
  CHECK(talk.session.deadline() == start + minutes(25));

  talk.send("RCPT T", start + minutes(24));  // half a command is none
  CHECK_FALSE(talk.session.next());
  CHECK(talk.session.deadline() == start + minutes(25));
  talk.session.take_output();
  talk.session.expire(start + minutes(25));
  CHECK(talk.expect<TransactionEnded>().why == TransactionEnded::Why::Closing);
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TimedOut);
  CHECK(talk.session.take_output() == render(replies::timed_out));
  CHECK_FALSE(talk.session.deadline());
}

TEST_CASE("each piece of a message restarts the clock of the data") {
  ServerOptions patient = options();
  patient.limits.data_octets_per_second_min = 0;
  Talk talk(patient);
  talk.open_body();
  CHECK(talk.session.deadline() == start + minutes(3));
  talk.send("text", start + minutes(2));
  talk.expect<BodyChunk>();
  CHECK(talk.session.deadline() == start + minutes(5));
  talk.send("\r\n.\r\n", start + minutes(4));
  talk.expect<BodyChunk>();
  const auto complete = talk.expect<MessageComplete>();
  CHECK_FALSE(talk.session.deadline());
  talk.session.answer(complete.number, replies::taken, start + minutes(10));
  CHECK(talk.session.deadline() == start + minutes(15));
}

TEST_CASE("a message that trickles in is given up, however regularly its pieces come") {
  Talk talk;
  talk.open_body();
  const std::string minute(60 * 50, 'x');  // half of what is wanted
  Instant now = start;
  while (now < *talk.session.deadline()) {
    now += minutes(1);
    talk.session.expire(now);
    if (!talk.session.deadline()) break;
    talk.send(minute, now);
    while (talk.session.next()) {
    }
  }
  talk.session.expire(now);
  CHECK(now - start == minutes(5));  // three that are free, and two for what has come in four
  CHECK(talk.expect<TransactionEnded>().why == TransactionEnded::Why::Closing);
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TooSlow);
  CHECK(talk.session.take_output() == render(replies::too_slow));
}

TEST_CASE("chunks that trickle in are given up too, and time that we take ourselves does not count") {
  ServerOptions chunking = options();
  chunking.extensions.chunking = true;
  Talk talk(chunking);
  talk.open_transaction();
  talk.send("BDAT 1\r\n");
  const auto asked = talk.expect<BodyOffered>();
  const Instant answered = start + minutes(10);
  talk.session.answer(asked.number, replies::start_input, answered);
  talk.send("x", answered);
  talk.expect<BodyChunk>();
  CHECK_FALSE(talk.session.next());
  CHECK(talk.session.deadline() == answered + minutes(3));
  talk.send("BDAT 1\r\ny", answered + minutes(2));
  talk.expect<BodyChunk>();
  CHECK_FALSE(talk.session.next());
  CHECK(talk.session.deadline() == answered + minutes(3));
  talk.session.expire(answered + minutes(3));
  talk.expect<TransactionEnded>();
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TooSlow);
}

TEST_CASE("a handshake that does not end is dropped without a word in clear") {
  Talk talk;
  talk.send("EHLO x\r\nSTARTTLS\r\n");
  talk.expect<TlsRequested>();
  talk.session.take_output();
  CHECK(talk.session.deadline() == start + seconds(30));
  talk.session.expire(start + seconds(30));
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TimedOut);
  CHECK(talk.session.take_output().empty());
}

TEST_CASE("nothing that was learnt in clear survives the handshake (RFC 3207 4.2)") {
  Talk talk;
  talk.send("EHLO clear.example\r\nSTARTTLS\r\n");
  talk.expect<TlsRequested>();
  CHECK(talk.session.client_name() == "clear.example");
  talk.session.take_output();
  talk.send("EHLO injected.example\r\nMAIL FROM:<x@y.example>\r\n");  // came in clear, in a later segment
  CHECK_FALSE(talk.session.next());
  CHECK_FALSE(talk.session.wants_input());

  Extensions over_tls;
  over_tls.smtputf8 = true;
  talk.session.tls_started("sni.example.net", over_tls, start + seconds(1));
  CHECK(talk.session.client_name().empty());
  CHECK_FALSE(talk.session.next());
  CHECK(talk.session.take_output().empty());
  CHECK(talk.session.deadline() == start + seconds(1) + minutes(5));

  talk.send("MAIL FROM:<>\r\nEHLO tls.example\r\n");
  CHECK(talk.expect<CommandRefused>().reply == replies::hello_first);
  CHECK_FALSE(talk.session.next());
  const auto output = talk.session.take_output();
  CHECK(output.starts_with(render(replies::hello_first)));
  CHECK(output.find("250-sni.example.net\r\n") != std::string::npos);
  CHECK(output.find("STARTTLS") == std::string::npos);
  CHECK(output.ends_with("250 SMTPUTF8\r\n"));
  CHECK(talk.session.protocol_name() == "ESMTPS");
}

TEST_CASE("bytes behind STARTTLS end the session, in the same segment or while its turn is awaited (CVE-2011-0411)") {
  Talk talk;
  talk.send("EHLO x\r\nSTARTTLS\r\nE");
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::Injection);
  CHECK(talk.session.take_output().ends_with(render(replies::bytes_behind_starttls)));

  Talk later;
  later.send("EHLO x\r\nMAIL FROM:<>\r\n");
  const auto sender = later.expect<SenderOffered>();
  later.send("STARTTLS\r\n");
  CHECK_FALSE(later.session.next());
  later.send("EHLO injected\r\n");
  later.session.answer(sender.number, {450, "4.0.0", "no"}, start);
  CHECK(later.expect<SessionClosing>().why == SessionClosing::Why::Injection);
}

TEST_CASE("a session that is shut down says so between transactions") {
  Talk talk;
  talk.session.shut_down();
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::ShuttingDown);
  CHECK(talk.session.take_output() == render(replies::shutting_down));
}

TEST_CASE("a session that is shut down answers the message that it has") {
  Talk talk;
  talk.open_body();
  talk.session.shut_down();
  CHECK_FALSE(talk.session.next());
  talk.send(".\r\nMAIL FROM:<>\r\n");
  const auto complete = talk.expect<MessageComplete>();
  CHECK_FALSE(talk.session.next());
  talk.session.answer(complete.number, replies::taken, start);
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::ShuttingDown);
  CHECK(talk.session.take_output() == render(replies::taken) + render(replies::shutting_down));
}

TEST_CASE("a client that has sent everything and closed its side still gets every reply") {
  Talk talk;
  talk.open_body();
  talk.send("x\r\n.\r\nQUIT\r\n");
  talk.session.end_of_input();
  talk.expect<BodyChunk>();
  const auto complete = talk.expect<MessageComplete>();
  CHECK_FALSE(talk.session.next());
  talk.session.answer(complete.number, replies::taken, start);
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::Quit);
  CHECK(talk.session.take_output() == render(replies::taken) + render(replies::closing));
}

TEST_CASE("a message that is cut off is not complete") {
  for (const auto* cut : {"", "text", "text\r\n", "text\r\n.", "text\r\n.\r"}) {
    Talk talk;
    talk.open_body();
    talk.send(cut);
    talk.session.end_of_input();
    bool ended = false;
    std::optional<SessionClosing::Why> closing;
    while (const auto event = talk.session.next()) {
      CHECK_FALSE(std::holds_alternative<MessageComplete>(*event));
      if (std::holds_alternative<TransactionEnded>(*event)) ended = true;
      if (const auto* c = std::get_if<SessionClosing>(&*event)) closing = c->why;
    }
    CHECK(ended);
    CHECK(closing == SessionClosing::Why::PeerClosed);
  }
}

TEST_CASE("who is told that a transaction has ended also learns how its message was refused") {
  Talk talk;
  talk.open_body();
  talk.send("bare\nline feed\r\n");
  CHECK(talk.expect<BodyChunk>().bytes == "bare");
  const auto ended = talk.expect<TransactionEnded>();
  CHECK(ended.why == TransactionEnded::Why::Smuggling);
  REQUIRE(ended.refusal);
  CHECK(*ended.refusal == replies::smuggling);
  CHECK(talk.session.take_output().empty());  // the client is told at the end of its data
  talk.send(".\r\nMAIL FROM:<>\r\n");
  talk.accept<SenderOffered>();
  CHECK(talk.session.take_output() == render(replies::smuggling) + render(replies::ok));
  talk.send("RSET\r\n");
  CHECK_FALSE(talk.expect<TransactionEnded>().refusal);
}

TEST_CASE("stale addresses count little, mistakes count in full") {
  auto chosen = options();
  chosen.limits.errors_max = 2;
  Talk talk(chosen);
  talk.send("EHLO x\r\nMAIL FROM:<>\r\n");
  talk.accept<SenderOffered>();
  for (int i = 0; i < 20; ++i) {
    talk.send("RCPT TO:<gone@x.example>\r\n");
    talk.session.answer(talk.expect<RecipientOffered>().number, replies::no_such_mailbox, start);
  }
  talk.session.take_output();
  talk.send("RCPT TO:<gone@x.example>\r\n");
  CHECK(talk.expect<TransactionEnded>().why == TransactionEnded::Why::Closing);
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TooManyErrors);
  CHECK(talk.session.take_output() == render(replies::too_many_errors));
}

TEST_CASE("a message that is taken forgives the errors before it") {
  auto chosen = options();
  chosen.limits.errors_max = 2;
  Talk talk(chosen);
  talk.send("BOGUS\r\n");
  talk.expect<CommandRefused>();
  talk.open_body();
  talk.send(".\r\n");
  talk.accept<MessageComplete>();
  talk.send("BOGUS\r\nBOGUS\r\n");
  talk.expect<CommandRefused>();
  talk.expect<CommandRefused>();
  CHECK_FALSE(talk.session.next());
  talk.send("NOOP\r\n");
  CHECK(talk.expect<SessionClosing>().why == SessionClosing::Why::TooManyErrors);
}

TEST_CASE("LMTP answers for each recipient (RFC 2033 4.2)") {
  auto chosen = options();
  chosen.dialect = Dialect::Lmtp;
  Talk talk(chosen);
  talk.send("LHLO x\r\nMAIL FROM:<>\r\n");
  talk.accept<SenderOffered>();
  talk.send("RCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
  talk.accept<RecipientOffered>();
  talk.accept<RecipientOffered>();
  talk.accept<BodyOffered>();
  talk.session.take_output();
  talk.send("x\r\n.\r\n");
  talk.expect<BodyChunk>();
  CHECK(talk.session.protocol_name() == "LMTP");
  const auto complete = talk.expect<MessageComplete>();
  talk.session.answer_recipients(complete.number, {{250, "2.0.0", "a"}, {452, "4.2.2", "b"}}, start);
  CHECK(talk.session.take_output() == "250 2.0.0 a\r\n452 4.2.2 b\r\n");
}

TEST_CASE("an idle session is small") {
  constexpr std::size_t count = 1000;
  std::vector<ServerSession> sessions;
  sessions.reserve(count);
  const auto before = mallinfo2().uordblks;
  for (std::size_t i = 0; i < count; ++i) {
    sessions.emplace_back(options(), start);
    sessions.back().receive("EHLO client.example.com\r\nNOOP\r\n", start);
    while (sessions.back().next()) continue;
    sessions.back().take_output();
  }
  const auto octets = (mallinfo2().uordblks - before) / count;
  WARN("an idle session holds " << octets << " octets");
  CHECK(octets < 1024);  // of the 3 KiB for a whole idle connection (DESIGN section 8); a sanitizer's heap counts as 0
}

namespace {

/// What a client keeps sending, what becomes of the questions that it raises, and of the replies to it.
struct Hostile {
  const char* what;
  std::string first;   // once
  std::string flood;   // for as long as it is read
  bool answered;       // questions: yes, or never
  bool fetched;        // replies: by the client, or never
};

/// The most that one session held of the heap at any time.
std::size_t most_held(const Hostile& client) {
  constexpr int copies = 20;  // so that what the heap keeps for itself counts little
  ServerOptions chosen = options();
  chosen.extensions = {true, true, true, true, true, true, true};
  chosen.limits.errors_max = 1'000'000;
  chosen.limits.unknown_commands_max = 1'000'000;
  std::string reads;
  while (reads.size() < command_read_octets_max) reads += client.flood;
  reads.resize(command_read_octets_max);

  std::vector<ServerSession> sessions;
  sessions.reserve(copies);
  const auto before = mallinfo2().uordblks;
  for (int i = 0; i < copies; ++i) sessions.emplace_back(chosen, start);
  std::size_t most = 0;
  const auto work = [&](ServerSession& session) {
    while (const auto event = session.next()) {
      if (!client.answered) continue;
      if (const auto* sender = std::get_if<SenderOffered>(&*event)) session.answer(sender->number, replies::ok, start);
      if (const auto* to = std::get_if<RecipientOffered>(&*event)) session.answer(to->number, replies::ok, start);
    }
    most = std::max(most, mallinfo2().uordblks - before);
    if (client.fetched) session.take_output();
  };
  for (int round = 0; round < 20; ++round) {
    for (auto& session : sessions) {
      if (!session.wants_input()) continue;
      session.receive(round == 0 ? client.first : reads, start);
      work(session);
    }
  }
  return most / copies;
}

}  // namespace

TEST_CASE("outside a message no session holds more than 64 KiB, whatever is sent") {
  const std::string hello = "EHLO client.example\r\n";
  const std::string long_word(1900, 'x');
  const std::string rcpt = "RCPT TO:<" + std::string(900, 'y') + "@example.com> ORCPT=rfc822;" + std::string(480, 'z') + "\r\n";
  const std::string mail = "MAIL FROM:<" + std::string(900, 'y') + "@example.com> ENVID=" + std::string(100, 'z') + "\r\n";
  const std::vector<Hostile> clients{
      {"a line without end", hello, "x", true, true},
      {"long lines", hello, long_word + "\r\n", true, false},
      {"replies that are much longer than commands", hello, "HELP\r\n", true, false},
      {"hellos with long names", hello, "EHLO " + long_word + "\r\n", true, false},
      {"recipients that nobody answers", hello + "MAIL FROM:<a@b.example>\r\n", rcpt, false, false},
      {"senders that nobody answers", hello, mail, false, false},
      {"recipients without end", hello + mail, rcpt, true, false},
      {"transactions without end", hello, mail + rcpt + "RSET\r\n", true, false},
      {"commands behind an open question", hello + mail, "NOOP\r\nHELP\r\n", false, false},
      {"a chunk that nobody wants", hello + "BDAT 99999999\r\n", "x", true, false},
      {"empty chunks that nobody wants", hello, "BDAT 0\r\n", true, false},
      {"bytes in front of a handshake", hello + "STARTTLS\r\n", "x", true, false},
      {"bytes behind the end", "QUIT\r\n", "NOOP\r\n", true, false},
      {"a bare LF", hello, "NOOP\nNOOP\n", true, false},
  };
  for (const auto& client : clients) {
    INFO(client.what);
    CHECK(most_held(client) <= 64 * 1024);  // a sanitizer's heap counts as 0
  }
}

TEST_CASE("replies that nobody fetches stop the reading of commands") {
  Talk talk;
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "HELP\r\n";
  talk.send("EHLO x\r\n" + many);
  std::string said;
  int turns = 0;
  for (bool full = true; full; ++turns) {
    CHECK_FALSE(talk.session.next());
    full = talk.session.output_full();
    CHECK(talk.session.wants_input() != full);
    const auto piece = talk.session.take_output();
    CHECK(piece.size() < 9 * 1024);
    said += piece;
  }
  CHECK(turns > 3);
  std::string wanted = said.substr(0, said.find("214"));
  for (int i = 0; i < 1000; ++i) wanted += render(replies::help);
  CHECK(said == wanted);
}

TEST_CASE("the names of the reasons for closing") {
  CHECK(to_string(SessionClosing::Why::Quit) == "quit");
  CHECK(to_string(SessionClosing::Why::Injection) == "bytes behind STARTTLS");
}

TEST_CASE("what the session refuses by itself is told, with the line that was refused") {
  auto chosen = options();
  chosen.limits.recipients_max = 1;
  Talk talk(chosen);
  talk.open_transaction();
  const auto told = [&talk](std::string_view line) {
    talk.send(std::string(line) + "\r\n");
    return talk.expect<CommandRefused>();
  };
  SECTION("recipients") {
    const auto syntax = told("RCPT TO:<a b@c.example>");
    CHECK(syntax.verb == Verb::Rcpt);
    CHECK(syntax.line == "RCPT TO:<a b@c.example>");
    CHECK(syntax.reply.code == 501);
    CHECK(told("RCPT TO:<d@c.example> NOTIFY=NEVER").reply == replies::unknown_parameter);
    CHECK(told("RCPT TO:<one.too@many.example>").reply == replies::too_many_recipients);
  }
  SECTION("other commands, of which nothing secret is kept, and not too much") {
    CHECK(told("MAIL FROM:<a@b.example>").reply == replies::sender_given);
    CHECK(told("AUTH PLAIN AGFsaWNlAHNlY3JldA==").line == "AUTH");
    CHECK(told("X" + std::string(1000, 'y')).line.size() == refused_octets_max);
    CHECK(told(std::string(5000, 'z')).line.empty());
  }
  CHECK_FALSE(talk.session.next());
}

TEST_CASE("a peer that is trusted says who the client is, outside a transaction") {
  ServerOptions trusting = options();
  trusting.xclient = "NAME ADDR";
  trusting.xforward = "ADDR";
  Talk talk(trusting);
  talk.send("XFORWARD ADDR=192.0.2.1\r\nEHLO proxy.example\r\n");
  const auto forwarded = talk.expect<IdentityOffered>();
  CHECK(forwarded.verb == Verb::Xforward);
  CHECK(forwarded.argument == "ADDR=192.0.2.1");
  CHECK_FALSE(talk.session.next());  // EHLO waits
  talk.session.answer(forwarded.number, replies::ok, start);
  CHECK_FALSE(talk.session.next());
  const std::string said = talk.session.take_output();
  CHECK(said.find("250-XCLIENT NAME ADDR\r\n250 XFORWARD ADDR\r\n") != std::string::npos);

  talk.send("MAIL FROM:<a@b.example>\r\nXCLIENT ADDR=192.0.2.1\r\n");
  talk.accept<SenderOffered>();
  CHECK(talk.expect<CommandRefused>().reply == replies::identity_in_transaction);
  talk.session.take_output();

  talk.send("RSET\r\nXCLIENT ADDR=192.0.2.1\r\nEHLO client.example\r\n");
  CHECK(talk.expect<TransactionEnded>().why == TransactionEnded::Why::Reset);
  const auto named = talk.expect<IdentityOffered>();
  CHECK(named.verb == Verb::Xclient);
  CHECK(talk.session.take_output() == render(replies::was_reset));
  CHECK(talk.session.take_unread() == "EHLO client.example\r\n");
  talk.session.answer(named.number, {501, "5.5.4", "no"}, start);  // or another session begins
  talk.send("MAIL FROM:<a@b.example>\r\n");
  talk.accept<SenderOffered>();  // what was said before is still known
  CHECK(talk.session.take_output() == "501 5.5.4 no\r\n" + render(replies::ok));
}

TEST_CASE("XCLIENT and XFORWARD of everybody else are no commands") {
  Talk talk;
  talk.send("EHLO a.example\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD ADDR=192.0.2.1\r\n");
  CHECK(talk.expect<CommandRefused>().reply == replies::unknown_command);
  CHECK(talk.expect<CommandRefused>().reply == replies::unknown_command);
  CHECK(talk.session.take_output().find("XCLIENT") == std::string::npos);
}
