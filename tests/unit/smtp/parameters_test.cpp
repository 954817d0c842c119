#include "smtp/parameters.h"

#include "tests/support/catch.h"

using namespace postern::smtp;
using Body = MailParameters::Body;
using Return = MailParameters::Return;

namespace {

const Extensions everything{true, true, true, true, true, true, true};

MailParameters mail(std::string_view text, const Extensions& offered = everything) {
  INFO(text);
  const auto parsed = parse_mail_parameters(text, offered);
  REQUIRE(parsed);
  return *parsed;
}

NamedReply refusal(std::string_view text, const Extensions& offered = everything) {
  INFO(text);
  const auto parsed = parse_mail_parameters(text, offered);
  REQUIRE_FALSE(parsed);
  return parsed.error();
}

RecipientParameters rcpt(std::string_view text) {
  INFO(text);
  const auto parsed = parse_recipient_parameters(text, everything, AddressCharset::Ascii);
  REQUIRE(parsed);
  return *parsed;
}

bool refuses(std::string_view text, AddressCharset charset = AddressCharset::Ascii) {
  return !parse_recipient_parameters(text, everything, charset);
}

bool same(const NamedReply& a, const NamedReply& b) { return Reply(a) == b; }

}  // namespace

TEST_CASE("all parameters of MAIL together") {
  const auto all = mail(" SIZE=12 BODY=BINARYMIME SMTPUTF8 REQUIRETLS PRDR RET=FULL ENVID=a+2Bb");
  CHECK(all == MailParameters{Body::BinaryMime, 12, true, true, true, Return::Full, "a+2Bb"});
  CHECK(mail("") == MailParameters{});
  CHECK(mail("  ") == MailParameters{});
  const auto some = mail("\tsize=1\t body=8bitmime ret=hdrs");
  CHECK(some == MailParameters{Body::EightBitMime, 1, false, false, false, Return::Headers, ""});
}

TEST_CASE("parameters of MAIL that are not offered") {
  const Extensions nothing;
  CHECK(mail(" SIZE=12 BODY=8BITMIME", nothing).size == 12);
  for (const auto* text : {" SMTPUTF8", " PRDR", " RET=FULL", " ENVID=x", " AUTH=<>", " X-Y=1"}) {
    CHECK(same(refusal(text, nothing), replies::unknown_parameter));
  }
  CHECK(same(refusal(" REQUIRETLS", nothing), replies::requiretls_unavailable));
  CHECK(same(refusal(" BODY=BINARYMIME", nothing), replies::bad_parameter_value));
}

TEST_CASE("a size beyond 64 bits is a size, and larger than any limit") {
  CHECK(mail(" SIZE=18446744073709551615").size == 18446744073709551615u);
  CHECK(mail(" SIZE=99999999999999999999").size == 18446744073709551615u);
  CHECK(same(refusal(" SIZE=100000000000000000000"), replies::bad_parameter_value));
}

TEST_CASE("parameters of RCPT") {
  CHECK(rcpt("") == RecipientParameters{});
  CHECK(rcpt(" NOTIFY=NEVER") == RecipientParameters{Notify{}, ""});
  CHECK(rcpt(" notify=success,Delay ORCPT=rfc822;a+3Db") == RecipientParameters{Notify{true, false, true}, "rfc822;a+3Db"});
  CHECK(refuses(" NOTIFY=NEVER,DELAY"));
  CHECK(refuses(" ORCPT=rfc822"));
  CHECK(refuses(" ORCPT=rfc822;a+0A"));
  CHECK(refuses(" SIZE=1"));
  CHECK_FALSE(parse_recipient_parameters(" NOTIFY=NEVER", Extensions{}, AddressCharset::Ascii));
}

TEST_CASE("an original recipient in UTF-8 (RFC 6533 3)") {
  CHECK(refuses(" ORCPT=utf-8;\xc3\xbc@example.com"));
  CHECK_FALSE(refuses(" ORCPT=utf-8;\xc3\xbc@example.com", AddressCharset::Utf8));
  CHECK_FALSE(refuses(" ORCPT=UTF-8;\\x{FC}@example.com", AddressCharset::Utf8));
  CHECK(refuses(" ORCPT=utf-8;\xc3@example.com", AddressCharset::Utf8));
  CHECK(refuses(" ORCPT=rfc822;\xc3\xbc@example.com", AddressCharset::Utf8));
}

TEST_CASE("NOTIFY is written as it is read") {
  CHECK(Notify{}.text() == "NEVER");
  CHECK(Notify{true, false, false}.text() == "SUCCESS");
  CHECK(Notify{true, true, true}.text() == "SUCCESS,FAILURE,DELAY");
  CHECK(rcpt(" NOTIFY=" + Notify{false, true, true}.text()).notify == Notify{false, true, true});
}

TEST_CASE("xtext (RFC 3461 4)") {
  CHECK(decode_xtext("plain") == "plain");
  CHECK(decode_xtext("a+20b+2B+3D") == "a b+=");
  CHECK(decode_xtext("") == "");
  CHECK(decode_xtext("+00") == std::string(1, '\0'));
  for (const auto* bad : {"+", "+2", "+2b", "+GG", "a=b", "a b", "\xc3\xbc", "a\x7f"}) CHECK_FALSE(decode_xtext(bad));
}
