#include "smtp/address.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;

namespace {

std::optional<ForwardPath> forward(std::string_view text, Tolerance tolerance = Tolerance::Strict) {
  auto path = take_forward_path(text, tolerance);
  return text.empty() ? path : std::nullopt;
}

std::optional<ReversePath> reverse(std::string_view text, Tolerance tolerance = Tolerance::Strict) {
  auto path = take_reverse_path(text, tolerance);
  return text.empty() ? path : std::nullopt;
}

}  // namespace

TEST_CASE("mailboxes of configuration files") {
  CHECK(parse_mailbox("user@example.com") == Mailbox{"user", "example.com"});
  CHECK(parse_mailbox("!#$%&'*+-/=?^_`{|}~@example.com") == Mailbox{"!#$%&'*+-/=?^_`{|}~", "example.com"});
  CHECK(parse_mailbox("a.b.c@mx_1.example.com") == Mailbox{"a.b.c", "mx_1.example.com"});
  CHECK(parse_mailbox("\"a b\"@example.com") == Mailbox{"a b", "example.com"});
  for (const auto* bad : {"", "user", "@example.com", "user@", "user@example..com", "user@a!b", "user@example.com.",
                          "us er@example.com", "user@exam ple.com", "<user@example.com>", " user@example.com",
                          "user@example.com ", "a..b@example.com", ".a@example.com", "a.@example.com", "a@b@c",
                          "user@192.0.2.1", "a,b@example.com", "a:b@example.com", "(a)@example.com"}) {
    INFO(bad);
    CHECK_FALSE(parse_mailbox(bad));
  }
}

TEST_CASE("quoted local parts are held by their meaning (RFC 5321 4.1.2)") {
  CHECK(parse_mailbox("\"user\"@example.com") == Mailbox{"user", "example.com"});
  CHECK(parse_mailbox("\"a\\\"b\\\\c\"@example.com") == Mailbox{"a\"b\\c", "example.com"});
  CHECK(parse_mailbox("\"a@b\"@example.com") == Mailbox{"a@b", "example.com"});
  CHECK(parse_mailbox("\"\\u\"@example.com") == Mailbox{"u", "example.com"});
  CHECK(parse_mailbox("\"\"@example.com") == Mailbox{"", "example.com"});
  CHECK_FALSE(parse_mailbox("\"open@example.com"));
  CHECK_FALSE(parse_mailbox("\"end\\"));
  CHECK_FALSE(parse_mailbox("\"a\"b@example.com"));
  CHECK_FALSE(parse_mailbox(std::string("\"a\0b\"@example.com", 17)));
  CHECK_FALSE(parse_mailbox("\"a\tb\"@example.com"));
  CHECK_FALSE(parse_mailbox("\"a\\\tb\"@example.com"));
}

TEST_CASE("a mailbox is written so that it reads back as itself") {
  for (const auto* local : {"user", "a.b", "a b", "a\"b", "a\\b", "", ".", "a..b", "a@b", "a,b", "\xc3\xbc", "<x>"}) {
    const Mailbox mailbox{local, "example.com"};
    INFO(mailbox.text());
    CHECK(parse_mailbox(mailbox.text()) == mailbox);
  }
  CHECK(Mailbox{"a.b", "example.com"}.text() == "a.b@example.com");
  CHECK(Mailbox{"a..b", "example.com"}.text() == "\"a..b\"@example.com");
  CHECK(Mailbox{"a\"\\", "example.com"}.text() == "\"a\\\"\\\\\"@example.com");
}

TEST_CASE("address literals (RFC 5321 4.1.3)") {
  CHECK(parse_mailbox("user@[192.0.2.1]") == Mailbox{"user", "[192.0.2.1]"});
  CHECK(parse_mailbox("user@[IPv6:2001:db8::1]") == Mailbox{"user", "[IPv6:2001:db8::1]"});
  CHECK(parse_mailbox("user@[ipv6:::ffff:192.0.2.1]"));
  CHECK(parse_mailbox("user@[x400:c=de]"));
  for (const auto* bad : {"[]", "[192.0.2]", "[192.0.2.256]", "[192.0.2.1", "[IPv6:192.0.2.1]", "[IPv6:]", "[IPv6:zz::]",
                          "[-:x]", "[tag:]", "[tag:a b]", "[tag-:a]", "[:a]"}) {
    INFO(bad);
    CHECK_FALSE(parse_mailbox(std::string("user@") + bad));
  }
  CHECK_FALSE(parse_mailbox("user@[192.0.2.1]x"));
}

TEST_CASE("the domain as a host name") {
  CHECK(Mailbox{"user", "Example.COM"}.domain_name()->text() == "example.com");
  CHECK(Mailbox{"user", "b\xc3\xbc" "cher.example"}.domain_name()->text() == "xn--bcher-kva.example");
  CHECK_FALSE(Mailbox{"user", "[192.0.2.1]"}.domain_name());
  CHECK_FALSE(Mailbox{"postmaster", ""}.domain_name());
}

TEST_CASE("internationalized mailboxes (RFC 6531 3.3)") {
  CHECK(parse_mailbox("j\xc3\xb6rg@b\xc3\xbc" "cher.example")->needs_smtputf8());
  CHECK(parse_mailbox("\"j\xc3\xb6 rg\"@example.com")->needs_smtputf8());
  CHECK(Mailbox{"user", "b\xc3\xbc" "cher.example"}.needs_smtputf8());
  CHECK_FALSE(parse_mailbox("user@xn--bcher-kva.example")->needs_smtputf8());
  CHECK_FALSE(parse_mailbox("j\xf6rg@example.com"));
  CHECK_FALSE(parse_mailbox("\"j\xf6\"@example.com"));
  CHECK_FALSE(parse_mailbox("user@b\xfc" "cher.example"));
}

TEST_CASE("UTF-8 (RFC 3629)") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
  for (const auto* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xe2\x82", "\xe2\x82(",
                          "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98"}) {
    CHECK_FALSE(is_utf8(bad));
  }
}

TEST_CASE("reverse paths") {
  CHECK(reverse("<user@example.com>") == ReversePath{Mailbox{"user", "example.com"}});
  CHECK(reverse("<>") == ReversePath{});
  CHECK(reverse("<>")->text() == "<>");
  CHECK(reverse("<a@b.example>")->text() == "<a@b.example>");
  CHECK_FALSE(reverse("<postmaster>"));
  CHECK_FALSE(reverse("<user@example.com"));
  CHECK_FALSE(reverse("<<user@example.com>>"));
  CHECK_FALSE(reverse(""));
}

TEST_CASE("forward paths") {
  CHECK(forward("<user@example.com>") == ForwardPath{{"user", "example.com"}});
  CHECK_FALSE(forward("<>"));
  CHECK_FALSE(forward("<user>"));
  CHECK(forward("<postmaster>")->is_bare_postmaster());
  CHECK(forward("<PostMaster>")->text() == "<PostMaster>");
  CHECK_FALSE(forward("<postmaster@example.com>")->is_bare_postmaster());
  CHECK_FALSE(forward("<postmasters>"));
}

TEST_CASE("source routes are parsed and dropped (RFC 5321 appendix C)") {
  CHECK(forward("<@one.example,@two.example:user@example.com>") == ForwardPath{{"user", "example.com"}});
  CHECK(reverse("<@one.example:user@example.com>") == ReversePath{Mailbox{"user", "example.com"}});
  CHECK(forward("<@one.example:postmaster>")->is_bare_postmaster());
  for (const auto* bad : {"<@one.example>", "<@one.example:>", "<@:user@example.com>", "<@one.example,:user@example.com>",
                          "<@one.example,two.example:user@example.com>", "<@[192.0.2.1]:user@example.com>"}) {
    INFO(bad);
    CHECK_FALSE(forward(bad));
  }
}

TEST_CASE("what stands behind a path remains") {
  std::string_view rest = "<user@example.com> SIZE=3";
  REQUIRE(take_reverse_path(rest, Tolerance::Strict));
  CHECK(rest == " SIZE=3");
}

TEST_CASE("tolerance for paths that are not quite right") {
  const ForwardPath expected{{"user", "example.com"}};
  for (const auto* text : {"user@example.com", " <user@example.com>", "< user@example.com >", " user@example.com"}) {
    INFO(text);
    CHECK(forward(text, Tolerance::Forgiving) == expected);
    CHECK_FALSE(forward(text, Tolerance::Strict));
  }
  CHECK(forward("postmaster", Tolerance::Forgiving)->is_bare_postmaster());
  CHECK(forward("<a..b.@example.com>", Tolerance::Forgiving)->text() == "<\"a..b.\"@example.com>");
  CHECK_FALSE(forward("<user@example.com", Tolerance::Forgiving));
  CHECK_FALSE(reverse("", Tolerance::Forgiving));
  CHECK(reverse(" < >", Tolerance::Forgiving) == ReversePath{});
}
