// What the load generator can do. Every run prints one line of JSON when it is over and returns the exit code.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "tests/bench/load/dialogue.h"
#include "tls/context.h"

namespace postern::bench {

struct Target {
  Endpoint to;
  std::shared_ptr<const tls::ClientContext> tls;  ///< null: in clear
  Security::Begin begin = Security::Begin::StartTls;
  std::vector<DnsName> names;                     ///< SNI, in turn
};

/// `count` whole sessions: connect, EHLO, (STARTTLS, EHLO,) QUIT; `concurrency` of them at a time. Reports how long one
/// takes, too: median and 99th percentile.
int run_sessions(const Target& target, std::size_t count, std::size_t concurrency);

struct Messages {
  std::size_t count = 0;
  std::size_t octets = 0;
  std::string recipient;
  std::size_t recipients = 1;   ///< of each message: RECIPIENT, 1RECIPIENT, 2RECIPIENT, ...
  std::size_t concurrency = 1;  ///< connections, which share `count`
};

/// Messages over kept connections, with the next envelope in the packet of the last one's end (RFC 2920). Reports the
/// time from the end of a message to its reply, too: median and 99th percentile.
int run_messages(const Target& target, const Messages& messages);

/// `count` NOOPs, one a millisecond, in turn over `concurrency` kept sessions. Reports the time to the reply.
int run_noops(const Target& target, std::size_t count, std::size_t concurrency);

/// Opens `count` sessions, says "ready" on stdout, and holds them until stdin ends.
int run_idle(const Target& target, std::size_t count);

/// The packets of a STARTTLS session, with the usual lengths and no meaning, to a run_null_responder().
int run_packets(const Endpoint& to, std::size_t count, std::size_t concurrency);

/// Answers run_packets() on bare epoll: what no server can do for less.
int run_null_responder(const Endpoint& at);

/// `count` whole sessions with one message each, `concurrency` of them at a time. Reports how long one takes, too.
int run_visits(const Target& target, const Messages& messages);

/// An LMTP and SMTP server that takes every message and keeps none.
int run_sink(const Endpoint& at);

}  // namespace postern::bench
