// Our side of one connection to a pass-through backend, without I/O: it says who the client is (a PROXY header, or XCLIENT
// and the second greeting), and then carries commands out and replies back, in order and a batch at a time.
//
//   session.receive(bytes, now);
//   while (auto event = session.next()) ...
//   send(session.take_output());
//
// Every command has an Asked, which comes back with its reply. A backend that has not offered PIPELINING gets one command at a
// time, whatever the client did. What must stay out: what the commands mean, which backend, sockets, clocks.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "proxy/client_identity.h"
#include "smtp/command.h"
#include "smtp/reply.h"

namespace postern::relay {

struct BackendTimeouts {
  Duration greeting = std::chrono::seconds(60);
  Duration command = std::chrono::seconds(60);
  Duration after_dot = std::chrono::minutes(5);
};

struct BackendOptions {
  std::string preamble;                          ///< a PROXY header; empty: none
  std::optional<proxy::ClientIdentity> xclient;  ///< told by XCLIENT; without it, none is said
  std::string hostname;                          ///< what the EHLO in front of XCLIENT says
  BackendTimeouts timeouts;
};

/// Why something was said to the backend, and who waits for the reply.
struct Asked {
  enum class For {
    Client,        ///< the reply goes to `number`
    ReplayedHello,
    ReplayedMail,
    ChunkPart,     ///< of a client's BDAT that was cut into several
    Nobody,        ///< QUIT
  };
  For whom = For::Client;
  std::uint64_t number = 0;  ///< a smtp::EventNumber
  smtp::Verb verb = smtp::Verb::Unknown;
  enum class Limit { Command, AfterDot };
  Limit limit = Limit::Command;
};

/// The greeting (behind XCLIENT: the second one); commands may follow.
struct Greeted {
  smtp::Reply greeting;
};

struct Replied {
  Asked asked;
  smtp::Reply reply;
};

/// The connection is of no more use: close it.
struct BackendFailed {
  Error error;
  std::optional<smtp::Reply> reply;  ///< the backend's own words, if it had any
};

using BackendEvent = std::variant<Greeted, Replied, BackendFailed>;

class BackendSession {
 public:
  BackendSession(BackendOptions options, Instant now);

  void receive(std::string_view bytes, Instant now);
  void connection_lost(std::string reason, Instant now);
  std::optional<BackendEvent> next();
  std::string take_output();
  /// Octets that wait for take_output().
  std::size_t output_octets() const { return output_.size() + held_octets_; }

  // From Greeted on:

  /// `line` comes without CRLF. `text` follows it at once (behind BDAT).
  void send(std::string_view line, Asked asked, Instant now, std::string_view text = {});
  /// Octets behind a 354.
  void send_text(std::string_view bytes);
  /// What was sent last, the end of a text, has a reply to come.
  void expect(Asked asked, Instant now);

  /// Commands whose reply has not come yet, oldest first; they are forgotten.
  std::vector<Asked> take_unanswered();
  bool idle() const { return stage_ == Stage::Talking && awaiting_.empty() && held_.empty(); }

  std::optional<Instant> deadline() const;
  void expire(Instant now);

 private:
  enum class Stage { Greeting, Hello, Xclient, Talking, Failed };
  struct Held {
    std::string bytes;
    Asked asked;
  };

  void handle(smtp::Reply reply);
  void handle_opening(smtp::Reply reply);
  void say(std::string_view line);
  void say_xclient(const smtp::Reply& hello);
  void fail(Error error, std::optional<smtp::Reply> reply);
  void release();

  BackendOptions options_;
  smtp::ReplyParser parser_;
  std::string output_;
  std::deque<Asked> awaiting_;
  std::deque<Held> held_;  // until the reply before, where PIPELINING is not offered
  std::size_t held_octets_ = 0;
  std::deque<BackendEvent> events_;
  Stage stage_ = Stage::Greeting;
  bool pipelining_ = false;
  Instant now_;
  Instant waiting_since_;
};

}  // namespace postern::relay
