#include "tests/transcripts/relay_run.h"

#include <utility>

#include "base/text.h"
#include "tests/support/catch.h"
#include "tests/support/relayed_session.h"
#include "tests/transcripts/playback.h"

namespace postern::transcripts {

namespace {

relay::RelayOptions relaying(const Dialogue& dialogue, smtp::TlsState tls) {
  using relay::OfferPolicy;
  relay::RelayOptions options;
  options.hostname = "mx.example.net";
  options.offers = relay::modest_offers();
  options.policy.message_octets_max = 1'000'000;
  const auto decides = dialogue.option("backend").value();
  if (decides == "early") options.timing = relay::Timing::Early;
  if (decides != "recipient") options.backend = "mta";
  if (tls == smtp::TlsState::Offered) options.policy.starttls = OfferPolicy::Starttls::Offered;
  if (tls == smtp::TlsState::Active && dialogue.option("login")) {
    options.policy.authentication = OfferPolicy::Authentication::Passed;
  }
  for (const auto& [name, value] : dialogue.options) {
    if (name == "pass") options.policy.pass_extensions.push_back(value);
  }
  return options;
}

bool is_of_relaying(std::string_view name) {
  return name == "backend" || name == "login" || name == "link" || name == "pass" || name == "route" || name == "header" ||
         name == "segments";
}

smtp::ServerOptions session_options(const Dialogue& dialogue) {
  smtp::ServerOptions options;
  options.hostname = "mx.example.net";
  options.tls = smtp::TlsState::Offered;
  options.limits.message_octets_max = 1'000'000;
  for (const auto& [name, value] : dialogue.options) {
    if (!is_of_relaying(name)) set_limit(options.limits, name, parse_decimal(value).value_or(0));
  }
  return options;
}

class RelayRun final : public Playback, private test::RelayedSession {
 public:
  RelayRun(const Dialogue& dialogue, Cut cut)
      : Playback(dialogue, cut),
        RelayedSession(relaying(dialogue, smtp::TlsState::Offered), session_options(dialogue)),
        dialogue_(dialogue) {
    for (const auto& [name, value] : dialogue.options) {
      if (name != "route") continue;
      const auto parts = split(value, '=');
      routes.insert({std::string(parts.at(0)), relay::Route(std::string(parts.at(1)))});
    }
  }

 private:
  void play(const Step& step) override {
    switch (step.kind) {
      case Step::Kind::Greeting: output_ += start(); break;
      case Step::Kind::Send: in_pieces(step.bytes, [this](auto piece) { output_ += client(piece); }); break;
      case Step::Kind::BackendSends: in_pieces(step.bytes, [this](auto piece) { output_ += backend(piece); }); break;
      case Step::Kind::EndOfInput: output_ += client_gone(); break;
      case Step::Kind::ShutDown: FAIL("shutdown is not played here"); break;
      case Step::Kind::TlsStarted: output_ += over_tls(); break;
      case Step::Kind::Wait: output_ += wait(parse_duration(step.bytes).value()); break;
      case Step::Kind::Connected: output_ += connected(identity()); break;
      case Step::Kind::Lost: output_ += lost(); break;
      case Step::Kind::NoTarget: output_ += no_target_left(); break;
    }
    to_backend_ += sent();
  }

  std::string over_tls() {
    REQUIRE(tls_requested);
    const auto link = dialogue_.option("link") ? relay::Relay::Link::Keep : relay::Relay::Link::Renew;
    return tls_started(relaying(dialogue_, smtp::TlsState::Active), link);
  }

  relay::BackendOptions identity() const {
    relay::BackendOptions options;
    if (const auto header = dialogue_.option("header")) options.preamble = std::string(*header) + "\r\n";
    return options;
  }

  void watch(const smtp::ServerEvent& event) override {
    if (const auto* ended = std::get_if<smtp::TransactionEnded>(&event)) note(*ended);
    if (const auto* closing = std::get_if<smtp::SessionClosing>(&event)) note(*closing);
    if (std::holds_alternative<smtp::TlsRequested>(event)) events_.emplace_back("tls");
  }

  void watch(const relay::Action& action) override {
    if (const auto* connect = std::get_if<relay::Connect>(&action)) events_.push_back("connect " + connect->backend);
    if (const auto* end = std::get_if<relay::Disconnect>(&action)) {
      const auto words = trimmed(end->last_words);
      events_.push_back(words.empty() ? "disconnect" : "disconnect " + escaped(words));
    }
  }

  const Dialogue& dialogue_;
};

}  // namespace

std::string relay_differences(const Dialogue& dialogue, Cut cut) { return RelayRun(dialogue, cut).differences(); }

}  // namespace postern::transcripts
