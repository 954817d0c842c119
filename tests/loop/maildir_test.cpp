#include "daemon/session/maildir.h"

#include <sys/resource.h>

#include <csignal>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using namespace postern::session;
using postern::test::content_of;
using postern::test::entries_of;
using postern::test::TemporaryDirectory;

namespace {

smtp::Mailbox mailbox(std::string local_part, std::string domain) {
  return {.local_part = std::move(local_part), .domain = std::move(domain)};
}

std::vector<smtp::ForwardPath> recipients(const std::vector<std::string>& local_parts) {
  std::vector<smtp::ForwardPath> paths;
  for (const auto& local_part : local_parts) paths.push_back({mailbox(local_part, "example.com")});
  return paths;
}

const smtp::ReversePath from{mailbox("alice", "example.net")};

void put_file(const std::string& path) { std::ofstream(path) << "in the way"; }

}  // namespace

TEST_CASE("a recipient's folder has a name that is safe on its own") {
  CHECK(maildir_folder(mailbox("bob", "Example.COM")) == "bob@example.com");
  CHECK(maildir_folder(mailbox("Bob.O-Neil+lists_2", "example.com")) == "Bob.O-Neil+lists_2@example.com");
  CHECK(maildir_folder(mailbox("bob",
                               "b\xc3\xbc"
                               "cher.example")) == "bob@xn--bcher-kva.example");
  CHECK(maildir_folder(mailbox("bob", "[192.0.2.1]")) == "bob@%5B192.0.2.1%5D");
  CHECK(maildir_folder(mailbox("PostMaster", "")) == "postmaster");
}

TEST_CASE("no address names another place than its own folder") {
  CHECK(maildir_folder(mailbox("..", "example.com")) == "%2E.@example.com");
  CHECK(maildir_folder(mailbox(".hidden", "example.com")) == "%2Ehidden@example.com");
  CHECK(maildir_folder(mailbox("../../etc/passwd", "example.com")) == "%2E.%2F..%2Fetc%2Fpasswd@example.com");
  CHECK(maildir_folder(mailbox("/etc", "example.com")) == "%2Fetc@example.com");
  CHECK(maildir_folder(mailbox(std::string("a\0b\n", 4), "example.com")) == "a%00b%0A@example.com");
  CHECK(maildir_folder(mailbox("a b\"\\", "example.com")) == "a%20b%22%5C@example.com");
  CHECK(maildir_folder(mailbox("\xc3\xa9", "example.com")) == "%C3%A9@example.com");
  // An encoded name and the address that looks like it stay apart.
  CHECK(maildir_folder(mailbox("a%2Fb", "example.com")) == "a%252Fb@example.com");
}

TEST_CASE("an address without a possible folder name has none") {
  CHECK(maildir_folder(mailbox(std::string(300, 'a'), "example.com")) == std::nullopt);
  CHECK(maildir_folder(mailbox(std::string(100, '/'), "example.com")) == std::nullopt);
  CHECK(maildir_folder(mailbox("", "")) == std::nullopt);
  CHECK(maildir_folder(mailbox(std::string(243, 'a'), "example.com")));
}

TEST_CASE("a message lies in `new` for each recipient, and nowhere before its commit") {
  const TemporaryDirectory directory;
  MaildirMessage message(directory.path(), from, recipients({"bob", "carol", "bob"}));
  REQUIRE(message.open() == std::nullopt);
  message.write("Subject: one\r\n");
  message.write("\r\nText\r\n");
  CHECK(entries_of(directory / "bob@example.com/tmp").size() == 1);
  CHECK(entries_of(directory / "bob@example.com/new").empty());

  const auto outcomes = message.commit();
  REQUIRE(outcomes.size() == 3);
  std::set<std::string> paths;
  for (const auto& outcome : outcomes) {
    CHECK(outcome.failure == std::nullopt);
    paths.insert(outcome.path);
  }
  CHECK(paths.size() == 3);
  CHECK(outcomes[1].path.starts_with(directory / "carol@example.com/new/"));
  CHECK(content_of(outcomes[0].path) ==
        "Return-Path: <alice@example.net>\r\nDelivered-To: bob@example.com\r\nSubject: one\r\n\r\nText\r\n");
  CHECK(content_of(outcomes[1].path) ==
        "Return-Path: <alice@example.net>\r\nDelivered-To: carol@example.com\r\nSubject: one\r\n\r\nText\r\n");
  CHECK(content_of(outcomes[2].path) == content_of(outcomes[0].path));
  CHECK(entries_of(directory / "bob@example.com/new").size() == 2);
  CHECK(entries_of(directory / "bob@example.com/tmp").empty());
  CHECK(entries_of(directory / "carol@example.com/tmp").empty());
}

TEST_CASE("the null sender and a large message") {
  const TemporaryDirectory directory;
  MaildirMessage message(directory.path(), smtp::ReversePath{}, recipients({"bob", "carol"}));
  REQUIRE(message.open() == std::nullopt);
  std::string all;
  for (int n = 0; n < 3000; ++n) {
    const std::string line = std::string(static_cast<std::size_t>(n % 990), 'x') + "\r\n";
    message.write(line);
    all += line;
  }
  const auto outcomes = message.commit();
  CHECK(content_of(outcomes[0].path) == "Return-Path: <>\r\nDelivered-To: bob@example.com\r\n" + all);
  CHECK(content_of(outcomes[1].path) == "Return-Path: <>\r\nDelivered-To: carol@example.com\r\n" + all);
}

TEST_CASE("a recipient whose folder cannot be used does not harm the others") {
  const TemporaryDirectory directory;
  put_file(directory / "bob@example.com");
  MaildirMessage message(directory.path(), from, recipients({"bob", "carol", "dave"}));
  REQUIRE(message.open() == std::nullopt);
  message.write("\r\n");
  const auto outcomes = message.commit();
  REQUIRE(outcomes.size() == 3);
  REQUIRE(outcomes[0].failure);
  CHECK(outcomes[0].failure->kind == MaildirFailure::Kind::Other);
  CHECK(outcomes[0].failure->text.starts_with(directory / "bob@example.com/tmp: cannot be made: "));
  CHECK(outcomes[0].path.empty());
  CHECK(outcomes[1].failure == std::nullopt);
  CHECK(outcomes[2].failure == std::nullopt);
  CHECK(content_of(outcomes[2].path).ends_with("Delivered-To: dave@example.com\r\n\r\n"));
}

TEST_CASE("when no recipient at all can be served, opening fails") {
  const TemporaryDirectory directory;
  put_file(directory / "bob@example.com");
  MaildirMessage message(directory.path(), from, recipients({"bob"}));
  const auto failure = message.open();
  REQUIRE(failure);
  CHECK(failure->kind == MaildirFailure::Kind::Other);
}

TEST_CASE("a message that is given up leaves nothing behind") {
  const TemporaryDirectory directory;
  {
    MaildirMessage message(directory.path(), from, recipients({"bob", "carol"}));
    REQUIRE(message.open() == std::nullopt);
    message.write("half of a message");
    REQUIRE(entries_of(directory / "bob@example.com/tmp").size() == 1);
  }
  CHECK(entries_of(directory / "bob@example.com/tmp").empty());
  CHECK(entries_of(directory / "bob@example.com/new").empty());
}

TEST_CASE("a file that may not grow is a full disk to every recipient, and leaves nothing behind") {
  const TemporaryDirectory directory;
  MaildirMessage message(directory.path(), from, recipients({"bob", "carol"}));
  REQUIRE(message.open() == std::nullopt);

  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{.rlim_cur = 64 * 1024, .rlim_max = before.rlim_max};
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  for (int n = 0; n < 100; ++n) message.write(std::string(1024, 'x'));
  const auto outcomes = message.commit();
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, previous);

  REQUIRE(outcomes.size() == 2);
  for (const auto& outcome : outcomes) {
    REQUIRE(outcome.failure);
    CHECK(outcome.failure->kind == MaildirFailure::Kind::Full);
  }
  CHECK(entries_of(directory / "bob@example.com/tmp").empty());
  CHECK(entries_of(directory / "bob@example.com/new").empty());
  CHECK(entries_of(directory / "carol@example.com/new").empty());
}
