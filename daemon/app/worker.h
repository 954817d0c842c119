// One worker: a thread with a loop, its own listening sockets, sessions and backend connections. A session lives and
// dies on one worker and takes no lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "daemon/app/score_feed.h"
#include "daemon/app/shared.h"
#include "daemon/session/backends.h"
#include "daemon/session/relay_backends.h"
#include "daemon/session/counted_journal.h"
#include "daemon/session/counters.h"
#include "daemon/session/ids.h"
#include "daemon/session/inbound.h"
#include "daemon/session/reverse_dns.h"
#include "daemon/session/web.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"
#include "daemon/uv/socket.h"

namespace postern::app {

/// What a worker says of itself when it is asked.
struct WorkerReport {
  session::Counters counters;
  std::vector<session::TargetStatus> backends;
  std::uint64_t sessions_matching = 0;
  std::vector<session::SessionView> sessions;  ///< of those that match, as many as were asked for
};

class Worker : private session::SessionDirectory, private session::WebDirectory {
 public:
  struct Options {
    unsigned number = 0;
    unsigned count = 1;
    std::string hostname;  ///< what backends are told in LHLO
    std::vector<Endpoint> dns_servers = {};  ///< none: those of the system
  };
  /// Both Publishers of `shared` must have something to offer, and the ledger be there. Takes over the sockets.
  Worker(Options options, Shared& shared, std::vector<uv::Bound> sockets);
  /// After join().
  ~Worker() override;

  void start();
  void join();

  // From any thread:

  /// New generations were published: lets go of the old ones, and tells the backends.
  void refresh();
  /// Stops accepting; sessions end as `shut_down` of ServerSession says; those that are left after `drain`, unless they
  /// wait for a backend's answer, are closed. `done` is called on this worker's thread when nothing is left.
  void shut_down(Duration drain, std::function<void()> done);
  /// `reply` is called on this worker's thread. `sessions_max` of the sessions in which `text` occurs are in it.
  void ask(std::function<void(WorkerReport)> reply, std::size_t sessions_max = 0, const std::string& text = {});
  /// Connections are refused from now on, or taken again. Sessions go on.
  void close_the_door();
  void open_the_door();
  /// What was counted so far is with the keeper of the score when `done` is called, on its loop.
  void bring_score(std::function<void()> done);

 private:
  session::Inbound* find(session::SessionId id) override;
  bool readdress(const IpAddress& from, const IpAddress& to) override;
  void closed(session::SessionId id) override;
  session::Web* find_web(session::WebId id) override;
  void web_closed(session::WebId id) override;

  void configure_backends();
  void accepted(int descriptor, const Endpoint& listener);
  void turn_away(int descriptor, const IpAddress& from, const Endpoint& listener,
                 session::ConnectionTable::Verdict why);
  void start_shut_down(Duration drain, std::function<void()> done);
  void continue_shut_down();
  WorkerReport report(std::size_t sessions_max, const std::string& text) const;
  void measure_lag();

  Options options_;
  Shared& shared_;
  session::Counters counters_;
  session::CountedJournal journal_;
  uv::Loop loop_;
  View<session::RunSettings> settings_;
  View<session::TlsGeneration> tls_;
  uv::Resolver resolver_;
  uv::Resolver dns_;  // without /etc/hosts
  session::ReverseDns reverse_dns_;
  session::Backends backends_;
  session::RelayBackends relay_backends_;
  session::IdSource ids_;
  ScoreFeed score_feed_;
  session::ChainTrust trust_;
  session::ScoreServices scores_;
  session::HandshakeServices handshakes_;
  session::InboundServices services_;
  session::WebServices web_services_;
  std::vector<std::unique_ptr<uv::Acceptor>> acceptors_;
  std::unordered_map<session::SessionId, std::unique_ptr<session::Inbound>> sessions_;
  std::unordered_map<session::WebId, std::unique_ptr<session::Web>> webs_;
  session::SessionId next_session_ = 1;  // of both
  std::unique_ptr<uv::Timer> drain_timer_;
  uv::Timer lag_timer_;  // never rests: a loop whose sessions all wait for a worker thread has something to run for
  Instant lag_due_{};
  std::function<void()> on_shut_down_;
  bool shutting_down_ = false;
  std::thread thread_;
};

}  // namespace postern::app
