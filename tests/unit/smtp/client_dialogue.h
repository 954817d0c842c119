// A ClientSession with the test in the part of its peer.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/client_session.h"
#include "tests/support/catch.h"

namespace postern::smtp::test {

inline const Instant start{std::chrono::hours(1)};

inline ForwardPath to(std::string local_part) { return {Mailbox{std::move(local_part), "example.com"}}; }
inline ReversePath from_alice() { return {Mailbox{"alice", "example.org"}}; }

inline Envelope envelope_for(std::initializer_list<const char*> names) {
  Envelope envelope{from_alice(), {}, {}};
  for (const auto* name : names) envelope.recipients.push_back(to(name));
  return envelope;
}

enum class Cut { None, EachByte };

/// A ClientSession with the test in the part of its peer.
class Dialogue {
 public:
  explicit Dialogue(Dialect dialect = Dialect::Lmtp, Cut cut = Cut::None, StartTls start_tls = StartTls::Never,
                    Privacy privacy = Privacy::Open)
      : session({dialect, "mx.example.net", {}, start_tls, privacy}, start), cut_(cut) {}

  /// The peer's words; what the session answers to them is returned.
  std::string hear(std::string_view bytes) {
    if (cut_ == Cut::None) {
      session.receive(bytes, now);
    } else {
      for (const char& byte : bytes) session.receive({&byte, 1}, now);
    }
    return session.take_output();
  }

  void be_ready(std::string_view extensions = "250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000\r\n") {
    hear("220 store ready\r\n");
    hear(std::string("250-store\r\n") + std::string(extensions));
    REQUIRE(expect<PeerReady>().extensions == session.extensions());
    REQUIRE(session.idle());
  }
  void be_ready_without_pipelining() { be_ready("250 8BITMIME\r\n"); }

  /// Delivers `body` to the recipients, up to and with the final dot.
  void send_message(std::initializer_list<const char*> names, std::string_view body = "x\r\n") {
    session.deliver(envelope_for(names), now);
    session.take_output();
    hear("250 sender\r\n");
    for (std::size_t i = 0; i < names.size(); ++i) hear("250 recipient\r\n");
    hear("354 go\r\n");
    expect<BodyWanted>();
    session.send_body(body, now);
    session.finish_body(now);
    session.take_output();
  }

  /// The next event, which must be of this kind.
  template <class Event>
  Event expect() {
    auto event = session.next();
    REQUIRE(event);
    REQUIRE(std::holds_alternative<Event>(*event));
    return std::get<Event>(std::move(*event));
  }

  void expect_nothing() { REQUIRE_FALSE(session.next()); }

  SessionFailed expect_failure(SessionFailed::Why why, ClientStage stage) {
    auto failed = expect<SessionFailed>();
    CHECK(failed.why == why);
    CHECK(failed.stage == stage);
    CHECK_FALSE(failed.error.text.empty());
    CHECK_FALSE(session.idle());
    CHECK_FALSE(session.deadline());
    expect_nothing();
    return failed;
  }

  ClientSession session;
  Instant now = start;

 private:
  Cut cut_;
};

inline std::vector<int> codes(const std::vector<Reply>& replies) {
  std::vector<int> made;
  for (const auto& reply : replies) made.push_back(reply.code);
  return made;
}

/// 0 stands for a recipient of whom nothing is known.
inline std::vector<int> codes(const std::vector<std::optional<Reply>>& replies) {
  std::vector<int> made;
  for (const auto& reply : replies) made.push_back(reply ? reply->code : 0);
  return made;
}

}  // namespace postern::smtp::test
