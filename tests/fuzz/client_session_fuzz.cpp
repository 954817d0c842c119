// Invariant: whatever a peer says, each transaction ends in one outcome with a reply for each recipient, or in one
// failure after which nothing happens any more; and the only end of data that the peer can find in what it is sent is
// the final dot.
//
// Under TLS nothing that came in clear counts: after STARTTLS the next words are answered as if they were the first.
//
// The first octet chooses dialect, number of recipients, STARTTLS, BINARYMIME and XCLIENT or XFORWARD, the second how
// the rest is cut; the rest is the peer's.
#include "smtp/client_session.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace postern;
using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::string_view end_of_data = "\r\n.\r\n";
constexpr std::string_view message = "Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nno line end";

class Driver {
 public:
  Driver(Dialect dialect, std::size_t recipients, StartTls start_tls, Envelope like)
      : recipients_(recipients),
        start_tls_(start_tls),
        like_(std::move(like)),
        session_(ClientOptions{dialect, "mx.example.net", {}, start_tls}, now_) {}

  void hear(std::string_view bytes) {
    now_ += std::chrono::seconds(1);
    session_.receive(bytes, now_);
    while (auto event = session_.next()) std::visit([this](const auto& each) { handle(each); }, *event);
    session_.take_output();
    if (session_.idle()) begin();
  }

  void finish() {
    if (failed_) return;
    const auto deadline = session_.deadline();
    require(deadline.has_value() || session_.idle());
    if (deadline) {
      session_.expire(*deadline);
    } else {
      session_.connection_lost("closed", now_);
    }
    while (auto event = session_.next()) std::visit([this](const auto& each) { handle(each); }, *event);
    require(failed_ && !session_.next() && !session_.deadline());
  }

 private:
  enum class Open { Nothing, Check, Delivery, Probe };

  void begin() {
    require(open_ == Open::Nothing);
    open_ = ++transactions_ % 3 == 0 ? Open::Check : transactions_ % 3 == 1 ? Open::Delivery : Open::Probe;
    Envelope envelope = like_;
    if (open_ == Open::Check) {
      envelope.recipients = {recipient()};
      session_.check(std::move(envelope), now_);
    } else if (open_ == Open::Delivery) {
      envelope.recipients.assign(recipients_, recipient());
      session_.deliver(std::move(envelope), now_);
    } else {
      session_.probe(now_);
    }
    session_.take_output();
  }

  static ForwardPath recipient() { return {{"bob", "example.com"}}; }

  void handle(const TlsWanted&) {
    require(!failed_ && start_tls_ == StartTls::Required && transactions_ == 0 && !session_.idle());
    session_.tls_started(now_);
    require(session_.extensions() == PeerExtensions{});
    secured_ = true;
  }

  void handle(const PeerReady&) {
    require(!failed_ && transactions_ == 0);
    require(secured_ || start_tls_ == StartTls::Never);
  }

  void handle(const PeerAlive&) {
    require(!failed_ && open_ == Open::Probe);
    open_ = Open::Nothing;
  }

  void handle(const RecipientChecked& checked) {
    require(!failed_ && open_ == Open::Check);
    require(checked.reply.code >= 200 && !checked.reply.intermediate());
    open_ = Open::Nothing;
  }

  void handle(const BodyWanted&) {
    require(!failed_ && open_ == Open::Delivery);
    session_.take_output();
    const std::size_t cut = transactions_ % message.size();
    session_.send_body(message.substr(0, cut), now_);
    session_.send_body(message.substr(cut), now_);
    session_.finish_body(now_);
    // When the peer's next words have failed the session already, nothing is sent.
    const std::string sent = "\r\n" + session_.take_output();
    if (like_.parameters.body == MailParameters::Body::BinaryMime) {
      return require(sent == "\r\n" || sent.ends_with("BDAT 0 LAST\r\n"));
    }
    const auto end = sent.find(end_of_data);
    require(sent == "\r\n" || (end != std::string::npos && end + end_of_data.size() == sent.size()));
  }

  void handle(const DeliveryDone& done) {
    require(!failed_ && open_ == Open::Delivery && done.replies.size() == recipients_);
    for (const auto& reply : done.replies) require(!reply.intermediate());
    open_ = Open::Nothing;
  }

  void handle(const SessionFailed& failed) {
    require(!failed_ && !session_.idle());
    require(open_ != Open::Delivery ? failed.replies.size() <= 1 : failed.replies.size() == recipients_);
    failed_ = true;
  }

  std::size_t recipients_;
  StartTls start_tls_;
  Envelope like_;
  bool secured_ = false;
  Instant now_{std::chrono::hours(1)};
  ClientSession session_;
  Open open_ = Open::Nothing;
  std::size_t transactions_ = 0;
  bool failed_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Envelope like;
  if ((data[0] & 16) != 0) like.parameters.body = MailParameters::Body::BinaryMime;
  if ((data[0] & 32) != 0) like.identify = (data[0] & 64) != 0 ? "XCLIENT ADDR=192.0.2.1" : "XFORWARD ADDR=192.0.2.1";
  Driver driver(data[0] % 2 == 0 ? Dialect::Lmtp : Dialect::Smtp, 1 + data[0] / 2 % 4,
                (data[0] & 8) != 0 ? StartTls::Required : StartTls::Never, std::move(like));
  const std::size_t piece = 1 + data[1];
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  while (!rest.empty()) {
    driver.hear(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  driver.finish();
  return 0;
}
