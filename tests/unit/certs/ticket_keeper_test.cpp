#include "certs/ticket_keeper.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;
using namespace std::chrono_literals;
using test::ScriptedFiles;

namespace {

/// A line of a file: 80 octets, made of one base64 digit.
std::string line(char digit) { return std::string(106, digit) + "A=\n"; }

using Name = std::array<std::uint8_t, 16>;

struct Machine {
  TicketKeeper::Look look(Duration later = 0s) { return keeper.look(settings, now += later); }
  Name sealing() const { return keeper.keyring()->current()->sealing().name; }
  bool opens(const Name& name) const {
    return keeper.keyring()->current()->find({reinterpret_cast<const char*>(name.data()), name.size()}) != nullptr;
  }

  ScriptedFiles files;
  Instant now{1000s};
  tls::TlsSettings settings{.ticket_lifetime = 12h};
  TicketKeeper keeper{files.source(), now};
};

}  // namespace

TEST_CASE("a key seals for one ticket lifetime and opens for one more", "[ticket_keeper]") {
  Machine machine;
  const Name first = machine.sealing();
  machine.look(11h);
  CHECK(machine.sealing() == first);
  machine.look(1h);
  const Name second = machine.sealing();
  CHECK(second != first);
  CHECK(machine.opens(first));
  machine.look(11h);
  CHECK(machine.sealing() == second);
  machine.look(1h);
  CHECK_FALSE(machine.opens(first));
  CHECK(machine.opens(second));

  machine.settings.ticket_lifetime = 1h;
  machine.look(1h);
  CHECK(machine.sealing() != second);
}

TEST_CASE("keys of a file are taken, and again when it changes", "[ticket_keeper]") {
  Machine machine;
  machine.settings.ticket_key_file = "/keys/tickets";
  machine.files.put("/keys/tickets", line('A') + line('B'));
  CHECK(machine.look().taken_from_file);
  const Name first = machine.sealing();
  CHECK(first == Name{});
  CHECK(machine.keeper.watched_directories() == std::vector<std::string>{"/keys"});
  CHECK_FALSE(machine.look(100h).taken_from_file);  // a file says itself when its keys change
  CHECK(machine.sealing() == first);
  CHECK(machine.files.reads().size() == 1);

  machine.files.put("/keys/tickets", line('A') + line('B') + line('C'));
  CHECK(machine.look().taken_from_file);
  CHECK(machine.sealing() != first);
  CHECK(machine.opens(first));
}

TEST_CASE("a bad file keeps the keys from before and is reported once", "[ticket_keeper]") {
  Machine machine;
  machine.settings.ticket_key_file = "/keys/tickets";
  machine.files.put("/keys/tickets", line('A'));
  machine.look();
  machine.files.put("/keys/tickets", "nonsense\n");
  const auto look = machine.look();
  CHECK_FALSE(look.taken_from_file);
  REQUIRE(look.new_fault);
  CHECK(look.new_fault->text ==
        "/keys/tickets:1: a ticket key is 80 octets in base64 on one line; make one with `openssl rand -base64 80 | tr "
        "-d '\\n'`; the keys that were read before stay in use");
  CHECK(machine.sealing() == Name{});
  CHECK_FALSE(machine.look().new_fault);
  CHECK(machine.keeper.fault());

  machine.files.remove("/keys/tickets");
  CHECK(machine.look().new_fault);
  CHECK(machine.sealing() == Name{});
  machine.files.put("/keys/tickets", line('A') + line('B'));
  CHECK(machine.look().taken_from_file);
  CHECK_FALSE(machine.keeper.fault());
}

TEST_CASE("a file that was never good leaves random keys, which rotate", "[ticket_keeper]") {
  Machine machine;
  const Name random = machine.sealing();
  machine.settings.ticket_key_file = "/keys/tickets";
  const auto look = machine.look();
  REQUIRE(look.new_fault);
  CHECK(look.new_fault->text == "/keys/tickets: does not exist; random keys are in use, which no other machine has");
  CHECK(machine.sealing() == random);
  machine.look(12h);
  CHECK(machine.sealing() != random);
}

TEST_CASE("a file that is not named any more", "[ticket_keeper]") {
  Machine machine;
  machine.settings.ticket_key_file = "/keys/tickets";
  machine.files.put("/keys/tickets", line('A'));
  machine.look();
  machine.settings.ticket_key_file.clear();
  machine.look();
  CHECK(machine.sealing() != Name{});
  CHECK(machine.opens(Name{}));  // tickets from before the reload are good for one more period
  CHECK(machine.keeper.watched_directories().empty());
  machine.look(12h);
  CHECK_FALSE(machine.opens(Name{}));

  machine.settings.ticket_key_file = "/keys/tickets";  // and named again, unchanged
  CHECK(machine.look().taken_from_file);
  CHECK(machine.sealing() == Name{});
}
