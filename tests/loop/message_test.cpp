// Messages that spill to a file: what was written is what is read, whatever the sizes.
#include "daemon/session/message.h"

#include <sys/resource.h>

#include <csignal>
#include <optional>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using session::Message;

namespace {

struct Bench {
  Bench() { keep_running.start_at(uv::monotonic_now() + std::chrono::minutes(10)); }
  uv::Loop loop;
  uv::Timer keep_running{loop, [] { FAIL("nothing has happened for ten minutes"); }};  // work in a pool does not
  session::MessageBudgets budgets;
  uv::WorkPool pool{{.name = "spill-test", .threads = 1, .queue_max = 64, .nice = 0}};
};

/// finish(), and the loop until it has called back.
Result<void> finish(Bench& bench, Message& message) {
  std::optional<Result<void>> finished;
  message.finish([&](Result<void> result) {
    finished = result;
    bench.loop.stop();
  });
  if (!finished) bench.loop.run();
  return *finished;
}

/// Reads a message to its end on the loop.
class ReadAll {
 public:
  explicit ReadAll(Bench& bench, std::unique_ptr<session::BodySource> source) : bench_(bench), source_(std::move(source)) {
    pull();
  }
  std::string bytes;
  std::optional<Error> error;
  bool done = false;

 private:
  void pull() {
    source_->next([this](Result<std::string_view> piece) {
      if (!piece) {
        error = piece.error();
      } else if (!piece->empty()) {
        bytes += *piece;
        bench_.loop.post([this] { pull(); });
        return;
      }
      done = true;
      bench_.loop.stop();
    });
  }
  Bench& bench_;
  std::unique_ptr<session::BodySource> source_;
};

std::string pattern(std::size_t octets) {
  std::string bytes(octets, '\0');
  for (std::size_t i = 0; i < octets; ++i) bytes[i] = static_cast<char>('!' + (i * 7 + i / 251) % 90);
  return bytes;
}

}  // namespace

TEST_CASE("a message is read back byte for byte, from memory, from the file, and across the border") {
  const test::TemporaryDirectory directory;
  for (const std::size_t octets : {0ul, 1ul, 999ul, 1000ul, 1001ul, 70'000ul, 3'000'000ul}) {
    CAPTURE(octets);
    Bench bench;
    const std::string sent = pattern(octets);
    auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1000, directory.path()});
    for (std::size_t at = 0; at < octets; at += 4093) message->append(std::string_view(sent).substr(at, 4093));
    std::optional<Result<void>> finished;
    message->finish([&](Result<void> result) {
      finished = result;
      bench.loop.stop();
    });
    if (!finished) bench.loop.run();
    REQUIRE(finished);
    REQUIRE(finished->has_value());
    CHECK(message->octets() == octets);
    ReadAll reading(bench, message->reader());
    if (!reading.done) bench.loop.run();
    CHECK_FALSE(reading.error);
    CHECK((reading.bytes == sent));
  }
  CHECK(test::entries_of(directory.path()).empty());  // nothing was left behind
}

TEST_CASE("two readers of one message do not disturb each other") {
  const test::TemporaryDirectory directory;
  Bench bench;
  const std::string sent = pattern(900'000);
  auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1000, directory.path()});
  message->append(sent);
  message->finish([&](Result<void> result) {
    CHECK(result.has_value());
    bench.loop.stop();
  });
  bench.loop.run();
  ReadAll first(bench, message->reader()), second(bench, message->reader());
  message.reset();  // readers keep it
  while (!first.done || !second.done) bench.loop.run();
  CHECK((first.bytes == sent));
  CHECK((second.bytes == sent));
}

TEST_CASE("a spill directory that cannot be written makes the message fail, and only the message") {
  Bench bench;
  auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1000, "/nonexistent/spill"});
  bool relieved = false;
  message->on_relief([&] { relieved = true; });
  message->append(std::string(600'000, 'x'));
  CHECK(message->congested());
  std::optional<Result<void>> finished;
  message->finish([&](Result<void> result) {
    finished = result;
    bench.loop.stop();
  });
  if (!finished) bench.loop.run();
  REQUIRE(finished);
  REQUIRE_FALSE(finished->has_value());
  CHECK(finished->error().text.find("/nonexistent/spill") != std::string::npos);
  CHECK(relieved);
  CHECK_FALSE(message->congested());
}

TEST_CASE("what messages hold together is counted, and given back when they go") {
  const test::TemporaryDirectory directory;
  Bench bench;
  auto first = Message::make(bench.loop, bench.pool, bench.budgets, {100'000, directory.path(), 10'000'000, 10'000'000});
  first->append(pattern(90'000));
  CHECK(bench.budgets.memory.used() >= 90'000);
  CHECK(bench.budgets.spill.used() == 0);
  first->append(pattern(500'000));
  CHECK(finish(bench, *first).has_value());
  CHECK(bench.budgets.memory.used() <= 100'000 + session::BudgetShare::grain_octets);
  CHECK(bench.budgets.spill.used() >= 490'000);
  first.reset();
  CHECK(bench.budgets.memory.used() == 0);
  CHECK(bench.budgets.spill.used() == 0);
}

TEST_CASE("a message that finds no memory fails, and the next one that fits does not") {
  const test::TemporaryDirectory directory;
  Bench bench;
  auto first = Message::make(bench.loop, bench.pool, bench.budgets, {1'000'000, directory.path(), 100'000, 10'000'000});
  first->append(pattern(50'000));
  auto second = Message::make(bench.loop, bench.pool, bench.budgets, {1'000'000, directory.path(), 100'000, 10'000'000});
  second->append(pattern(60'000));
  const auto refused = finish(bench, *second);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().text.find("limits.message_memory") != std::string::npos);
  second->append(pattern(60'000));  // what still comes is dropped
  CHECK(bench.budgets.memory.used() <= 50'000 + session::BudgetShare::grain_octets);
  CHECK(finish(bench, *first).has_value());
  second = Message::make(bench.loop, bench.pool, bench.budgets, {1'000'000, directory.path(), 100'000, 10'000'000});
  second->append(pattern(20'000));
  CHECK(finish(bench, *second).has_value());
}

TEST_CASE("when memory runs short, messages go to the file earlier") {
  const test::TemporaryDirectory directory;
  Bench bench;
  bench.budgets.memory.take(600'000, 1'000'000);
  const std::string sent = pattern(200'000);
  auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1'000'000, directory.path(), 1'000'000, 10'000'000});
  message->append(sent);
  CHECK(finish(bench, *message).has_value());
  CHECK(bench.budgets.spill.used() >= 130'000);
  ReadAll reading(bench, message->reader());
  if (!reading.done) bench.loop.run();
  CHECK((reading.bytes == sent));
  bench.budgets.memory.give_back(600'000);
}

TEST_CASE("a message that finds no room for its file fails, and leaves none behind") {
  const test::TemporaryDirectory directory;
  Bench bench;
  auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1000, directory.path(), 10'000'000, 100'000});
  for (int i = 0; i < 10; ++i) message->append(pattern(30'000));
  const auto refused = finish(bench, *message);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().text.find("limits.spill_space") != std::string::npos);
  message.reset();
  CHECK(bench.budgets.spill.used() == 0);
  CHECK(test::entries_of(directory.path()).empty());
}

TEST_CASE("a disk that takes no more makes the message fail, and everything is given back") {
  const test::TemporaryDirectory directory;
  Bench bench;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 200'000;
  auto message = Message::make(bench.loop, bench.pool, bench.budgets, {1000, directory.path()});
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  for (int i = 0; i < 20; ++i) message->append(pattern(30'000));
  const auto failed = finish(bench, *message);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().text.find(directory.path()) != std::string::npos);
  message.reset();
  CHECK(bench.budgets.memory.used() == 0);
  CHECK(bench.budgets.spill.used() == 0);
}
