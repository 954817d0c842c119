#include "smtp/reply_queue.h"

#include "tests/support/catch.h"

using namespace postern::smtp;
using Question = ReplyQueue::Question;

TEST_CASE("replies behind an open place are held back") {
  ReplyQueue queue;
  queue.back() += "1";
  const auto first = queue.ask(Question::Recipient);
  queue.back() += "3";
  const auto second = queue.ask(Question::Sender);
  queue.back() += "5";
  CHECK(queue.take() == "1");
  CHECK(queue.open() == 2);
  CHECK(queue.open(Question::Sender) == 1);
  CHECK(queue.held() == 4);
  CHECK(queue.question(second) == Question::Sender);

  CHECK(queue.answer(second, "4") == Question::Sender);
  CHECK(queue.take().empty());
  CHECK(queue.held() == 4);
  CHECK(queue.answer(first, "2") == Question::Recipient);
  CHECK(queue.take() == "2345");
  CHECK(queue.held() == 0);
}

TEST_CASE("each place is answered once") {
  ReplyQueue queue;
  const auto first = queue.ask(Question::Body);
  const auto second = queue.ask(Question::Body);
  CHECK(first != second);
  CHECK(queue.answer(second, "b"));
  CHECK_FALSE(queue.answer(second, "c"));
  CHECK_FALSE(queue.answer(second + 1, "d"));
  CHECK_FALSE(queue.answer(0, "e"));
  CHECK_FALSE(queue.question(second));
  CHECK(queue.answer(first, "a"));
  CHECK(queue.take() == "ab");
}

TEST_CASE("numbers are not used again") {
  ReplyQueue queue;
  const auto before = queue.ask(Question::Outcome);
  queue.clear();
  CHECK(queue.open() == 0);
  CHECK(queue.ask(Question::Outcome) != before);
  CHECK_FALSE(queue.answer(before, "late"));
}
