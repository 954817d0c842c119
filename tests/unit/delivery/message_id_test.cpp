#include "delivery/message_id.h"

#include "tests/support/catch.h"

using namespace postern::delivery;

namespace {

std::string found_in(std::string_view message, std::size_t piece) {
  MessageIdFinder finder;
  for (std::size_t i = 0; i < message.size(); i += piece) finder.receive(message.substr(i, piece));
  return finder.message_id();
}

}  // namespace

TEST_CASE("the Message-ID is found however the message is cut") {
  const std::string message = "Received: x\r\n y\r\nMESSAGE-ID:  <a@b> \r\nSubject: z\r\n\r\nMessage-ID: <body@b>\r\n";
  for (std::size_t piece = 1; piece <= message.size(); ++piece) {
    CAPTURE(piece);
    CHECK(found_in(message, piece) == "<a@b>");
  }
}

TEST_CASE("a folded Message-ID is found on its second line") {
  CHECK(found_in("Message-ID:\r\n <long@example>\r\n\r\n", 3) == "<long@example>");
  CHECK(found_in("Message-ID: <first@example>\r\n <second@example>\r\n\r\n", 100) == "<first@example>");
}

TEST_CASE("the body is not searched, and other fields that look alike are not taken") {
  CHECK(found_in("Subject: a\r\n\r\nMessage-ID: <body@b>\r\n", 5).empty());
  CHECK(found_in("X-Message-ID: <x@b>\r\nResent-Message-ID: <r@b>\r\n\r\n", 5).empty());
}

TEST_CASE("an endless line costs no more than its limit, and an endless id is cut") {
  const std::string endless = "Message-ID: <" + std::string(100'000, 'a') + ">\r\n\r\n";
  CHECK(found_in(endless, 4096).size() == 255);
}
