// Messages that spill to a file: what was written is what is read, whatever the sizes.
#include "daemon/session/message.h"

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
  uv::WorkPool pool{{.name = "spill-test", .threads = 1, .queue_max = 64, .nice = 0}};
};

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
    auto message = Message::make(bench.loop, bench.pool, {1000, directory.path()});
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
  auto message = Message::make(bench.loop, bench.pool, {1000, directory.path()});
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
  auto message = Message::make(bench.loop, bench.pool, {1000, "/nonexistent/spill"});
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
