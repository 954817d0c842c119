// Invariant: whatever a client sends, in whatever pieces, whenever the answers come and whatever they are, and wherever
// TLS begins or time runs out, the promises of the session hold:
//
// - it asks only what is in order, and every answer it was given leaves once, in the order of the questions;
// - a message is told to be taken only when the application has said so;
// - nothing that was sent in clear is read under TLS, and nothing is said between the 220 to STARTTLS and the handshake;
// - what it gives out of a message is clean text with CRLF, unless the message was declared as binary;
// - replies that wait are bounded, as are open questions; it waits for nobody without a time limit; and it ends.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "smtp/replies.h"
#include "smtp/server_session.h"

using namespace postern;
using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// % is replaced by "clear" or "tls", as the client would have it that sends the bytes.
constexpr std::array<std::string_view, 44> phrases{
    "EHLO client.%.example\r\n", "HELO client.%.example\r\n", "LHLO client.%.example\r\n",
    "MAIL FROM:<a@%.example>\r\n", "MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n", "MAIL FROM:<a@%.example> PRDR\r\n",
    "MAIL FROM:<a@%.example> BODY=BINARYMIME RET=HDRS ENVID=x+2By\r\n", "MAIL FROM:<\xc3\xbc@%.example> SMTPUTF8\r\n",
    "MAIL FROM:<a@%.example> REQUIRETLS\r\n",
    "RCPT TO:<c@%.example>\r\n", "RCPT TO:<postmaster>\r\n", "RCPT TO:<d@%.example> NOTIFY=NEVER ORCPT=rfc822;d@x\r\n",
    "RCPT TO:<@route.example:e@%.example>\r\n",
    "DATA\r\n", ".\r\n", "\r\n.\r\n", "text\r\n", "..text\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\r", "\n", "\0", "RSET\r\n",
    "NOOP\r\n", "HELP\r\n", "STARTTLS\r\n", "STARTTLS\r\nEHLO client.%.example\r\nMAIL FROM:<a@%.example>\r\n",
    "STARTTLS x\r\n", "QUIT\r\n", "Received: x\r\n", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "VRFY x\r\n", "EXPN x\r\n",
    "BDAT 6\r\ntext\r\n", "BDAT 3\r\na\r\n", "BDAT 2\r\na\r", "BDAT 2\r\n\n.", "BDAT 0 LAST\r\n", "BDAT 4 LAST\r\n.\r\n.",
    "BDAT 99999999999999999999\r\n", "BDAT 7\r\nQUIT\r\n."};

/// How an answer is found again among the replies.
std::string mark(EventNumber number) { return "<" + std::to_string(number) + ">"; }

class Run {
 public:
  explicit Run(FuzzedDataProvider& data) : data_(data), options_(choose_options()), session_(options_, now_) {}

  void go() {
    work();
    while (data_.remaining_bytes() > 0) {
      step();
      work();
    }
    end();
  }

 private:
  enum class Kind { Sender, Recipient, Body, Outcome };
  struct Question {
    Kind kind;
    EventNumber number;
    OutcomeForm form = OutcomeForm::One;
  };

  ServerOptions choose_options() {
    ServerOptions options;
    options.hostname = "mx.example.net";
    options.dialect = data_.ConsumeBool() ? Dialect::Smtp : Dialect::Lmtp;
    options.tls = data_.ConsumeBool() ? TlsState::Offered : TlsState::Unavailable;
    options.smuggling = data_.ConsumeBool() ? Smuggling::Reject : Smuggling::Normalize;
    options.strict = data_.ConsumeBool();
    options.extensions.smtputf8 = data_.ConsumeBool();
    options.extensions.chunking = data_.ConsumeBool();
    options.extensions.binarymime = data_.ConsumeBool();
    options.extensions.dsn = options.extensions.limits = data_.ConsumeBool();
    options.extensions.prdr = data_.ConsumeBool();
    options.extensions.requiretls = data_.ConsumeBool();
    options.limits.message_octets_max = 200;
    options.limits.recipients_max = 3;
    options.limits.command_line_octets_max = 100;
    options.limits.pipeline_depth = 4;
    options.limits.errors_max = 10;
    options.limits.commands_max = 50;
    options.limits.transactions_max = data_.ConsumeBool() ? 5 : 0;
    return options;
  }

  void step() {
    switch (data_.ConsumeIntegralInRange(0, 9)) {
      case 0:
        return send_anything();
      case 1: case 2: case 3: case 4:
        return send(data_.PickValueInArray(phrases));
      case 5: case 6:
        return answer();
      case 7:
        now_ += std::chrono::seconds(data_.ConsumeIntegralInRange(0, 400));
        return session_.expire(now_);
      case 8:
        return begin_tls();
      default:
        if (data_.ConsumeIntegralInRange(0, 9) == 0) session_.shut_down();
        if (data_.ConsumeIntegralInRange(0, 9) == 0) session_.end_of_input();
    }
  }

  void send_anything() {
    std::string bytes = data_.ConsumeRandomLengthString(120);
    if (under_tls_) std::replace(bytes.begin(), bytes.end(), 'c', 'k');  // "clear" is what was sent in clear
    session_.receive(bytes, now_);
  }

  void send(std::string_view phrase) {
    std::string bytes;
    for (const char c : phrase) {
      if (c == '%') bytes += under_tls_ ? "tls" : "clear";
      else bytes += c;
    }
    session_.receive(bytes, now_);
  }

  void begin_tls() {
    if (!tls_pending_ || closed_) return;
    tls_pending_ = false;
    under_tls_ = true;
    session_.tls_started("sni.example.net", options_.extensions, now_);
    require(session_.client_name().empty() && !session_.in_transaction());
    require(session_.take_output().empty());
  }

  void answer() {
    if (open_.empty()) return;
    const auto which = data_.ConsumeIntegralInRange<std::size_t>(0, open_.size() - 1);
    const auto question = open_[which];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(which));
    const int code = data_.PickValueInArray({250, 250, 250, 450, 550});
    answer(question, code);
  }

  void answer(const Question& question, int code) {
    const auto number = question.number;
    const bool yes = code == 250;
    if (question.kind == Kind::Sender && yes) opened_ = true;
    if (question.kind == Kind::Recipient && yes) ++recipients_;
    if (question.kind == Kind::Body && yes) return session_.answer(number, {354, {}, mark(number)}, now_);
    if (question.kind != Kind::Outcome) return session_.answer(number, {code, {}, mark(number)}, now_);

    opened_ = false;
    const std::vector<Reply> each(recipients_, Reply{code, {}, yes ? "taken" : "refused"});
    const Reply overall{code, {}, (yes ? "taken" : "refused") + mark(number)};
    if (yes) taken_ += question.form == OutcomeForm::One ? 1 : recipients_ + 1;
    recipients_ = 0;
    const bool one_for_all = data_.ConsumeBool();
    if (question.form == OutcomeForm::ForEach && one_for_all) return session_.answer(number, each.front(), now_);
    if (question.form == OutcomeForm::ForEach) return session_.answer_recipients(number, each, now_);
    if (question.form == OutcomeForm::One || one_for_all) return session_.answer(number, overall, now_);
    session_.answer_recipients(number, each, overall, now_);
  }

  void work() {
    for (bool full = true; full;) {
      while (const auto event = session_.next()) {
        require(!closed_);
        require(!tls_pending_ || std::holds_alternative<SessionClosing>(*event));
        std::visit([this](const auto& e) { handle(e); }, *event);
      }
      full = session_.output_full();
      const auto output = session_.take_output();
      if (closed_ && closed_seen_) require(output.empty());
      require(output.size() < 20'000);
      check_output(output);
    }
    closed_seen_ = closed_;
    require(closed_ || !open_.empty() || session_.deadline());
  }

  /// At last every question is answered, the client is silent, and time runs: the session ends, whatever it was in.
  void end() {
    for (int step = 0; !closed_; ++step) {
      require(step < 200);
      if (!open_.empty()) {
        answer(open_.back(), 450);
        open_.pop_back();
      } else {
        now_ = std::max(now_, *session_.deadline());
        session_.expire(now_);
      }
      work();
    }
  }

  void ask(const Question& question) {
    require(question.number > last_number_);
    last_number_ = question.number;
    open_.push_back(question);
    require(open_.size() <= options_.limits.pipeline_depth);
  }

  /// What was sent in clear must not be seen under TLS.
  void check_origin(std::string_view seen) const {
    require(!under_tls_ || seen.find("clear.example") == std::string_view::npos);
  }

  void handle(const SenderOffered& event) {
    require(!session_.in_transaction() && !session_.client_name().empty());
    check_origin(event.from.text());
    check_origin(session_.client_name());
    require(!event.parameters.require_tls || under_tls_);
    binary_ = event.parameters.body == MailParameters::Body::BinaryMime;
    prdr_ = event.parameters.prdr;
    recipients_ = 0;
    ask({Kind::Sender, event.number});
  }
  void handle(const RecipientOffered& event) {
    require(session_.in_transaction());
    check_origin(event.to.text());
    ask({Kind::Recipient, event.number});
  }
  void handle(const CommandRefused&) {}
  void handle(const BodyOffered& event) {
    require(session_.in_transaction() && recipients_ > 0 && recipients_ <= options_.limits.recipients_max);
    require(open_.empty());
    text_.clear();
    ask({Kind::Body, event.number});
  }
  void handle(const BodyChunk& event) {
    require(!event.bytes.empty());
    text_ += event.bytes;
    require(text_.size() <= options_.limits.message_octets_max);
  }
  void handle(const MessageComplete& event) {
    require(session_.in_transaction() && session_.awaiting_outcome());
    require(event.octets == text_.size());
    if (!binary_) check_text();
    const bool lmtp = options_.dialect == Dialect::Lmtp;
    require((event.form == OutcomeForm::ForEach) == lmtp);
    require((event.form == OutcomeForm::ForEachThenOverall) == (!lmtp && prdr_ && recipients_ > 1));
    ask({Kind::Outcome, event.number, event.form});
  }
  void handle(const TransactionEnded&) {
    require(opened_ && !session_.awaiting_outcome());
    opened_ = false;
    recipients_ = 0;
  }
  void handle(const TlsRequested&) {
    require(options_.tls == TlsState::Offered && !under_tls_ && open_.empty());
    tls_pending_ = true;
  }
  // Of Authority::Backend, which nobody has here.
  void handle(const CommandOffered&) {}
  void handle(const ChunkComplete&) {}
  // Of trusted peers, which nobody is here.
  void handle(const IdentityOffered&) { require(false); }
  void handle(const SessionClosing&) {
    closed_ = true;
    require(!session_.deadline() && !session_.wants_input());
  }

  void check_text() const {
    require(text_.empty() || text_.ends_with("\r\n"));
    for (std::size_t at = 0; at < text_.size(); ++at) {
      require(text_[at] != '\0');
      if (text_[at] == '\n') require(at > 0 && text_[at - 1] == '\r');
      if (text_[at] == '\r') require(text_[at + 1] == '\n');
    }
  }

  void check_output(std::string_view output) {
    require(output.empty() || output.ends_with("\r\n"));
    require(output.empty() || !tls_said_ || !tls_pending_);
    tls_said_ = tls_pending_;
    while (!output.empty()) {
      const auto line = output.substr(0, output.find("\r\n"));
      require(line.size() >= 4 && (line[3] == ' ' || line[3] == '-'));
      if (const auto begin = line.find('<'); begin != std::string_view::npos && is_digit(line.substr(begin + 1))) {
        const auto number = std::strtoull(line.data() + begin + 1, nullptr, 10);
        require(number > last_answer_said_ && number <= last_number_);
        last_answer_said_ = number;
      }
      if (line.find("taken") != std::string_view::npos) require(line.starts_with("250 ") && ++taken_said_ <= taken_);
      output.remove_prefix(line.size() + 2);
    }
  }

  static bool is_digit(std::string_view text) { return !text.empty() && text.front() >= '0' && text.front() <= '9'; }

  FuzzedDataProvider& data_;
  ServerOptions options_;
  Instant now_{};
  ServerSession session_;
  std::vector<Question> open_;
  EventNumber last_number_ = 0;
  EventNumber last_answer_said_ = 0;
  std::string text_;
  std::size_t recipients_ = 0;
  std::size_t taken_ = 0;
  std::size_t taken_said_ = 0;
  bool binary_ = false;
  bool prdr_ = false;
  bool opened_ = false;
  bool tls_pending_ = false;
  bool tls_said_ = false;
  bool under_tls_ = false;
  bool closed_ = false;
  bool closed_seen_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  Run(data).go();
  return 0;
}
