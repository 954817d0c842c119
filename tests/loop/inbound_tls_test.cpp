// What a session does while a pool works for its handshake: with pools that are full, busy, or late.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "certs/loader.h"
#include "daemon/session/inbound.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"
#include "tests/support/smtp_client.h"
#include "tests/support/test_ca.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::session;
using uv::test::turn_until;

namespace {

class Records final : public Journal {
 public:
  void record(const observe::SessionRecord& record) override { sessions.push_back(record); }
  void record(const observe::RecipientRecord&) override {}
  void record(const observe::HttpRecord&) override {}
  void note(observe::Level, std::string_view message) override { notes.emplace_back(message); }
  std::vector<observe::SessionRecord> sessions;
  std::vector<std::string> notes;
};

/// Nothing of these tests comes as far as a message.
class NoLedger final : public delivery::Ledger {
 public:
  bool empty() const override { return true; }
  const delivery::LedgerSecret& secret() const override { return secret_; }
  delivery::Lane lane(const delivery::EnvelopeKey&) const override { return delivery::Lane::Open; }
  bool knows(const delivery::EnvelopeKey&) const override { return false; }
  std::optional<delivery::LedgerEntry> find(const delivery::EnvelopeKey&, const delivery::MessageKey&) const override {
    return std::nullopt;
  }
  void record(std::vector<delivery::LedgerEntry>, std::function<void(Result<void>)> done) override { done({}); }
  void hold(const std::vector<delivery::LedgerEntry>&) override {}
  void release(const std::vector<delivery::LedgerEntry>&) override {}
  bool held(const delivery::EnvelopeKey&, const delivery::MessageKey&) const override { return false; }
  void consume(const std::vector<delivery::LedgerEntry>&) override {}
  void count(delivery::LedgerUse) override {}
  delivery::LedgerCounts counts() const override { return {}; }

 private:
  delivery::LedgerSecret secret_{};
};

/// Occupies a pool's threads until it is opened.
class Gate {
 public:
  ~Gate() { open(); }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

struct PoolSizes {
  std::size_t key_queue = 16;
  std::size_t credential_queue = 16;
};

/// One worker's worth of sessions, at a listener with an RSA and an ECDSA certificate.
class World final : public SessionDirectory {
 public:
  explicit World(const PoolSizes& sizes = {}, certs::Load load = certs::Load::Eager)
      : key_pool({.name = "keys", .threads = 1, .queue_max = sizes.key_queue, .nice = 0}),
        credential_pool({.name = "credentials", .threads = 1, .queue_max = sizes.credential_queue, .nice = 0}) {
    const test::TestCa ca;
    for (const auto& [name, kind] : {std::pair("rsa.example", tls::KeyKind::Rsa), {"ec.example", tls::KeyKind::EcdsaP256},
                                     {"default.example", tls::KeyKind::EcdsaP256}}) {
      files.put(fmt::format("/c/{}.pem", name), ca.issue({.names = {name}, .kind = kind}).combined_pem());
    }
    certs::SourceSettings sources;
    sources.directories = {"/c"};
    sources.load = load;
    const auto loaded = loader.load(sources, test::test_now());
    auto generation = std::make_shared<TlsGeneration>();
    generation->snapshot = generation->default_snapshot = loaded.snapshot;
    generation->contexts[bound.endpoint] =
        tls::ServerContext::make({.rsa_keys = tls::RsaKeys::Outside}, tls::Application::Smtp).value();
    (void)tls_publisher.publish(std::move(generation));
    auto run = std::make_shared<RunSettings>();
    run->listeners[bound.endpoint].hostname = "mx.example";
    run->listeners[bound.endpoint].default_certificate = "default.example";
    run->smtp.timeouts.handshake = handshake_limit;
    run->routes = std::make_shared<const delivery::RouteTable>(std::vector<delivery::BackendSettings>(),
                                                               std::vector<delivery::DomainSettings>(), std::nullopt);
    (void)settings_publisher.publish(run);
    backends.configure(run->routes);
    acceptor = std::make_unique<uv::Acceptor>(
        loop, bound, [this](int descriptor) { accept(descriptor); }, [](const Error&) {});
  }

  ~World() override {
    acceptor->close();
    for (auto& [id, session] : sessions) session->close_unless_awaiting_outcome();
    int backends_ended = 0;
    backends.shut_down([&] { ++backends_ended; });
    relay_backends.shut_down([&] { ++backends_ended; });
    CHECK(turn_until(loop, [&] { return sessions.empty() && backends_ended == 2; }));
    key_pool.stop();
    credential_pool.stop();
  }

  Inbound* find(SessionId id) override {
    const auto found = sessions.find(id);
    return found == sessions.end() ? nullptr : found->second.get();
  }
  bool readdress(const IpAddress&, const IpAddress&) override { return true; }
  void closed(SessionId id) override { sessions.erase(id); }

  /// A whole session of a client on a thread of its own: the leaf that it was shown, or why there is none.
  std::string session(const std::string& name, const std::function<void()>& meanwhile = [] {}) {
    std::string outcome;
    std::atomic<bool> over{false};
    std::thread client([&] {
      try {
        test::SmtpClient smtp(bound.endpoint.port);
        smtp.reply();
        smtp.say("EHLO client.example");
        smtp.say("STARTTLS");
        outcome = smtp.start_tls(name);
        smtp.say("QUIT");
      } catch (const std::exception& error) {
        outcome = error.what();
      }
      over = true;
    });
    const auto seen = journal.sessions.size();
    meanwhile();
    CHECK(turn_until(loop, [&] { return over && journal.sessions.size() > seen; }));
    client.join();
    return outcome;
  }
  const observe::SessionRecord& last() const { return journal.sessions.back(); }

  Duration handshake_limit = std::chrono::seconds(30);
  test::ScriptedFiles files;
  certs::Loader loader{files.source()};
  uv::Loop loop;
  uv::Bound bound = uv::test::bound_on_loopback();
  uv::WorkPool spill_pool{{.name = "spill", .threads = 1, .queue_max = 16, .nice = 0}};
  uv::WorkPool key_pool, credential_pool;
  certs::CredentialCache cache{10};
  Publisher<RunSettings> settings_publisher;
  Publisher<TlsGeneration> tls_publisher;
  View<RunSettings> settings{settings_publisher};
  View<TlsGeneration> tls{tls_publisher};
  Records journal;
  Counters counters;
  IdSource ids{0};
  uv::Resolver resolver{loop, {}};
  ReverseDns reverse_dns{loop, resolver};
  struct Sink : ScoreSink {
    void add(report::SessionFacts facts) override { seen.push_back(std::move(facts)); }
    std::vector<report::SessionFacts> seen;
  } sink;
  ChainTrust trust{loop, credential_pool, tls};
  ScoreServices scores{sink, trust, settings};
  Backends backends{loop, resolver, journal, {.hostname = "mx.example"}};
  RelayBackends relay_backends{loop, resolver, "mx.example"};
  MessageBudgets budgets;
  HarvestTable harvest;
  NoLedger ledger;
  HandshakeServices handshakes{loop, key_pool, credential_pool, cache, journal, counters};
  InboundServices services{.loop = loop,
                           .spill_pool = spill_pool,
                           .budgets = budgets,
                           .handshakes = handshakes,
                           .settings = settings,
                           .tls = tls,
                           .backends = backends,
                           .relay_backends = relay_backends,
                           .ledger = ledger,
                           .harvest = harvest,
                           .reverse_dns = reverse_dns,
                           .scores = scores,
                           .journal = journal,
                           .counters = counters,
                           .ids = ids,
                           .directory = *this};
  std::unordered_map<SessionId, std::unique_ptr<Inbound>> sessions;
  std::unique_ptr<uv::Acceptor> acceptor;

 private:
  void accept(int descriptor) {
    const SessionId id = ++count_;
    sessions[id] = std::make_unique<Inbound>(services, id, descriptor, bound.endpoint);
  }
  SessionId count_ = 0;
};

}  // namespace

TEST_CASE("a full key queue ends the handshakes that need it, and is counted", "[inbound_tls]") {
  World world({.key_queue = 0});
  world.session("rsa.example");
  CHECK(world.last().tls_error == "too many handshakes wait for an RSA key");
  CHECK(world.last().outcome == "TLS handshake failed");
  CHECK_FALSE(world.last().tls);
  CHECK(world.counters.key_queue_full == 1);
  world.session("ec.example");
  CHECK(world.last().tls);
  CHECK(world.counters.key_queue_full == 1);
}

TEST_CASE("while one handshake waits for its key, other sessions go on", "[inbound_tls]") {
  World world;
  Gate gate;
  REQUIRE(world.key_pool.submit([&] { gate.wait(); }));
  world.session("rsa.example", [&] {
    REQUIRE(turn_until(world.loop, [&] { return world.sessions.size() == 1; }));
    world.session("ec.example");
    CHECK(world.last().sni == "ec.example");
    CHECK(world.last().tls);
    gate.open();
  });
  CHECK(world.last().sni == "rsa.example");
  CHECK(world.last().tls);
}

TEST_CASE("a signature that comes after the session has gone", "[inbound_tls]") {
  World world;
  Gate gate;
  auto patient = std::make_shared<RunSettings>(*world.settings.get());
  patient->smtp.timeouts.handshake = std::chrono::milliseconds(50);
  (void)world.settings_publisher.publish(patient);
  REQUIRE(world.key_pool.submit([&] { gate.wait(); }));
  world.session("rsa.example");
  CHECK(world.last().tls_error == "the handshake took too long");
  REQUIRE(world.sessions.empty());
  bool done = false;
  REQUIRE(world.key_pool.submit([] {}, world.loop, [&] { done = true; }));  // behind the signature
  gate.open();
  CHECK(turn_until(world.loop, [&] { return done; }));
}

TEST_CASE("a deferred certificate is read in the pool, then kept", "[inbound_tls][lazy]") {
  World world({}, certs::Load::Lazy);
  world.session("ec.example");
  CHECK(world.last().tls);
  CHECK(world.last().sni_match == "exact");
  CHECK(world.cache.size() == 1);
  world.files.remove("/c/ec.example.pem");
  world.session("ec.example");
  CHECK(world.last().sni_match == "exact");
  world.session("rsa.example");  // first the files, then the key
  CHECK(world.last().tls);
  CHECK(world.cache.size() == 2);
}

TEST_CASE("the default is served for a certificate that cannot be read, which is told once", "[inbound_tls][lazy]") {
  World world({}, certs::Load::Lazy);
  world.files.put("/c/ec.example.pem", "garbage");
  for (int i = 0; i < 2; ++i) {
    world.session("ec.example");
    CHECK(world.last().tls);
    CHECK(world.last().sni_match == "default");
    CHECK(world.last().certificate.find("default.example") == 0);
  }
  REQUIRE(world.journal.notes.size() == 1);
  CHECK(world.journal.notes[0].find("/c/ec.example.pem") == 0);
}

TEST_CASE("a full queue of certificates to be read", "[inbound_tls][lazy]") {
  World world({.credential_queue = 0}, certs::Load::Lazy);
  world.session("ec.example");
  CHECK_FALSE(world.last().tls);  // the default would have to be read too
  CHECK(world.last().tls_error == "too many certificates wait to be read");
}
