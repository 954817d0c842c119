// What a TLS 1.3 handshake costs the server: BoringSSL alone in memory (the floor of DESIGN section 8), and through our
// Stream with the certificate chosen among 1,000 names. Then what an idle established Stream keeps.
//
//   bench-handshake [HANDSHAKES [STREAMS]]

#include <fmt/format.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/support/test_ca.h"
#include "tls/stream.h"

namespace {

using namespace postern;
using namespace postern::tls;

constexpr std::size_t name_count = 1000;

void require(bool held, const char* what) {
  if (held) return;
  fmt::print(stderr, "bench-handshake: {}\n", what);
  std::exit(1);
}

double thread_cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// Adds up the CPU time of the pieces that belong to the server.
class Meter {
 public:
  template <class Work>
  auto run(Work work) {
    const double begin = thread_cpu_us();
    auto result = work();
    total_us_ += thread_cpu_us() - begin;
    return result;
  }
  double total_us() const { return total_us_; }

 private:
  double total_us_ = 0;
};

std::string take_mem(BIO* bio) {
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  BIO_mem_contents(bio, &data, &length);
  std::string bytes(reinterpret_cast<const char*>(data), length);
  BIO_reset(bio);
  return bytes;
}

/// One end of BoringSSL over memory BIOs.
class PlainEnd {
 public:
  explicit PlainEnd(SSL_CTX* context) : ssl_(SSL_new(context)) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl_.get()), -1);
  }
  SSL* get() const { return ssl_.get(); }
  bool step(std::string_view input) {
    if (!input.empty()) BIO_write(SSL_get_rbio(get()), input.data(), static_cast<int>(input.size()));
    const bool done = SSL_do_handshake(get()) == 1;
    ERR_clear_error();
    return done;
  }
  std::string take_output() { return take_mem(SSL_get_wbio(get())); }

 private:
  bssl::UniquePtr<SSL> ssl_;
};

class ManyNames : public CredentialSource {
 public:
  ManyNames() {
    const test::TestCa ca = test::TestCa("Bench Root").intermediate("Bench Intermediate");
    for (std::size_t i = 0; i < name_count; ++i) {
      names_.push_back(fmt::format("mx{}.example.com", i));
      map_[names_.back()] = ca.issue({.names = {names_.back()}}).credential();
    }
  }
  Choice choose(const ClientHello& hello) const noexcept override {
    const auto found = hello.server_name ? map_.find(hello.server_name->text()) : map_.end();
    if (found == map_.end()) return {};
    return {found->second, Match::Exact, found->second->leaf.fingerprint};
  }
  const std::string& name(std::size_t i) const { return names_[i % names_.size()]; }
  const Credential& credential(std::size_t i) const { return *map_.at(name(i)); }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::shared_ptr<const Credential>> map_;
};

bssl::UniquePtr<SSL_CTX> client_context() {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX_set_custom_verify(context.get(), SSL_VERIFY_NONE, [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
  return context;
}

double bare_handshake_us(SSL_CTX* client_side, SSL_CTX* server_side) {
  PlainEnd client(client_side);
  SSL_set_connect_state(client.get());
  client.step("");
  Meter meter;
  auto server = meter.run([&] { return PlainEnd(server_side); });
  SSL_set_accept_state(server.get());
  std::string flight = client.take_output();
  flight = meter.run([&] {
    server.step(flight);
    return server.take_output();
  });
  client.step(flight);
  flight = client.take_output();
  require(meter.run([&] { return server.step(flight); }), "the bare handshake fails");
  return meter.total_us();
}

double stream_handshake_us(SSL_CTX* client_side, const std::shared_ptr<const ServerContext>& server_side,
                           const std::shared_ptr<const ManyNames>& names, std::size_t round) {
  PlainEnd client(client_side);
  SSL_set_connect_state(client.get());
  SSL_set_tlsext_host_name(client.get(), names->name(round * 7919).c_str());
  client.step("");
  Meter meter;
  const auto server = meter.run([&] { return Stream::server(server_side, names); });
  std::string flight = client.take_output();
  flight = meter.run([&] {
    server->receive(flight);
    server->next();
    return server->take_output();
  });
  client.step(flight);
  flight = client.take_output();
  require(meter.run([&] {
            server->receive(flight);
            return server->next().has_value() && server->established();
          }),
          "the handshake of a Stream fails");
  meter.run([&] {
    server->forget_handshake();
    return 0;
  });
  return meter.total_us();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void measure_handshakes(std::size_t rounds, const std::shared_ptr<const ManyNames>& names,
                        const std::shared_ptr<const ServerContext>& server_side) {
  const auto client_side = client_context();
  const bssl::UniquePtr<SSL_CTX> bare(SSL_CTX_new(TLS_with_buffers_method()));
  std::vector<CRYPTO_BUFFER*> chain;
  for (const auto& certificate : names->credential(0).chain) chain.push_back(certificate.get());
  SSL_CTX_set_chain_and_key(bare.get(), chain.data(), chain.size(), names->credential(0).key.get(), nullptr);

  std::vector<double> bare_us, stream_us;
  for (std::size_t round = 0; round < rounds; ++round) {  // side by side, so that noise meets both
    bare_us.push_back(bare_handshake_us(client_side.get(), bare.get()));
    stream_us.push_back(stream_handshake_us(client_side.get(), server_side, names, round));
  }
  const double floor = median(bare_us);
  const double ours = median(stream_us);
  fmt::print("server CPU of a full TLS 1.3 handshake, P-256 leaf, median of {}:\n", rounds);
  fmt::print("  BoringSSL alone in memory        {:7.1f} us\n", floor);
  fmt::print("  Stream, one of {} names        {:7.1f} us  ({:+.1f} us)\n", name_count, ours, ours - floor);
}

std::size_t resident_octets() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long size = 0;
  unsigned long resident = 0;
  require(file != nullptr && std::fscanf(file, "%lu %lu", &size, &resident) == 2, "no /proc/self/statm");
  std::fclose(file);
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::unique_ptr<Stream> idle_stream(SSL_CTX* client_side, const std::shared_ptr<const ServerContext>& server_side,
                                    const std::shared_ptr<const ManyNames>& names, std::size_t round) {
  PlainEnd client(client_side);
  SSL_set_connect_state(client.get());
  SSL_set_tlsext_host_name(client.get(), names->name(round).c_str());
  auto server = Stream::server(server_side, names);
  client.step("");
  server->receive(client.take_output());
  server->next();
  client.step(server->take_output());
  SSL_write(client.get(), "EHLO client.example.com\r\n", 25);
  server->receive(client.take_output());
  while (server->next()) {
  }
  require(server->established(), "the handshake of an idle Stream fails");
  server->forget_handshake();
  server->send("250-mx.example.com\r\n250 SIZE\r\n");  // the tickets go out with this
  server->take_output();
  return server;
}

void measure_memory(std::size_t count, const std::shared_ptr<const ManyNames>& names,
                    const std::shared_ptr<const ServerContext>& server_side) {
  const auto client_side = client_context();
  std::vector<std::unique_ptr<Stream>> streams;
  streams.reserve(count);
  for (std::size_t i = 0; i < 50; ++i) idle_stream(client_side.get(), server_side, names, i);  // warm
  const std::size_t heap_before = mallinfo2().uordblks;
  const std::size_t resident_before = resident_octets();
  for (std::size_t i = 0; i < count; ++i) {
    streams.push_back(idle_stream(client_side.get(), server_side, names, i));
  }
  const auto each = [count](std::size_t octets) { return static_cast<double>(octets) / static_cast<double>(count); };
  fmt::print("memory of an idle established Stream, {} of them:\n", count);
  fmt::print("  heap in use                      {:7.0f} octets\n", each(mallinfo2().uordblks - heap_before));
  fmt::print("  resident                         {:7.0f} octets\n", each(resident_octets() - resident_before));
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int at, std::size_t otherwise) {
    return argc > at ? static_cast<std::size_t>(std::strtoul(argv[at], nullptr, 10)) : otherwise;
  };
  const auto names = std::make_shared<const ManyNames>();
  const auto server_side = ServerContext::make({}, Application::Smtp).value();
  measure_handshakes(std::max<std::size_t>(argument(1, 1000), 1), names, server_side);
  measure_memory(std::max<std::size_t>(argument(2, 5000), 1), names, server_side);
}
