#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/uv/socket.h"
#include "tests/loop/uv_folder.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;

TEST_CASE("a port that is in use is said so, unless both share it") {
  const Bound first = bound_on_loopback();
  const auto second = bind_tcp(first.endpoint, PortSharing::Alone);
  REQUIRE_FALSE(second);
  CHECK(second.error().text ==
        first.endpoint.text() + ": address already in use: is another mail server or posternd running on it?");
  CHECK_FALSE(bind_tcp(first.endpoint, PortSharing::Reuseport));
  ::close(first.descriptor);

  const auto a = bind_tcp(Endpoint::parse("127.0.0.1:0").value(), PortSharing::Reuseport);
  REQUIRE(a);
  const auto b = bind_tcp(a->endpoint, PortSharing::Reuseport);
  REQUIRE(b);
  CHECK(b->endpoint == a->endpoint);
  ::close(a->descriptor);
  ::close(b->descriptor);
}

TEST_CASE("an address that this machine does not have is said so") {
  const auto bound = bind_tcp(Endpoint::parse("192.0.2.1:0").value(), PortSharing::Alone);
  REQUIRE_FALSE(bound);
  CHECK(bound.error().text == "192.0.2.1:0: address not available: no network interface of this machine has it");
}

TEST_CASE("IPv4 and IPv6 listeners of one port do not get in each other's way") {
  const auto v6 = bind_tcp(Endpoint::parse("[::]:0").value(), PortSharing::Alone);
  REQUIRE(v6);
  const auto v4 = bind_tcp(Endpoint{IpAddress(), v6->endpoint.port}, PortSharing::Alone);
  CHECK(v4);
  ::close(v6->descriptor);
  if (v4) ::close(v4->descriptor);
}

TEST_CASE("a unix socket has its mode whatever the umask, and a stale file does not stand in its way") {
  const Folder folder;
  const std::string path = folder / "control";
  const mode_t before = ::umask(0);
  const auto first = bind_unix(path, 0660);
  ::umask(before);
  REQUIRE(first);
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0660);

  const auto second = bind_unix(path, 0660);
  REQUIRE_FALSE(second);
  CHECK(second.error().text == path + ": already in use: is another process listening on it?");

  ::close(first->descriptor);
  const auto third = bind_unix(path, 0600);
  REQUIRE(third);
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  ::close(third->descriptor);
}

TEST_CASE("what is no socket is not removed for one") {
  const Folder folder;
  const std::string path = folder / "precious";
  std::ofstream(path) << "mail";
  const auto bound = bind_unix(path, 0660);
  REQUIRE_FALSE(bound);
  CHECK(bound.error().text == path + ": exists and is no socket: remove it or choose another path");
  CHECK(std::filesystem::file_size(path) == 4);
}

TEST_CASE("unix paths that cannot be are refused with the reason") {
  const auto nowhere = bind_unix("/nonexistent/control", 0660);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().text == "/nonexistent/control: its folder does not exist: make it, writable for the user that posternd runs as");
  const std::string too_long = "/tmp/" + std::string(200, 'x');
  const auto cut = bind_unix(too_long, 0660);
  REQUIRE_FALSE(cut);
  CHECK(cut.error().text == too_long + ": the path of a unix socket must have 1 to 107 octets");
}
