#include "tls/ticket_keys.h"

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tests/support/tls_peers.h"

using namespace postern;
using namespace postern::tls;
using test::Heard;
using test::MapSource;
using test::PlainClient;
using test::pump;

namespace {

/// A line of a file: 80 octets, made of one base64 digit. 'A' gives 0x00 throughout, '/' gives 0xff.
std::string line(char digit) { return std::string(106, digit) + (digit == '/' ? "8=" : "A="); }

std::string_view name_of(const TicketKey& key) {
  return {reinterpret_cast<const char*>(key.name.data()), key.name.size()};
}

std::shared_ptr<const TicketKeys> share(TicketKeys keys) { return std::make_shared<const TicketKeys>(std::move(keys)); }

struct Machine {
  explicit Machine(TicketKeys keys) : keyring(std::make_shared<TicketKeyring>(share(std::move(keys)))) {}

  /// One connection; whether it was resumed. What tickets it gave are in `client`.
  bool resumed(PlainClient& client, SSL_SESSION* ticket) const {
    if (ticket != nullptr) SSL_set_session(client.ssl(), ticket);
    // A context of its own each time, as after a reload of the configuration.
    const auto context = ServerContext::make({.ticket_lifetime = std::chrono::hours(1)}, Application::Smtp, keyring);
    const auto server = Stream::server(context.value(), std::make_shared<MapSource>(credential()));
    Heard heard;
    pump(client, *server, heard);
    REQUIRE(heard.established);
    server->forget_handshake();
    server->send("250 ok\r\n");
    client.receive(server->take_output());
    REQUIRE(client.read() == "250 ok\r\n");
    return server->facts().resumed;
  }

  static const std::shared_ptr<const Credential>& credential() {
    static const auto made = test::TestCa().issue({.names = {"mx.example.com"}}).credential();
    return made;
  }

  std::shared_ptr<TicketKeyring> keyring;
};

void limit(PlainClient& client, int version) {
  SSL_CTX_set_max_proto_version(client.context(), static_cast<std::uint16_t>(version));
}

}  // namespace

TEST_CASE("tickets outlive a reload, one rotation, and no second one", "[ticket_keys]") {
  const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  Machine machine(TicketKeys::random());
  PlainClient first, again, rotated, gone;
  for (PlainClient* client : {&first, &again, &rotated, &gone}) limit(*client, version);
  CHECK_FALSE(machine.resumed(first, nullptr));
  REQUIRE(first.sessions().size() == 1);
  SSL_SESSION* const ticket = first.sessions().front().get();
  const std::uint64_t lifetime =
      version == TLS1_3_VERSION ? SSL_SESSION_get_timeout(ticket) : SSL_SESSION_get_ticket_lifetime_hint(ticket);
  CHECK(lifetime <= 3600);
  CHECK(lifetime > 3500);  // counted from the handshake's beginning
  CHECK(machine.resumed(again, ticket));

  CHECK(machine.keyring->publish(share(machine.keyring->current()->rotated())));
  CHECK(machine.resumed(rotated, ticket));
  // The answer to an outdated ticket is a new one.
  REQUIRE(rotated.sessions().size() == 1);

  CHECK(machine.keyring->publish(share(machine.keyring->current()->rotated())));
  CHECK_FALSE(machine.resumed(gone, ticket));
  PlainClient renewed;
  limit(renewed, version);
  CHECK(machine.resumed(renewed, rotated.sessions().front().get()));
}

TEST_CASE("two machines with one file take each other's tickets", "[ticket_keys]") {
  const std::string old_file = line('A') + "\n" + line('B') + "\n";
  const std::string new_file = line('A') + "\n" + line('B') + "\n" + line('C') + "\n";
  const Machine behind(TicketKeys::parse(old_file, "keys").value());
  const Machine ahead(TicketKeys::parse(new_file, "keys").value());
  const Machine stranger(TicketKeys::random());
  PlainClient from_behind, from_ahead;
  behind.resumed(from_behind, nullptr);
  ahead.resumed(from_ahead, nullptr);
  REQUIRE(from_behind.sessions().size() == 1);
  REQUIRE(from_ahead.sessions().size() == 1);
  PlainClient to_ahead, to_behind, to_stranger;
  CHECK(ahead.resumed(to_ahead, from_behind.sessions().front().get()));
  CHECK(behind.resumed(to_behind, from_ahead.sessions().front().get()));
  CHECK_FALSE(stranger.resumed(to_stranger, from_ahead.sessions().front().get()));
}

TEST_CASE("a file of ticket keys", "[ticket_keys]") {
  const auto one = TicketKeys::parse(line('A'), "keys").value();
  CHECK(name_of(one.sealing()) == std::string(16, '\0'));
  CHECK(one.find(std::string(16, '\0')) == &one.sealing());
  CHECK(one.find(std::string(16, '\1')) == nullptr);
  CHECK_FALSE(one.is_outdated(one.sealing()));

  const auto three = TicketKeys::parse("# keys\n\n" + line('/') + "\r\n  " + line('A') + "\n" + line('B'), "keys").value();
  CHECK(name_of(three.sealing()) == std::string(16, '\0'));
  const TicketKey* oldest = three.find(std::string(16, '\xff'));
  REQUIRE(oldest != nullptr);
  CHECK(three.is_outdated(*oldest));
  CHECK(oldest->hmac.front() == 0xff);
  CHECK(oldest->aes.back() == 0xff);
}

TEST_CASE("a file of ticket keys that is wrong", "[ticket_keys]") {
  CHECK(TicketKeys::parse("# nothing\n", "keys").error().text == "keys: holds no ticket key");
  const std::string wanted =
      ": a ticket key is 80 octets in base64 on one line; make one with `openssl rand -base64 80 | tr -d '\\n'`";
  for (const std::string& wrong : {std::string("not base64"), std::string("AAAA"), std::string(108, 'A'),
                                   std::string(400, 'A'), line('A') + "AAAA"}) {
    CHECK(TicketKeys::parse(line('A') + "\n" + wrong, "keys").error().text == "keys:2" + wanted);
  }
}

TEST_CASE("random keys differ", "[ticket_keys]") {
  const auto keys = TicketKeys::random();
  CHECK(name_of(keys.sealing()) != name_of(TicketKeys::random().sealing()));
  const auto rotated = keys.rotated();
  CHECK(name_of(rotated.sealing()) != name_of(keys.sealing()));
  CHECK(rotated.find(name_of(keys.sealing())) != nullptr);
}
