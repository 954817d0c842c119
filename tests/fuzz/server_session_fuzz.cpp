// Invariant: however what a client sends is cut into pieces, a session says the same and gives out the same events and
// the same text of whole messages (of one that is refused, how much is given out before depends on the pieces); and
// every line that it says is a reply.
//
// The first octets choose the options and how the rest is cut; the rest is the client's. There is no STARTTLS here: what
// may stand behind it depends on the pieces by intention (server_promises_fuzz has it).
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "smtp/replies.h"
#include "smtp/server_session.h"

using namespace postern;
using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::size_t option_octets = 3;

ServerOptions options_from(std::string_view octets) {
  const auto bits = static_cast<unsigned char>(octets[0]);
  const auto more = static_cast<unsigned char>(octets[1]);
  ServerOptions options;
  options.hostname = "mx.example.net";
  options.dialect = (bits & 1) != 0 ? Dialect::Lmtp : Dialect::Smtp;
  options.smuggling = (bits & 2) != 0 ? Smuggling::Normalize : Smuggling::Reject;
  options.strict = (bits & 4) != 0;
  options.tls = (bits & 8) != 0 ? TlsState::Active : TlsState::Unavailable;
  options.extensions = {(bits & 16) != 0, (bits & 32) != 0, (bits & 64) != 0, (bits & 128) != 0,
                        (more & 1) != 0,  (more & 2) != 0,  (more & 4) != 0};
  options.limits.message_octets_max = 500;
  options.limits.recipients_max = 3;
  options.limits.command_line_octets_max = 200;
  options.limits.text_line_octets_max = (more & 8) != 0 ? 100 : 0;
  options.limits.transactions_max = (more & 16) != 0 ? 2 : 0;
  options.limits.unknown_commands_max = 3;
  if ((more & 32) != 0) options.xclient = options.xforward = "ADDR";
  return options;
}

/// What a session did, in one string each.
struct Deeds {
  std::string said;
  std::string events;
  std::string text;

  friend bool operator==(const Deeds&, const Deeds&) = default;
};

class Run {
 public:
  explicit Run(const ServerOptions& options) : session_(options, Instant{}) {}

  Deeds feed(std::string_view bytes, std::size_t step) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
      session_.receive(bytes.substr(0, step), Instant{});
      work();
    }
    session_.end_of_input();
    work();
    return std::move(deeds_);
  }

 private:
  void work() {
    for (bool full = true; full;) {
      while (const auto event = session_.next()) std::visit([this](const auto& e) { handle(e); }, *event);
      full = session_.output_full();
      deeds_.said += session_.take_output();
    }
  }

  void answer(EventNumber number, const Reply& reply) { session_.answer(number, reply, Instant{}); }

  void handle(const SenderOffered& e) {
    deeds_.events += "mail " + e.from.text() + e.parameters.envid + (e.parameters.smtputf8 ? " utf8" : "") + '\n';
    answer(e.number, replies::sender_ok);
  }
  void handle(const RecipientOffered& e) {
    deeds_.events += "rcpt " + e.to.text() + (e.parameters.notify ? e.parameters.notify->text() : "") +
                     e.parameters.orcpt + '\n';
    const bool refused = e.to.mailbox.local_part.starts_with('x');
    answer(e.number, refused ? Reply(replies::no_such_mailbox) : Reply(replies::recipient_ok));
  }
  void handle(const CommandRefused& e) {
    require(e.line.size() <= refused_octets_max && !e.reply.positive());
    deeds_.events += "refused " + e.line + '\n';
  }
  void handle(const BodyOffered& e) { answer(e.number, replies::start_input); }
  void handle(const BodyChunk& e) { text_ += e.bytes; }
  void handle(const MessageComplete& e) {
    deeds_.events += "message " + std::to_string(e.octets) + '\n';
    deeds_.text += std::exchange(text_, {});
    if (e.form == OutcomeForm::ForEachThenOverall) {
      session_.answer_recipients(e.number, {replies::taken, replies::local_error}, replies::taken, Instant{});
    } else {
      answer(e.number, replies::taken);
    }
  }
  void handle(const TransactionEnded& e) {
    deeds_.events += "ended " + std::to_string(static_cast<int>(e.why)) + '\n';
    text_.clear();
  }
  void handle(const TlsRequested&) { require(false); }
  // Of Authority::Backend, which nobody has here.
  void handle(const CommandOffered&) {}
  void handle(const ChunkComplete&) {}
  void handle(const IdentityOffered& e) {
    require(!session_.in_transaction());
    deeds_.events += "identity " + e.argument + '\n';
    answer(e.number, e.argument.starts_with('x') ? Reply{501, "5.5.4", "no"} : Reply(replies::ok));
  }
  void handle(const SessionClosing& e) {
    deeds_.events += "closing ";
    deeds_.events += to_string(e.why);
    require(!session_.wants_input() && !session_.deadline());
  }

  ServerSession session_;
  std::string text_;  // of the message that is being received
  Deeds deeds_;
};

void check_replies(std::string_view said) {
  while (!said.empty()) {
    const auto line = said.substr(0, said.find("\r\n"));
    require(line.size() >= 4 && line.size() <= 510 && said.size() >= line.size() + 2);
    require(line[0] >= '2' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-'));
    require(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c < 0x7f; }));
    said.remove_prefix(line.size() + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size < option_octets) return 0;
  const auto options = options_from(input);
  const std::size_t step = 1 + static_cast<unsigned char>(input[2]) % 64;
  const auto bytes = input.substr(option_octets);
  const auto whole = Run(options).feed(bytes, std::max<std::size_t>(bytes.size(), 1));
  check_replies(whole.said);
  require(Run(options).feed(bytes, step) == whole);
  require(Run(options).feed(bytes, 1) == whole);
  return 0;
}
