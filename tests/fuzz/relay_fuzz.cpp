// Invariant: whatever a client and the backend behind it send, in whatever pieces, and wherever connections fail, TLS begins
// or time runs out:
//
// - the backend is told who the client is first, and gets nothing but whole commands of the allow-list behind that, AUTH only
//   where it may pass, and lines of a login only when it has asked for them;
// - it sees the end of a message only when the client has sent the whole of it, and then exactly this message;
// - every command that is offered to it is answered once, and the client gets the answers in the order of its commands;
// - it is waited for with a time limit, and a client is never left without an answer by a backend that is gone.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <set>
#include <string>

#include "base/text.h"
#include "smtp/command.h"
#include "tests/support/relayed_session.h"

using namespace postern;
using namespace postern::relay;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::string_view header = "PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\n";

constexpr std::array<std::string_view, 52> client_phrases{
    "EHLO client.example\r\n", "EHLO client.example\r\n", "HELO client.example\r\n", "LHLO client.example\r\n",
    "MAIL FROM:<a@b.example>\r\n", "MAIL FROM:<a@b.example>\r\n", "MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n",
    "MAIL FROM:<> BODY=BINARYMIME\r\n", "MAIL FROM:<a@b.example> AUTH=<>\r\n", "MAIL FROM:<a@b.example> XTRA=1\r\n",
    "RCPT TO:<c@one.example>\r\n", "RCPT TO:<c@one.example>\r\n", "RCPT TO:<d@two.example>\r\n", "RCPT TO:<e@else.example>\r\n",
    "RCPT TO:<c@one.example> XRCPTFORWARD=x\r\n", "RCPT TO:<c@one.example> NOTIFY=NEVER\r\n",
    "DATA\r\n", "DATA\r\n", ".\r\n", "\r\n.\r\n", "text\r\n", "..text\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\r", "\n",
    "text\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@one.example>\r\nDATA\r\n",
    "BDAT 6\r\ntext\r\n", "BDAT 3 LAST\r\na\r\n", "BDAT 2\r\n\n.", "BDAT 0 LAST\r\n", "BDAT 0\r\n", "BDAT x\r\n",
    "BDAT 7 LAST\r\n\r\n.\r\nXC", "RSET\r\n", "NOOP\r\n", "HELP\r\n", "QUIT\r\n", "VRFY x\r\n", "EXPN x\r\n",
    "XCLIENT ADDR=192.0.2.9\r\n", "XFORWARD ADDR=192.0.2.9\r\n", "PROXY TCP4 192.0.2.9 192.0.2.9 1 1\r\n", "ETRN x\r\n",
    "TURN\r\nBURL imap://x\r\n", "STARTTLS\r\n", "STARTTLS\r\nEHLO client.example\r\n", "AUTH PLAIN AAAA\r\n", "AUTH LOGIN\r\n",
    "dXNlcg==\r\n", "NOOP XCLIENT ADDR=192.0.2.9\r\n"};

constexpr std::array<std::string_view, 14> backend_replies{
    "250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "354 go\r\n", "450 later\r\n", "550-no\r\n550 never\r\n", "503 no\r\n",
    "421 gone\r\n", "334 cGFzcw==\r\n", "235 you are\r\n", "220 mta\r\n", "250-mta\r\n250 8BITMIME\r\n",
    "250-mta\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-AUTH PLAIN\r\n250-XTRA\r\n250-STARTTLS\r\n250-XCLIENT ADDR PORT\r\n250 BINARYMIME\r\n"};

/// What a backend makes of the octets that it is sent, by its own reading of them.
class Reader {
 public:
  Reader(bool told_by_header, bool told_by_xclient) : header_owed_(told_by_header), xclient_owed_(told_by_xclient) {}

  void may_log_in(bool may) { may_log_in_ = may; }

  void read(std::string_view octets) {
    buffer_ += octets;
    while (step()) {
    }
  }

  /// A whole reply of the backend, to the oldest command that has none.
  void replied(const smtp::Reply& reply) {
    if (!greeted_) {
      greeted_ = true;
      return;
    }
    if (asked_.empty()) return;  // unasked: the link ends with it
    const std::string verb = asked_.front();
    asked_.pop_front();
    if (reply.code >= 300 && reply.code < 400) {
      if (verb == "DATA") mode_ = Mode::Text;
      if ((verb == "AUTH" || verb == "login") && reply.code == 334) mode_ = Mode::Login;
    }
    while (step()) {
    }
  }

  bool idle() const { return mode_ == Mode::Commands && buffer_.empty(); }
  bool has_asked() const { return !asked_.empty(); }

  /// Messages whose end it has seen.
  std::vector<std::string> messages;

 private:
  enum class Mode { Commands, Text, Login, Chunk };

  bool step() {
    if (header_owed_) {
      require(buffer_.size() >= header.size() && buffer_.starts_with(header));
      buffer_.erase(0, header.size());
      header_owed_ = false;
    }
    switch (mode_) {
      case Mode::Text: return read_text();
      case Mode::Chunk: return read_chunk();
      case Mode::Commands:
      case Mode::Login: return read_line();
    }
    return false;
  }

  bool read_text() {
    const std::string all = "\r\n" + buffer_;
    const auto end = all.find("\r\n.\r\n");
    if (end == std::string::npos) return false;
    std::string text;
    // Unstuffed: a dot at the beginning of a line goes away.
    for (std::size_t at = 2; at < end + 2; ++at) {
      if (all[at] == '.' && all[at - 1] == '\n' && all[at - 2] == '\r') continue;
      text += all[at];
    }
    buffer_.erase(0, end + 3);
    messages.push_back(text);
    asked_.emplace_back("text");
    mode_ = Mode::Commands;
    return true;
  }

  bool read_chunk() {
    if (buffer_.size() < chunk_left_) return false;
    chunks_ += buffer_.substr(0, chunk_left_);
    buffer_.erase(0, chunk_left_);
    mode_ = Mode::Commands;
    if (last_) messages.push_back(std::exchange(chunks_, {}));
    return true;
  }

  bool read_line() {
    const auto end = buffer_.find("\r\n");
    if (end == std::string::npos) {
      require(buffer_.empty());  // commands come whole
      return false;
    }
    const std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    require(greeted_ && line.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    if (mode_ == Mode::Login) {
      require(may_log_in_);
      require(line == "*" || std::all_of(line.begin(), line.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '='; }));
      mode_ = Mode::Commands;
      asked_.emplace_back("login");
      return true;
    }
    read_command(line);
    return true;
  }

  void read_command(const std::string& line) {
    static const std::set<std::string> allowed{"EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "HELP", "QUIT"};
    const std::string verb = line.substr(0, line.find(' '));
    asked_.push_back(verb);
    if (xclient_owed_) {
      require(verb == (hello_said_ ? "XCLIENT" : "EHLO"));
      if (verb == "XCLIENT") xclient_owed_ = greeted_ = false;
      if (verb == "XCLIENT") asked_.pop_back();  // a greeting answers it
      hello_said_ = true;
      return;
    }
    require(allowed.contains(verb) || (verb == "AUTH" && may_log_in_));
    // What Postfix takes from those that it trusts to forward. (A local part may hold anything.)
    require(line.find(" XRCPTFORWARD=", std::min(line.rfind('>'), line.size())) == std::string::npos);
    if (verb == "RSET" || verb == "EHLO" || verb == "HELO" || verb == "MAIL") chunks_.clear();
    if (verb != "BDAT") return;
    const auto parsed = smtp::parse_bdat(line.substr(5));
    require(parsed.has_value());
    chunk_left_ = static_cast<std::size_t>(parsed->octets);
    last_ = parsed->last;
    mode_ = Mode::Chunk;
  }

  bool header_owed_;
  bool xclient_owed_;
  bool hello_said_ = false;
  bool greeted_ = false;
  bool may_log_in_ = false;
  Mode mode_ = Mode::Commands;
  std::string buffer_;
  std::deque<std::string> asked_;
  std::string chunks_;
  std::size_t chunk_left_ = 0;
  bool last_ = false;
};

struct Choices {
  bool early;
  bool by_recipient;
  bool may_log_in;
  bool passes_xtra;
  bool told_by_header;
  bool told_by_xclient;
  bool keeps_link;

  RelayOptions relaying(bool under_tls) const {
    RelayOptions options;
    if (early) options.timing = Timing::Early;
    if (!by_recipient) options.backend = "mta";
    options.hostname = "mx.example";
    options.offers = {"PIPELINING", "SIZE", "CHUNKING", "BINARYMIME", "AUTH PLAIN LOGIN"};
    options.policy.message_octets_max = 200;
    if (passes_xtra) options.policy.pass_extensions = {"XTRA"};
    if (under_tls && may_log_in) options.policy.authentication = OfferPolicy::Authentication::Passed;
    if (!under_tls) options.policy.starttls = OfferPolicy::Starttls::Offered;
    return options;
  }
};

Choices choose(FuzzedDataProvider& data) {
  Choices made{};
  made.by_recipient = data.ConsumeBool();
  made.early = data.ConsumeBool() && !made.by_recipient;
  made.may_log_in = data.ConsumeBool();
  made.passes_xtra = data.ConsumeBool();
  made.told_by_header = data.ConsumeBool();
  made.told_by_xclient = data.ConsumeBool() && !made.told_by_header;
  made.keeps_link = data.ConsumeBool();
  return made;
}

smtp::ServerOptions client_options() {
  smtp::ServerOptions options;
  options.hostname = "mx.example";
  options.tls = smtp::TlsState::Offered;
  options.limits.message_octets_max = 200;
  options.limits.command_line_octets_max = 100;
  options.limits.recipients_max = 3;
  options.limits.pipeline_depth = 4;
  options.limits.errors_max = 20;
  options.limits.unknown_commands_max = 20;
  options.limits.commands_max = 60;
  return options;
}

class Run final : test::RelayedSession {
 public:
  explicit Run(FuzzedDataProvider& data, const Choices& choices)
      : RelayedSession(choices.relaying(false), client_options()), data_(data), choices_(choices) {
    routes.insert({{"one.example", Route("one")}, {"two.example", Route("two")}});
  }

  void go() {
    check(start());
    while (data_.remaining_bytes() > 0 && !closed) step();
    end();
  }

 private:
  enum class Link { None, Dialled, Connected };

  void step() {
    switch (data_.ConsumeIntegralInRange(0, 12)) {
      case 0: return check(client(data_.ConsumeRandomLengthString(60)));
      case 1: case 2: case 3: case 4: return check(client(data_.PickValueInArray(client_phrases)));
      case 5: case 6: case 7: return dial_or_reply();
      case 8: return begin_tls();
      case 9: return check(wait(std::chrono::seconds(data_.ConsumeIntegralInRange(0, 400))));
      case 10: return backend_says(data_.ConsumeRandomLengthString(40));
      case 11:
        if (data_.ConsumeIntegralInRange(0, 3) == 0) lose();
        return;
      default:
        if (data_.ConsumeIntegralInRange(0, 9) == 0) check(client_gone());
    }
  }

  void dial_or_reply() {
    if (link_ == Link::Dialled) return data_.ConsumeIntegralInRange(0, 5) == 0 ? lose() : connect();
    const bool in_order = data_.ConsumeBool();  // a reply to a command, or whatever comes
    if (in_order && greeting_given_ && !reader_->has_asked()) return;
    backend_says(greeting_given_ ? data_.PickValueInArray(backend_replies) : "220 mta\r\n");
  }

  void connect() {
    BackendOptions options;
    if (choices_.told_by_header) options.preamble = header;
    if (choices_.told_by_xclient) {
      options.xclient.emplace();
      options.xclient->address = *IpAddress::parse("192.0.2.1");
      options.xclient->port = 1025;
    }
    options.hostname = "mx.example";
    link_ = Link::Connected;
    reader_.emplace(choices_.told_by_header, choices_.told_by_xclient);
    reader_->may_log_in(under_tls_ && choices_.may_log_in);
    replies_ = {};
    check(connected(std::move(options)));
  }

  void backend_says(std::string_view octets) {
    if (link_ != Link::Connected) return;
    // A line at a time: an answer to what was not sent yet would be none.
    while (!octets.empty() && link_ == Link::Connected) {
      const auto line = octets.substr(0, std::min(octets.find('\n'), octets.size() - 1) + 1);
      octets.remove_prefix(line.size());
      greeting_given_ = true;
      replies_.receive(line);
      const auto reply = replies_.next();
      if (reply && *reply) reader_->replied(**reply);
      check(backend(line));
    }
  }

  void lose() {
    if (link_ == Link::None) return;
    const bool opening = link_ == Link::Dialled;
    if (opening && connects.back().attempt > 1) {
      link_ = Link::None;
      return check(no_target_left());
    }
    link_ = Link::None;
    check(lost());
  }

  void begin_tls() {
    if (!tls_requested || closed) return;
    require(open_.empty());
    under_tls_ = true;
    messages_.clear();
    text_.clear();
    if (reader_) reader_->may_log_in(choices_.may_log_in);
    check(tls_started(choices_.relaying(true), choices_.keeps_link ? Relay::Link::Keep : Relay::Link::Renew));
  }

  /// At last the backend is gone, and there is no other.
  void end() {
    for (int left = 100; link_ != Link::None; --left) {
      require(left > 0);
      lose();
    }
    require(closed || open_.empty());
  }

  void ask(smtp::EventNumber number) {
    require(number > last_asked_);
    last_asked_ = number;
    open_.insert(number);
  }

  /// What the client has sent of a message before it is not part of the next one.
  static bool begins_anew(const smtp::ServerEvent& event) {
    const auto* command = std::get_if<smtp::CommandOffered>(&event);
    if (command == nullptr) {
      return std::holds_alternative<smtp::TransactionEnded>(event) || std::holds_alternative<smtp::BodyOffered>(event);
    }
    using smtp::Verb;
    return command->verb == Verb::Mail || command->verb == Verb::Rset || command->verb == Verb::Ehlo || command->verb == Verb::Helo;
  }

  void watch(const smtp::ServerEvent& event) override {
    std::visit(
        [this](const auto& e) {
          if constexpr (requires { e.number; }) ask(e.number);
        },
        event);
    if (const auto* chunk = std::get_if<smtp::BodyChunk>(&event)) text_ += chunk->bytes;
    if (begins_anew(event)) text_.clear();
    if (std::holds_alternative<smtp::MessageComplete>(event)) messages_.push_back(std::exchange(text_, {}));
  }

  void watch(const Action& action) override {
    if (std::holds_alternative<Connect>(action)) {
      link_ = Link::Dialled;
      reader_.reset();
      greeting_given_ = false;
    }
    if (const auto* disconnect = std::get_if<Disconnect>(&action)) {
      if (reader_ && !disconnect->last_words.empty()) {
        read(disconnect->last_words);
        require(reader_->idle());
      }
      link_ = Link::None;
      reader_.reset();
      greeting_given_ = false;
    }
  }

  void watch_sent(std::string_view octets) override {
    require(octets.empty() || reader_);
    if (!octets.empty()) read(octets);
  }

  void read(std::string_view octets) {
    const auto seen = reader_->messages.size();
    reader_->read(octets);
    for (std::size_t i = seen; i < reader_->messages.size(); ++i) {
      // Those between them came to no backend.
      const auto found = std::find(messages_.begin(), messages_.end(), reader_->messages[i]);
      require(found != messages_.end());
      messages_.erase(messages_.begin(), found + 1);
    }
  }

  smtp::Reply reply_to(smtp::EventNumber number, const smtp::Reply& reply) override {
    require(open_.erase(number) == 1 || closed);
    smtp::Reply marked = reply;
    marked.text += " <" + std::to_string(number) + ">";
    return marked;
  }

  void check(std::string_view told) {
    require(closed || link_ != Link::Connected || open_.empty() || relay().deadline().has_value());
    require(closed || link_ != Link::None || open_.empty());
    require(told.empty() || told.ends_with("\r\n"));
    while (!told.empty()) {
      const auto line = told.substr(0, told.find("\r\n"));
      require(line.size() >= 4 && line[0] >= '2' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-'));
      check_order(line);
      told.remove_prefix(line.size() + 2);
    }
  }

  void check_order(std::string_view line) {
    const auto begin = line.rfind(" <");
    if (line[3] != ' ' || begin == std::string_view::npos) return;
    const auto number = parse_decimal(line.substr(begin + 2, line.size() - begin - 3));
    if (!number || *number > last_asked_) return;  // a backend's own words, in its greeting
    require(*number > last_told_);
    last_told_ = *number;
  }

  FuzzedDataProvider& data_;
  Choices choices_;
  Link link_ = Link::None;
  std::optional<Reader> reader_;
  smtp::ReplyParser replies_;
  bool greeting_given_ = false;
  bool under_tls_ = false;
  std::set<smtp::EventNumber> open_;
  smtp::EventNumber last_asked_ = 0;
  std::uint64_t last_told_ = 0;
  std::string text_;                   // of the message that the client is sending
  std::vector<std::string> messages_;  // that it has sent whole
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  const Choices choices = choose(data);
  Run(data, choices).go();
  return 0;
}
