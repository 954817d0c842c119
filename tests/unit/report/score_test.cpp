#include "report/score.h"

#include "tests/support/catch.h"
#include "tests/unit/report/facts.h"

using namespace postern;
using namespace postern::report;
using namespace postern::report::test;
using namespace std::chrono_literals;

namespace {

SenderCounts of(const Score& score, const char* sender) {
  const auto* row = score.senders().find(sender);
  return row == nullptr ? SenderCounts{} : row->counts.sum(noon, Window::Week);
}

DomainCounts of_domain(const Score& score, const char* domain) {
  const auto* row = score.domains().find(domain);
  return row == nullptr ? DomainCounts{} : row->counts.sum(noon, Window::Week);
}

RefusalCounts of_refusal(const Score& score, const RefusalKey& key) {
  const auto* row = score.refusals().find(key.text());
  return row == nullptr ? RefusalCounts{} : row->counts.sum(noon, Window::Week);
}

}  // namespace

TEST_CASE("each real sender's way to refuse is counted as what it is") {
  Score score({});
  score.add(handshake("out.postfix.example", "mx.example.com", Reception::Quit));
  score.add(handshake("out.exim.example", "mx.example.com", Reception::BadCertificate));
  score.add(handshake("out.node.example", "mx.example.com", Reception::Reset));
  score.add(handshake("out.opensmtpd.example", nullptr, Reception::Closed));
  score.add(handshake("out.monitor.example", "mx.example.com", Reception::Left));
  score.add(with_mail(handshake("out.good.example", "mx.example.com", Reception::Accepted), "example.com"));
  const auto total = score.totals().sum(noon, Window::Hour);
  CHECK(total[OfSender::Handshakes] == 6);
  CHECK(total.refused() == 4);
  CHECK(total.of_reception(Reception::Accepted) == 1);
  CHECK(total.of_reception(Reception::Left) == 1);
  CHECK(total.of_sni(Sni::None) == 1);
  CHECK(total.of_sni(Sni::Exact) == 5);
  CHECK(total[OfSender::Tls13] == 6);
  CHECK(of(score, "exim.example").of_reception(Reception::BadCertificate) == 1);
  CHECK(of(score, "good.example")[OfSender::Messages] == 1);
  // Joined to the domain by the name that was asked for; without one, to the address.
  CHECK(of_refusal(score, {"mx.example.com", "", "postfix.example"}).of[static_cast<std::size_t>(Reception::Quit)] == 1);
  CHECK(of_refusal(score, {"", "198.51.100.25", "opensmtpd.example"}).refused() == 1);
  CHECK(of_refusal(score, {"mx.example.com", "", "monitor.example"}).refused() == 0);
}

TEST_CASE("messages that were taken, by what a validating sender makes of the connection") {
  Score score({});
  const auto exact = handshake("a.sender.example", "mx.example.com", Reception::Accepted);
  score.add(with_mail(exact, "example.com", Sts::Pass, 3));
  score.add(with_mail(exact, "example.com", Sts::Expired));
  score.add(with_mail(exact, "example.com", Sts::OtherMx, 2));
  score.add(with_mail(handshake("a.sender.example", nullptr, Reception::Accepted), "example.com", Sts::Name, 4));
  score.add(with_mail(session("a.sender.example"), "example.com", Sts::Clear, 5));
  const auto counts = of_domain(score, "example.com");
  CHECK(counts.ok() == 3);
  CHECK(counts.at_risk() == 3);
  CHECK(counts.foreign() == 2);
  CHECK(counts[OfDomain::WithoutSni] == 4);
  CHECK(counts[OfDomain::InClear] == 5);
  CHECK(counts.unaffected() == 9);
  CHECK(score.pairs().find(pair_key("example.com", "sender.example"))->counts.sum(noon, Window::Day) == counts);
}

TEST_CASE("a session in clear that brings nothing is no sender's") {
  Score score({});
  score.add(session("scanner.example"));
  CHECK(score.senders().rows().empty());
}

TEST_CASE("a sender that comes back in clear within five minutes was downgraded") {
  const auto downgrades = [](std::chrono::seconds between, const char* who = "b.sender.example") {
    Score score({});
    score.add(handshake("a.sender.example", nullptr, Reception::BadCertificate, noon - 10min));
    score.add(with_mail(session(who, noon - 10min + between), "example.com"));
    const auto* row = score.refusals().find(RefusalKey{"", "198.51.100.25", "sender.example"}.text());
    const std::uint32_t counted = of(score, "sender.example")[OfSender::Downgraded];
    CHECK(row->counts.sum(noon, Window::Week).downgraded() == counted);
    // It says for which domain it came.
    CHECK(row->notes == (counted > 0 ? std::vector<std::string>{"example.com"} : std::vector<std::string>{}));
    return counted;
  };
  CHECK(downgrades(0s) == 1);
  CHECK(downgrades(5min) == 1);
  CHECK(downgrades(5min + 1s) == 0);
  CHECK(downgrades(-1s) == 0);
  CHECK(downgrades(1s, "somebody.else.example") == 0);
}

TEST_CASE("a downgrade is seen whatever worker tells first, and counted once") {
  Score score({});
  score.add(with_mail(session("a.sender.example", noon), "example.com"));
  score.add(handshake("a.sender.example", "mx.example.com", Reception::UnknownCa, noon - 1s));
  CHECK(of(score, "sender.example")[OfSender::Downgraded] == 1);
  score.add(with_mail(session("a.sender.example", noon + 1s), "example.com"));
  CHECK(of(score, "sender.example")[OfSender::Downgraded] == 1);
  // Also after a handshake that failed for another reason.
  score.add(handshake("a.sender.example", nullptr, Reception::Failed, noon + 2s));
  score.add(with_mail(session("a.sender.example", noon + 3s), "example.com"));
  CHECK(of(score, "sender.example")[OfSender::Downgraded] == 2);
  CHECK(score.since_start().of(OfSender::Downgraded) == 2);
}

TEST_CASE("what metrics show is counted beside the windows, and is not forgotten") {
  Score score({});
  score.add(with_mail(session("a.sender.example", noon), "example.com"));
  score.add(handshake("a.sender.example", "mx.example.com", Reception::Quit));
  auto sure = with_mail(handshake("b.sender.example", "mx.example.com", Reception::Accepted), "example.com");
  sure.deliveries.front().sni = Sni::Exact;
  sure.deliveries.front().verdict = Sts::Expired;
  score.add(sure);
  sure.deliveries.front().sni = Sni::None;
  score.add(sure);
  score.age(noon + 10 * 24h);
  const SinceStart& seen = score.since_start();
  CHECK(seen.of(OfSender::Handshakes) == 3);
  CHECK(seen.of_reception(Reception::Quit) == 1);
  CHECK(seen.of_reception(Reception::Accepted) == 2);
  CHECK(seen.of_sts(Sts::Expired) == 1);
  CHECK(seen.of(OfDomain::WithoutSni) == 1);
  CHECK(seen.of(OfDomain::InClear) == 1);
  CHECK(seen.of_sts(Sts::Pass) == 0);
}

TEST_CASE("failures are kept with what was offered, the latest ones") {
  Score score({});
  for (std::size_t i = 0; i < Score::failures_max + 5; ++i) {
    auto facts = handshake("a.sender.example", nullptr, Reception::Failed);
    facts.handshake->failure = FailedHandshake{};
    facts.handshake->failure->reason = std::to_string(i);
    facts.handshake->failure->cipher_suites = {0x003c};
    score.add(facts);
  }
  REQUIRE(score.failures().size() == Score::failures_max);
  CHECK(score.failures().front().reason == "5");
  CHECK(score.failures().back().sender == "sender.example");
  CHECK(score.failures().back().address == "192.0.2.1");
  CHECK(score.failures().back().cipher_suites == std::vector<std::uint16_t>{0x003c});
}

TEST_CASE("names that are not in the map make no rows") {
  Score score({});
  for (int i = 0; i < 100; ++i) {
    auto facts = handshake("a.sender.example", nullptr, Reception::Reset);
    facts.handshake->sni = Sni::Unknown;  // whatever the name was
    score.add(facts);
  }
  CHECK(score.refusals().rows().size() == 1);
}

TEST_CASE("memory is bounded, and totals are exact whatever was dropped") {
  Score score({.senders_max = 20});
  for (int i = 0; i < 1000; ++i) {
    const std::string host = "out.sender" + std::to_string(i) + ".example";
    const std::string domain = "domain" + std::to_string(i) + ".example";
    score.add(with_mail(handshake(host.c_str(), "mx.example.com", Reception::Accepted), domain.c_str()));
    score.add(handshake(host.c_str(), "mx.example.com", Reception::Quit));
  }
  CHECK(score.senders().rows().size() <= 20);
  CHECK(score.domains().rows().size() <= 20);
  CHECK(score.pairs().rows().size() <= 20);
  CHECK(score.refusals().rows().size() <= 20);
  CHECK(score.totals().sum(noon, Window::Day)[OfSender::Handshakes] == 2000);
}

TEST_CASE("what is older than the retention is forgotten") {
  Score score({.retention = 1h});
  score.add(with_mail(handshake("a.sender.example", "mx.example.com", Reception::Accepted), "example.com"));
  auto failed = handshake("a.sender.example", nullptr, Reception::Failed);
  failed.handshake->failure = FailedHandshake{};
  score.add(failed);
  score.age(noon + 3h);
  CHECK(score.senders().rows().empty());
  CHECK(score.domains().rows().empty());
  CHECK(score.failures().empty());
  CHECK(score.totals().slots().empty());
}
