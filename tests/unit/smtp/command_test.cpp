#include "smtp/command.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;

namespace {

const Grammar forgiving{};
const Grammar strict{Tolerance::Strict, {}};

Grammar offering_smtputf8() {
  Grammar made;
  made.offered.smtputf8 = true;
  return made;
}

NamedReply refusal_of_mail(std::string_view argument, const Grammar& grammar = forgiving) {
  const auto mail = parse_mail(argument, grammar);
  REQUIRE_FALSE(mail);
  return mail.error();
}

NamedReply refusal_of_rcpt(std::string_view argument, const Grammar& grammar = forgiving) {
  const auto rcpt = parse_rcpt(argument, grammar);
  REQUIRE_FALSE(rcpt);
  return rcpt.error();
}

bool same(const NamedReply& a, const NamedReply& b) { return a.code == b.code && a.text == b.text; }

}  // namespace

TEST_CASE("a command line is a verb and an argument") {
  const auto mail = parse_command_line("MAIL FROM:<a@b.example> SIZE=3  ");
  REQUIRE(mail);
  CHECK(mail->verb == Verb::Mail);
  CHECK(mail->argument == "FROM:<a@b.example> SIZE=3");
  CHECK(parse_command_line("starttls")->verb == Verb::StartTls);
  CHECK(parse_command_line("QuIt\t")->verb == Verb::Quit);
  CHECK(parse_command_line("QuIt\t")->argument.empty());
  CHECK(parse_command_line("")->verb == Verb::Unknown);
  CHECK(parse_command_line(" NOOP")->verb == Verb::Unknown);
  CHECK(parse_command_line("NOOPX")->verb == Verb::Unknown);
  CHECK(parse_command_line("GET / HTTP/1.1")->verb == Verb::ForeignProtocol);
}

TEST_CASE("every verb is known by its name") {
  for (const auto& [name, verb] : std::vector<std::pair<std::string_view, Verb>>{{"EHLO", Verb::Ehlo},
                                                                                {"HELO", Verb::Helo},
                                                                                {"LHLO", Verb::Lhlo},
                                                                                {"RCPT", Verb::Rcpt},
                                                                                {"DATA", Verb::Data},
                                                                                {"RSET", Verb::Rset},
                                                                                {"NOOP", Verb::Noop},
                                                                                {"VRFY", Verb::Vrfy},
                                                                                {"EXPN", Verb::Expn},
                                                                                {"HELP", Verb::Help}}) {
    CHECK(verb_of(name) == verb);
  }
}

TEST_CASE("control characters and misplaced 8-bit octets make no command") {
  CHECK_FALSE(parse_command_line(std::string_view("NOOP \0", 6)));
  CHECK_FALSE(parse_command_line("NOOP \x1b[2J"));
  CHECK_FALSE(parse_command_line("NOOP \x7f"));
  CHECK_FALSE(parse_command_line("NOOP \xc3\xbc"));
  CHECK_FALSE(parse_command_line("EHLO \xc3\xbc"));
  CHECK(parse_command_line("MAIL FROM:<\xc3\xbc@b.example>"));
  CHECK(parse_command_line("VRFY \xc3\xbc"));
}

TEST_CASE("names in EHLO") {
  for (const auto* name : {"client.example", "[192.0.2.1]", "[IPv6:::1]", "localhost"}) {
    CHECK(parse_hello(name, Tolerance::Strict) == std::string_view(name));
  }
  for (const auto* name : {"my pc", "192.0.2.1", "[", "a..b"}) {
    INFO(name);
    CHECK(parse_hello(name, Tolerance::Forgiving) == std::string_view(name));
    CHECK_FALSE(parse_hello(name, Tolerance::Strict));
  }
  CHECK_FALSE(parse_hello("", Tolerance::Forgiving));
}

TEST_CASE("MAIL with its parameters") {
  const auto plain = parse_mail("FROM:<a@b.example>", strict);
  REQUIRE(plain);
  CHECK(plain->from == ReversePath{Mailbox{"a", "b.example"}});
  CHECK(plain->parameters == MailParameters{});

  const auto full = parse_mail("from:<> body=8BITMIME\t SIZE=0012 SMTPUTF8", offering_smtputf8());
  REQUIRE(full);
  CHECK_FALSE(full->from.mailbox);
  CHECK(full->parameters.body == MailParameters::Body::EightBitMime);
  CHECK(full->parameters.size == 12u);
  CHECK(full->parameters.smtputf8);
}

TEST_CASE("sizes beyond 64 bits are the largest there are (RFC 1870)") {
  CHECK(parse_mail("FROM:<> SIZE=18446744073709551616", strict)->parameters.size == 18446744073709551615ull);
  CHECK(same(refusal_of_mail("FROM:<> SIZE=184467440737095516160"), replies::bad_parameter_value));
}

TEST_CASE("MAIL that is refused") {
  CHECK(same(refusal_of_mail(""), replies::bad_sender_syntax));
  CHECK(same(refusal_of_mail("TO:<a@b.example>"), replies::bad_sender_syntax));
  CHECK(same(refusal_of_mail("FROM:a@b.example", strict), replies::bad_sender_syntax));
  CHECK(same(refusal_of_mail("FROM:<> X=1"), replies::unknown_parameter));
  CHECK(same(refusal_of_mail("FROM:<> SMTPUTF8"), replies::unknown_parameter));
  CHECK(same(refusal_of_mail("FROM:<> SMTPUTF8=x", offering_smtputf8()), replies::bad_parameter_value));
  CHECK(same(refusal_of_mail("FROM:<> SIZE=1 size=2"), replies::duplicate_parameter));
  CHECK(same(refusal_of_mail("FROM:<> BODY=7BIT BODY=8BITMIME"), replies::duplicate_parameter));
  CHECK(same(refusal_of_mail("FROM:<> -X"), replies::bad_parameter_value));
  CHECK(same(refusal_of_mail("FROM:<> X="), replies::bad_parameter_value));
  CHECK(same(refusal_of_mail("FROM:<> X=a=b"), replies::bad_parameter_value));
  CHECK(same(refusal_of_mail("FROM:<>X"), replies::bad_parameter_value));
  CHECK(same(refusal_of_mail("FROM:<\xc3\xbc@b.example>", offering_smtputf8()), replies::smtputf8_needed));
  CHECK(parse_mail("FROM:<\xc3\xbc@b.example> SMTPUTF8", offering_smtputf8()));
}

TEST_CASE("RCPT") {
  CHECK(parse_rcpt("TO:<a@b.example>", strict)->to == ForwardPath{{"a", "b.example"}});
  CHECK(parse_rcpt("to: <Postmaster>", forgiving)->to.is_bare_postmaster());
  CHECK(same(refusal_of_rcpt("FROM:<a@b.example>"), replies::bad_recipient_syntax));
  CHECK(same(refusal_of_rcpt("TO:<>"), replies::bad_recipient_syntax));
  CHECK(same(refusal_of_rcpt("TO:<a@b.example> NOTIFY=NEVER"), replies::unknown_parameter));
  CHECK(same(refusal_of_rcpt("TO:<a@b.example>,<c@d.example>"), replies::bad_parameter_value));
}

TEST_CASE("BDAT (RFC 3030 2)") {
  CHECK(parse_bdat("10")->octets == 10);
  CHECK_FALSE(parse_bdat("10")->last);
  CHECK(parse_bdat("0 last")->last);
  CHECK(parse_bdat("18446744073709551615 \t LAST")->octets == 18446744073709551615ull);
  for (const auto* bad : {"", "LAST", "-1", "+1", "1.0", "0x10", "18446744073709551616", "1 LAST LAST", "1 FIRST", "1LAST"}) {
    INFO(bad);
    CHECK_FALSE(parse_bdat(bad));
  }
}
