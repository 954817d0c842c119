#include <random>

#include "report/score.h"
#include "tests/support/catch.h"
#include "tests/unit/report/facts.h"

using namespace postern;
using namespace postern::report;
using namespace postern::report::test;
using namespace std::chrono_literals;

namespace {

Score example() {
  Score score({});
  score.add(with_mail(handshake("a.sender.example", "mx.example.com", Reception::Accepted, noon - 3h), "example.com"));
  score.add(handshake("a.other.example", nullptr, Reception::BadCertificate));
  score.add(with_mail(session("a.other.example"), "example.org"));
  auto failed = handshake("b.sender.example", nullptr, Reception::Failed);
  FailedHandshake& failure = failed.handshake->failure.emplace();
  failure.stage = "ClientHello";
  failure.reason = "no shared cipher";
  failure.alert = "sent handshake_failure";
  failure.server_name = "\\xff";
  failure.versions = {0x0303};
  failure.cipher_suites = {1, 2, 3};
  failure.groups = {29};
  failure.signature_schemes = {0x0403};
  failure.alpn = {"smtp"};
  score.add(failed);
  return score;
}

}  // namespace

TEST_CASE("what is written is read again, all of it") {
  const Score score = example();
  const auto read = Score::from_text(score.to_text(), {});
  REQUIRE(read);
  CHECK(read->totals() == score.totals());
  CHECK(read->senders() == score.senders());
  CHECK(read->domains() == score.domains());
  CHECK(read->pairs() == score.pairs());
  CHECK(read->refusals() == score.refusals());
  CHECK(read->failures() == score.failures());
}

TEST_CASE("a score that was read goes on counting") {
  auto read = Score::from_text(example().to_text(), {});
  REQUIRE(read);
  read->add(with_mail(handshake("a.sender.example", "mx.example.com", Reception::Accepted), "example.com"));
  CHECK(read->senders().find("sender.example")->counts.sum(noon, Window::Day)[OfSender::Messages] == 2);
}

TEST_CASE("a file that was cut or changed anywhere is refused") {
  const std::string text = example().to_text();
  for (std::size_t cut = 0; cut < text.size(); cut += 7) CHECK_FALSE(Score::from_text(text.substr(0, cut), {}));
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = text;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << (random() % 7));
    CHECK_FALSE(Score::from_text(damaged, {}));
  }
  CHECK_FALSE(Score::from_text("", {}));
  CHECK_FALSE(Score::from_text(text + "more\n", {}));
}

TEST_CASE("no more rows are taken than there may be") {
  Score score({});
  for (int i = 0; i < 200; ++i) {
    score.add(handshake(("out.sender" + std::to_string(i) + ".example").c_str(), nullptr, Reception::Left));
  }
  const auto read = Score::from_text(score.to_text(), {.senders_max = 10});
  REQUIRE(read);
  CHECK(read->senders().rows().size() <= 10);
}
