#include "tests/transcripts/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "base/text.h"
#include "smtp/replies.h"
#include "smtp/server_session.h"
#include "tests/support/catch.h"

namespace postern::transcripts {

namespace {

using namespace smtp;

void set_limit(ServerLimits& limits, std::string_view name, std::uint64_t value) {
  if (name == "message_octets_max") limits.message_octets_max = value;
  else if (name == "recipients_max") limits.recipients_max = value;
  else if (name == "errors_max") limits.errors_max = value;
  else if (name == "commands_max") limits.commands_max = value;
  else if (name == "unknown_commands_max") limits.unknown_commands_max = value;
  else if (name == "transactions_max") limits.transactions_max = value;
  else if (name == "data_octets_per_second_min") limits.data_octets_per_second_min = value;
  else if (name == "command_line_octets_max") limits.command_line_octets_max = value;
  else if (name == "text_line_octets_max") limits.text_line_octets_max = value;
  else if (name == "pipeline_depth") limits.pipeline_depth = value;
  else FAIL("unknown option " << name);
}

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

bool keeps_segments(const Dialogue& dialogue) {
  return std::any_of(dialogue.options.begin(), dialogue.options.end(),
                     [](const auto& option) { return option.first == "segments"; });
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

std::string_view describe(TransactionEnded::Why why) {
  switch (why) {
    case TransactionEnded::Why::Reset: return "reset";
    case TransactionEnded::Why::Hello: return "hello";
    case TransactionEnded::Why::MessageTooLarge: return "too large";
    case TransactionEnded::Why::Smuggling: return "smuggling";
    case TransactionEnded::Why::TooManyHops: return "too many hops";
    case TransactionEnded::Why::Closing: return "closing";
  }
  return "";
}

/// The client and the application of one run.
class Run {
 public:
  Run(const Dialogue& dialogue, Cut cut, Answering answering)
      : dialogue_(dialogue),
        cut_(keeps_segments(dialogue) ? Cut{} : cut),
        answering_(answering),
        random_(cut.seed),
        session_(options_of(dialogue), now_) {}

  std::string differences() {
    for (const Step& step : dialogue_.steps) {
      events_.clear();
      text_.clear();
      output_.clear();
      play(step);
      compare(step);
      if (!difference_.empty()) break;
    }
    return difference_;
  }

 private:
  void play(const Step& step) {
    switch (step.kind) {
      case Step::Kind::Greeting: break;
      case Step::Kind::Send: return send(step.bytes);
      case Step::Kind::EndOfInput: session_.end_of_input(); break;
      case Step::Kind::ShutDown: session_.shut_down(); break;
      case Step::Kind::TlsStarted: session_.tls_started(step.bytes, options_of(dialogue_).extensions, now_); break;
      case Step::Kind::Wait:
        now_ += parse_duration(step.bytes).value();
        session_.expire(now_);
        break;
    }
    work();
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, piece_size(bytes.size()));
      session_.receive(piece, now_);
      bytes.remove_prefix(piece.size());
      work();
    }
  }

  std::size_t piece_size(std::size_t left) {
    switch (cut_.kind) {
      case Cut::Kind::Whole: return left;
      case Cut::Kind::EachByte: return 1;
      case Cut::Kind::Random: break;
    }
    return std::uniform_int_distribution<std::size_t>(1, std::min<std::size_t>(left, 40))(random_);
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
  void handle(const TransactionEnded& event) { events_.push_back(fmt::format("ended {}", describe(event.why))); }
  void handle(const TlsRequested&) { events_.push_back("tls"); }
  void handle(const CommandRefused& event) {
    if (event.verb == Verb::Rcpt) events_.push_back(fmt::format("refused {} {}", event.reply.code, event.line));
  }
  // Of Authority::Backend, which nobody has here.
  void handle(const CommandOffered&) {}
  void handle(const ChunkComplete&) {}
  // Of trusted peers, which nobody is here.
  void handle(const IdentityOffered&) {}
  void handle(const SessionClosing& event) { events_.push_back(fmt::format("closing {}", to_string(event.why))); }

  void compare(const Step& step) {
    compare_output(step);
    auto events = events_;
    const auto is_detail = [](const std::string& e) { return e.starts_with("mail ") || e.starts_with("rcpt ") || e.starts_with("refused "); };
    if (std::none_of(step.events.begin(), step.events.end(), is_detail)) {
      events.erase(std::remove_if(events.begin(), events.end(), is_detail), events.end());
    }
    if (events != step.events) {
      differ(step, "events", fmt::format("{}", fmt::join(step.events, "\n")), fmt::format("{}", fmt::join(events, "\n")));
    }
    if (!step.text.empty() && step.text != text_) differ(step, "text", escaped(step.text, 999), escaped(text_, 999));
  }

  void compare_output(const Step& step) {
    std::string_view rest = output_;
    for (const auto& wanted : step.replies) {
      if (wanted.starts_with('(') ? take_any_reply(rest, wanted.substr(1, 3)) : take_line(rest, wanted)) continue;
      return differ(step, "output", wanted, rest);
    }
    if (!rest.empty()) differ(step, "output", "nothing more", rest);
  }

  static bool take_line(std::string_view& rest, std::string_view wanted) {
    if (!rest.starts_with(wanted) || !rest.substr(wanted.size()).starts_with("\r\n")) return false;
    rest.remove_prefix(wanted.size() + 2);
    return true;
  }

  static bool take_any_reply(std::string_view& rest, std::string_view code) {
    while (rest.starts_with(code)) {
      const bool last = rest.substr(3, 1) == " ";
      rest.remove_prefix(rest.find("\r\n") + 2);
      if (last) return true;
    }
    return false;
  }

  void differ(const Step& step, std::string_view what, std::string_view wanted, std::string_view got) {
    difference_ += fmt::format("step at line {}: {}\n  wanted: {}\n  got: {}\n", step.line, what, wanted, got);
  }

  const Dialogue& dialogue_;
  Cut cut_;
  Answering answering_;
  std::mt19937 random_;
  Instant now_{};
  ServerSession session_;
  std::vector<std::pair<EventNumber, std::string>> questions_;
  std::vector<std::string> events_;
  std::string text_;
  std::string output_;
  std::string difference_;
};

}  // namespace

std::string differences(const Dialogue& dialogue, Cut cut, Answering answering) {
  return Run(dialogue, cut, answering).differences();
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
