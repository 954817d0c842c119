#include "tests/transcripts/runner.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "base/text.h"
#include "smtp/replies.h"
#include "smtp/server_session.h"
#include "tests/support/catch.h"
#include "tests/transcripts/playback.h"
#include "tests/transcripts/relay_run.h"

namespace postern::transcripts {

namespace {

using namespace smtp;

void offer(Extensions& extensions, std::string_view name) {
  if (name == "smtputf8") extensions.smtputf8 = true;
  else if (name == "chunking") extensions.chunking = true;
  else if (name == "binarymime") extensions.binarymime = true;
  else if (name == "dsn") extensions.dsn = true;
  else if (name == "prdr") extensions.prdr = true;
  else if (name == "limits") extensions.limits = true;
  else if (name == "requiretls") extensions.requiretls = true;
  else FAIL("unknown extension " << name);
}

ServerOptions options_of(const Dialogue& dialogue) {
  ServerOptions options;
  options.hostname = "mx.example.net";
  options.tls = TlsState::Offered;
  options.limits.message_octets_max = 1'000'000;
  for (const auto& [name, value] : dialogue.options) {
    if (name == "segments") continue;
    if (name == "dialect") options.dialect = value == "lmtp" ? Dialect::Lmtp : Dialect::Smtp;
    else if (name == "tls") options.tls = value == "none" ? TlsState::Unavailable : TlsState::Active;
    else if (name == "smuggling") options.smuggling = value == "normalize" ? Smuggling::Normalize : Smuggling::Reject;
    else if (name == "strict") options.strict = true;
    else if (name == "offer") offer(options.extensions, value);
    else set_limit(options.limits, name, parse_decimal(value).value_or(0));
  }
  return options;
}

Reply to_reply(std::string_view text) {
  ReplyParser parser;
  parser.receive(std::string(text) + "\r\n");
  auto reply = parser.next();
  REQUIRE(reply);
  REQUIRE(*reply);
  return **reply;
}

std::string describe(const MailParameters& parameters) {
  std::string made;
  if (parameters.body == MailParameters::Body::EightBitMime) made += " BODY=8BITMIME";
  if (parameters.size) made += fmt::format(" SIZE={}", *parameters.size);
  if (parameters.body == MailParameters::Body::BinaryMime) made += " BODY=BINARYMIME";
  if (parameters.smtputf8) made += " SMTPUTF8";
  if (parameters.ret) made += *parameters.ret == MailParameters::Return::Full ? " RET=FULL" : " RET=HDRS";
  if (!parameters.envid.empty()) made += " ENVID=" + parameters.envid;
  if (parameters.prdr) made += " PRDR";
  if (parameters.require_tls) made += " REQUIRETLS";
  return made;
}

std::string describe(const RecipientParameters& parameters) {
  std::string made;
  if (parameters.notify) made += " NOTIFY=" + parameters.notify->text();
  if (!parameters.orcpt.empty()) made += " ORCPT=" + parameters.orcpt;
  return made;
}

/// The client and the application of one run.
class SessionRun final : public Playback {
 public:
  SessionRun(const Dialogue& dialogue, Cut cut, Answering answering)
      : Playback(dialogue, cut), dialogue_(dialogue), answering_(answering), session_(options_of(dialogue), now_) {}

 private:
  void play(const Step& step) override {
    switch (step.kind) {
      case Step::Kind::Greeting: break;
      case Step::Kind::Send:
        return in_pieces(step.bytes, [this](std::string_view piece) {
          session_.receive(piece, now_);
          work();
        });
      case Step::Kind::EndOfInput: session_.end_of_input(); break;
      case Step::Kind::ShutDown: session_.shut_down(); break;
      case Step::Kind::TlsStarted: session_.tls_started(step.bytes, options_of(dialogue_).extensions, now_); break;
      case Step::Kind::Wait:
        now_ += parse_duration(step.bytes).value();
        session_.expire(now_);
        break;
      case Step::Kind::Connected:
      case Step::Kind::BackendSends:
      case Step::Kind::Lost:
      case Step::Kind::NoTarget:
        FAIL("line " << step.line << " needs `option backend`");
    }
    work();
  }

  /// What daemon/session does after every read.
  void work() {
    for (;;) {
      while (const auto event = session_.next()) {
        std::visit([this](const auto& e) { handle(e); }, *event);
      }
      if (answer_late()) continue;
      const bool full = session_.output_full();
      output_ += session_.take_output();
      if (!full) return;
    }
  }

  bool answer_late() {
    if (questions_.empty()) return false;
    const auto [number, what] = questions_.back();
    questions_.pop_back();
    answer(number, what);
    return true;
  }

  void ask(EventNumber number, std::string what) {
    if (answering_ == Answering::AtOnce) return answer(number, what);
    questions_.emplace_back(number, std::move(what));
  }

  void answer(EventNumber number, const std::string& what) {
    if (what == "message") return answer_message(number, OutcomeForm::ForEach);
    if (what == "message and overall") return answer_message(number, OutcomeForm::ForEachThenOverall);
    const auto rule = dialogue_.answers.find(what);
    if (rule != dialogue_.answers.end()) return session_.answer(number, to_reply(rule->second), now_);
    const NamedReply yes = what.starts_with("mail")   ? replies::sender_ok
                           : what.starts_with("rcpt") ? replies::recipient_ok
                                                      : replies::start_input;
    session_.answer(number, yes, now_);
  }

  void answer_message(EventNumber number, OutcomeForm form) {
    const auto& outcomes = dialogue_.outcomes;
    if (outcomes.empty()) return session_.answer(number, replies::taken, now_);
    if (outcomes.size() == 1) return session_.answer(number, to_reply(outcomes.front()), now_);
    std::vector<Reply> each;
    for (const auto& outcome : outcomes) each.push_back(to_reply(outcome));
    if (form == OutcomeForm::ForEach) return session_.answer_recipients(number, each, now_);
    const Reply overall = std::move(each.back());
    each.pop_back();
    session_.answer_recipients(number, each, overall, now_);
  }

  void handle(const SenderOffered& event) {
    events_.push_back("mail " + event.from.text() + describe(event.parameters));
    ask(event.number, "mail " + event.from.text());
  }
  void handle(const RecipientOffered& event) {
    events_.push_back("rcpt " + event.to.text() + describe(event.parameters));
    ask(event.number, "rcpt " + event.to.text());
  }
  void handle(const BodyOffered& event) { ask(event.number, "data"); }
  void handle(const BodyChunk& event) { text_ += event.bytes; }
  void handle(const MessageComplete& event) {
    events_.push_back(fmt::format("message {} {}", event.octets, session_.protocol_name()));
    ask(event.number, event.form == OutcomeForm::ForEachThenOverall ? "message and overall" : "message");
  }
  void handle(const TransactionEnded& event) { note(event); }
  void handle(const TlsRequested&) { events_.push_back("tls"); }
  void handle(const CommandRefused& event) {
    if (event.verb == Verb::Rcpt) events_.push_back(fmt::format("refused {} {}", event.reply.code, event.line));
  }
  // Of Authority::Backend, which RelayRun has.
  void handle(const CommandOffered&) {}
  void handle(const ChunkComplete&) {}
  // Of trusted peers, which nobody is here.
  void handle(const IdentityOffered&) {}
  void handle(const SessionClosing& event) { note(event); }

  const Dialogue& dialogue_;
  Answering answering_;
  Instant now_{};
  ServerSession session_;
  std::vector<std::pair<EventNumber, std::string>> questions_;
};

}  // namespace

std::string differences(const Dialogue& dialogue, Cut cut, Answering answering) {
  if (dialogue.option("backend")) return relay_differences(dialogue, cut);
  return SessionRun(dialogue, cut, answering).differences();
}

void run_file(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::stringstream content;
  content << file.rdbuf();
  const auto dialogue = parse_dialogue(content.str());
  INFO(path << ": " << (dialogue ? "" : dialogue.error().text));
  REQUIRE(dialogue);
  REQUIRE(dialogue->steps.size() > 1);
  for (const auto answering : {Answering::AtOnce, Answering::LateLastFirst}) {
    INFO((answering == Answering::AtOnce ? "answers at once" : "answers late"));
    CHECK(differences(*dialogue, {Cut::Kind::Whole}, answering) == "");
    CHECK(differences(*dialogue, {Cut::Kind::EachByte}, answering) == "");
    for (std::uint32_t seed = 1; seed <= 5; ++seed) {
      INFO("random cuts, seed " << seed);
      CHECK(differences(*dialogue, {Cut::Kind::Random, seed}, answering) == "");
    }
  }
}

}  // namespace postern::transcripts
