// The score on its way: from the sessions of several threads to the keeper, to the disk and back.
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/app/score_feed.h"
#include "daemon/app/score_keeper.h"
#include "tests/loop/notes.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/report/facts.h"

using namespace postern;
using namespace postern::app;
using namespace postern::report;
using postern::report::test::handshake;
using postern::report::test::with_mail;
using postern::uv::test::turn_until;

namespace {

SessionFacts some_mail() { return with_mail(handshake("a.sender.example", "mx.example.com", Reception::Accepted, uv::wall_time()), "example.com"); }

/// Everything that was taken before is counted when this returns.
void settle(uv::Loop& loop, ScoreKeeper& keeper) {
  bool counted = false;
  keeper.after_what_was_brought([&] { counted = true; });
  REQUIRE(turn_until(loop, [&] { return counted; }));
}

std::uint64_t handshakes(ScoreKeeper& keeper) { return keeper.score().totals().sum(uv::wall_time(), Window::Hour)[OfSender::Handshakes]; }

struct Fixture {
  postern::test::TemporaryDirectory directory;
  session::test::Notes notes;
  uv::Loop loop;
  ScoreSettings settings;

  std::unique_ptr<ScoreKeeper> keeper() { return std::make_unique<ScoreKeeper>(loop, directory.path(), settings, notes); }
};

}  // namespace

TEST_CASE("what several workers bring at the same time is all counted", "[score]") {
  Fixture f;
  const auto keeper = f.keeper();
  constexpr int workers = 4, sessions = 1000;
  std::vector<std::thread> threads;
  for (int n = 0; n < workers; ++n) {
    threads.emplace_back([&keeper] {
      uv::Loop own;
      {
        ScoreFeed feed(own, *keeper);
        for (int i = 0; i < sessions; ++i) feed.add(some_mail());
        feed.bring();  // what the last full load has left
      }
    });
  }
  for (auto& thread : threads) thread.join();
  settle(f.loop, *keeper);
  CHECK(handshakes(*keeper) == workers * sessions);
  CHECK(keeper->since_start().of(OfSender::Handshakes) == workers * sessions);
  CHECK(keeper->dropped() == 0);
  keeper->stop();
}

TEST_CASE("a feed brings what little it has after a moment by itself", "[score]") {
  Fixture f;
  const auto keeper = f.keeper();
  {
    ScoreFeed feed(f.loop, *keeper);
    feed.add(some_mail());
    CHECK(handshakes(*keeper) == 0);
    CHECK(turn_until(f.loop, [&] { return handshakes(*keeper) == 1; }));
  }
  keeper->stop();
}

TEST_CASE("a keeper that cannot keep up drops, and counts what it dropped", "[score]") {
  Fixture f;
  const auto keeper = f.keeper();
  keeper->take(std::vector<SessionFacts>(100'001, some_mail()));
  keeper->take({some_mail(), some_mail()});
  CHECK(keeper->dropped() == 2);
  settle(f.loop, *keeper);
  keeper->take({some_mail()});  // there is room again
  settle(f.loop, *keeper);
  CHECK(handshakes(*keeper) == 100'002);
  CHECK(keeper->dropped() == 2);
  keeper->stop();
}

TEST_CASE("the end writes what the next start reads", "[score]") {
  Fixture f;
  {
    const auto keeper = f.keeper();
    keeper->take({some_mail()});
    settle(f.loop, *keeper);
    keeper->stop();
  }
  const auto keeper = f.keeper();
  CHECK(handshakes(*keeper) == 1);
  CHECK(keeper->since_start().of(OfSender::Handshakes) == 0);
  CHECK(f.notes.lines.empty());
  keeper->stop();
}

TEST_CASE("a damaged file is set aside and said; one that cannot be written is said", "[score]") {
  Fixture f;
  const std::string path = f.directory.path() + "/score";
  std::ofstream(path) << "no score\n";
  const auto keeper = f.keeper();
  REQUIRE(f.notes.lines.size() == 1);
  CHECK(f.notes.lines[0].find(path + ": ") == 0);
  CHECK(f.notes.lines[0].find("the file is kept as " + path + ".damaged-") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(path));

  keeper->take({some_mail()});
  settle(f.loop, *keeper);
  std::filesystem::remove_all(f.directory.path());
  keeper->stop();
  REQUIRE(f.notes.lines.size() == 2);
  CHECK(f.notes.lines[1].find("the score of senders would be lost at a restart") != std::string::npos);
}

TEST_CASE("switched off, nothing is read", "[score]") {
  Fixture f;
  std::ofstream(f.directory.path() + "/score") << "no score\n";
  f.settings.enabled = false;
  f.keeper()->stop();
  CHECK(f.notes.lines.empty());
}
