// Invariant: whatever a client sends, in whatever pieces, and whenever the answers come: a session asks only what is in
// order, gives out clean text only, never answers more than was said, and is silent after it has closed and between the
// 220 to STARTTLS and the handshake.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <vector>

#include "smtp/replies.h"
#include "smtp/server_session.h"

using namespace postern;
using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::array<std::string_view, 28> phrases{
    "EHLO client.example\r\n", "HELO x\r\n", "LHLO x\r\n", "MAIL FROM:<a@b.example>\r\n", "MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n",
    "RCPT TO:<c@d.example>\r\n", "RCPT TO:<postmaster>\r\n", "DATA\r\n", ".\r\n", "\r\n.\r\n", "text\r\n", "..text\r\n",
    "\n.\n", "\r.\r", "\r", "\n", "RSET\r\n", "NOOP\r\n", "STARTTLS\r\n", "QUIT\r\n", "Received: x\r\n", "GET / HTTP/1.1\r\n",
    "MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8\r\n", "VRFY x\r\n",
    "BDAT 6\r\ntext\r\n", "BDAT 3\r\na\r\n", "BDAT 2\r\na\r", "BDAT 0 LAST\r\n"};

class Run {
 public:
  explicit Run(FuzzedDataProvider& data) : data_(data), options_(choose_options()), session_(options_, now_) {}

  void go() {
    work();
    while (data_.remaining_bytes() > 0) {
      step();
      work();
    }
    // At last every question is answered: nothing may hang.
    while (!open_.empty()) {
      answer();
      work();
    }
  }

 private:
  ServerOptions choose_options() {
    ServerOptions options;
    options.hostname = "mx.example.net";
    options.dialect = data_.ConsumeBool() ? Dialect::Smtp : Dialect::Lmtp;
    options.tls = data_.ConsumeBool() ? TlsState::Offered : TlsState::Unavailable;
    options.smuggling = data_.ConsumeBool() ? Smuggling::Reject : Smuggling::Normalize;
    options.strict = data_.ConsumeBool();
    options.extensions.smtputf8 = data_.ConsumeBool();
    options.extensions.chunking = data_.ConsumeBool();
    options.limits.message_octets_max = 200;
    options.limits.recipients_max = 3;
    options.limits.command_line_octets_max = 100;
    options.limits.pipeline_depth = 4;
    options.limits.errors_max = 10;
    options.limits.commands_max = 50;
    return options;
  }

  void step() {
    switch (data_.ConsumeIntegralInRange(0, 9)) {
      case 0: return send(data_.ConsumeRandomLengthString(120));
      case 1: case 2: case 3: case 4: return send(data_.PickValueInArray(phrases));
      case 5: case 6: return answer();
      case 7:
        now_ += std::chrono::seconds(data_.ConsumeIntegralInRange(0, 400));
        return session_.expire(now_);
      case 8:
        if (tls_pending_ && !closed_) {
          session_.tls_started("sni.example.net", options_.extensions, now_);
          require(session_.client_name().empty() && !session_.in_transaction());
          tls_pending_ = false;
        }
        return;
      default:
        if (data_.ConsumeIntegralInRange(0, 9) == 0) session_.shut_down();
        if (data_.ConsumeIntegralInRange(0, 9) == 0) session_.end_of_input();
    }
  }

  void send(std::string_view bytes) {
    lines_ += static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    session_.receive(bytes, now_);
  }

  void answer() {
    if (open_.empty()) return;
    const auto which = data_.ConsumeIntegralInRange<std::size_t>(0, open_.size() - 1);
    const auto question = open_[which];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(which));
    const bool yes = data_.ConsumeIntegralInRange(0, 3) > 0;
    if (question.kind == Kind::Sender && yes) opened_ = true;
    if (question.kind == Kind::Recipient && yes) ++recipients_;
    if (question.kind == Kind::Outcome) opened_ = false;
    if (question.kind == Kind::Outcome || question.kind == Kind::Sender) recipients_ = 0;
    const Reply accept = question.kind == Kind::Body ? Reply(replies::start_input) : Reply(replies::ok);
    session_.answer(question.number, yes ? accept : Reply(replies::local_error), now_);
  }

  void work() {
    while (const auto event = session_.next()) {
      require(!closed_);
      require(!tls_pending_ || std::holds_alternative<SessionClosing>(*event));
      std::visit([this](const auto& e) { handle(e); }, *event);
    }
    const auto output = session_.take_output();
    if (closed_ && closed_seen_) require(output.empty());
    closed_seen_ = closed_;
    check_output(output);
  }

  enum class Kind { Sender, Recipient, Body, Outcome };
  struct Question {
    Kind kind;
    EventNumber number;
  };

  void ask(Kind kind, EventNumber number) {
    require(numbers_.insert(number).second);
    open_.push_back({kind, number});
    require(open_.size() <= options_.limits.pipeline_depth);
  }

  void handle(const SenderOffered& event) {
    require(!session_.in_transaction());
    recipients_ = 0;
    ask(Kind::Sender, event.number);
  }
  void handle(const RecipientOffered& event) {
    require(session_.in_transaction());
    ask(Kind::Recipient, event.number);
  }
  void handle(const BodyOffered& event) {
    require(session_.in_transaction() && recipients_ > 0 && open_.empty());
    text_.clear();
    ask(Kind::Body, event.number);
  }
  void handle(const BodyChunk& event) {
    require(!event.bytes.empty());
    text_ += event.bytes;
    require(text_.size() <= options_.limits.message_octets_max);
  }
  void handle(const MessageComplete& event) {
    require(session_.in_transaction() && session_.awaiting_outcome());
    require(event.octets == text_.size());
    require(text_.empty() || text_.ends_with("\r\n"));
    for (std::size_t at = 0; at < text_.size(); ++at) {
      require(text_[at] != '\0');
      if (text_[at] == '\n') require(at > 0 && text_[at - 1] == '\r');
      if (text_[at] == '\r') require(text_[at + 1] == '\n');
    }
    ask(Kind::Outcome, event.number);
  }
  void handle(const TransactionEnded&) {
    require(opened_ && !session_.awaiting_outcome());
    opened_ = false;
    recipients_ = 0;
  }
  void handle(const TlsRequested&) {
    require(options_.tls == TlsState::Offered && open_.empty());
    tls_pending_ = true;
  }
  void handle(const SessionClosing&) {
    closed_ = true;
    require(!session_.deadline() && !session_.wants_input());
  }

  void check_output(std::string_view output) {
    require(output.empty() || output.ends_with("\r\n"));
    for (std::size_t begin = 0; begin < output.size();) {
      const auto end = output.find("\r\n", begin);
      const auto line = output.substr(begin, end - begin);
      require(line.size() >= 4 && (line[3] == ' ' || line[3] == '-'));
      if (line[3] == ' ') ++replies_;
      begin = end + 2;
    }
    // The greeting and one last word may come unasked; LMTP answers a message for each recipient.
    const std::size_t each = options_.dialect == Dialect::Lmtp ? options_.limits.recipients_max : 1;
    require(replies_ <= lines_ * each + 2);
  }

  FuzzedDataProvider& data_;
  ServerOptions options_;
  Instant now_{};
  ServerSession session_;
  std::vector<Question> open_;
  std::set<EventNumber> numbers_;
  std::string text_;
  std::size_t lines_ = 0;
  std::size_t replies_ = 0;
  std::size_t recipients_ = 0;
  bool opened_ = false;
  bool tls_pending_ = false;
  bool closed_ = false;
  bool closed_seen_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  Run(data).go();
  return 0;
}
