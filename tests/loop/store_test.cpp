// The embedded store as an LMTP client sees it: over a real socket, the store's loop on a thread of its own.
#include "daemon/session/store.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <future>
#include <thread>

#include "daemon/uv/loop.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using postern::test::content_of;
using postern::test::entries_of;
using postern::test::TemporaryDirectory;

namespace {

constexpr int hang_ms = 30'000;  // what only a hang exceeds

class RunningStore {
 public:
  explicit RunningStore(Duration grace = std::chrono::seconds(30)) : grace_(grace) {
    std::signal(SIGPIPE, SIG_IGN);  // as every program with a loop does: libuv writes without MSG_NOSIGNAL
    std::promise<bool> started;
    auto ready = started.get_future();
    thread_ = std::thread([this, &started] {
      uv::Loop loop;
      auto bound = uv::bind_unix(socket(), 0600);
      auto store = session::Store::start(loop, {bound.value()},
                                         {.directory = mail(), .hostname = "store.example", .allowed = {}, .log = {}});
      loop_ = &loop;
      store_ = store ? store->get() : nullptr;
      started.set_value(store.has_value());
      loop.run();
    });
    REQUIRE(ready.get());
  }
  ~RunningStore() {
    shut_down();
    wait_for_end();
  }
  RunningStore(const RunningStore&) = delete;
  RunningStore& operator=(const RunningStore&) = delete;

  void shut_down() {
    if (shutting_down_) return;
    shutting_down_ = true;
    loop_->post([this] { store_->shut_down(grace_, [this] { loop_->stop(); }); });
  }
  void wait_for_end() {
    if (thread_.joinable()) thread_.join();
  }

  std::string socket() const { return directory_ / "lmtp"; }
  std::string mail() const { return directory_ / "mail"; }
  std::string folder(const std::string& name) const { return mail() + "/" + name; }

  /// The only message in `new` of a recipient.
  std::string only_message(const std::string& name) const {
    const auto messages = entries_of(folder(name) + "/new");
    REQUIRE(messages.size() == 1);
    return content_of(messages.front());
  }

 private:
  TemporaryDirectory directory_;
  Duration grace_;
  bool shutting_down_ = false;
  uv::Loop* loop_ = nullptr;
  session::Store* store_ = nullptr;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(const RunningStore& store) : descriptor_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = store.socket();
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~Client() { hang_up(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void hang_up() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      REQUIRE(sent > 0);
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// The next line without its CRLF; "closed" at the end, "hangs" when nothing comes.
  std::string line() {
    for (;;) {
      if (const auto end = received_.find("\r\n"); end != std::string::npos) {
        auto found = received_.substr(0, end);
        received_.erase(0, end + 2);
        return found;
      }
      pollfd waiting{.fd = descriptor_, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, hang_ms) != 1) return "hangs";
      char piece[4096];
      const ssize_t count = ::recv(descriptor_, piece, sizeof piece, 0);
      if (count <= 0) return "closed";
      received_.append(piece, static_cast<std::size_t>(count));
    }
  }

  /// The code of the next reply, its lines taken together.
  std::string code() {
    for (;;) {
      const auto text = line();
      if (text.size() < 4 || text[3] != '-') return text.substr(0, 3) == "clo" ? text : text.substr(0, 3);
    }
  }

  std::string ask(const std::string& command) {
    send(command + "\r\n");
    return code();
  }

  void greet() {
    REQUIRE(code() == "220");
    REQUIRE(ask("LHLO front.example") == "250");
  }

  /// Until the 354.
  void begin_message(const std::vector<std::string>& recipients) {
    REQUIRE(ask("MAIL FROM:<alice@example.net>") == "250");
    for (const auto& to : recipients) REQUIRE(ask("RCPT TO:<" + to + ">") == "250");
    REQUIRE(ask("DATA") == "354");
  }

 private:
  int descriptor_;
  std::string received_;
};

}  // namespace

TEST_CASE("a conversation with the store, and what lies in the Maildir then") {
  RunningStore store;
  Client client(store);
  CHECK(client.line().starts_with("220 store.example "));
  CHECK(client.ask("LHLO front.example") == "250");
  // Pipelined, with a dot-stuffed line and octets over 0x7f.
  client.send(
      "MAIL FROM:<alice@example.net>\r\nRCPT TO:<bob@example.com>\r\nRCPT TO:<\"../carol\"@Example.COM>\r\nDATA\r\n");
  CHECK(client.code() == "250");
  CHECK(client.code() == "250");
  CHECK(client.code() == "250");
  CHECK(client.code() == "354");
  client.send("Subject: dots\r\n\r\n..one dot\r\n...\r\n\xff\x80 8 bit\r\n\r\n.\r\n");
  CHECK(client.code() == "250");
  CHECK(client.code() == "250");
  const std::string content = "Subject: dots\r\n\r\n.one dot\r\n..\r\n\xff\x80 8 bit\r\n\r\n";
  CHECK(store.only_message("bob@example.com") ==
        "Return-Path: <alice@example.net>\r\nDelivered-To: bob@example.com\r\n" + content);
  CHECK(store.only_message("%2E.%2Fcarol@example.com") ==
        "Return-Path: <alice@example.net>\r\nDelivered-To: \"../carol\"@Example.COM\r\n" + content);
  CHECK(entries_of(store.mail()).size() == 2);

  // The connection serves the next transaction, here of a bounce.
  CHECK(client.ask("MAIL FROM:<>") == "250");
  CHECK(client.ask("RCPT TO:<dave@example.com>") == "250");
  CHECK(client.ask("DATA") == "354");
  CHECK(client.ask(".") == "250");
  CHECK(store.only_message("dave@example.com") == "Return-Path: <>\r\nDelivered-To: dave@example.com\r\n");
  CHECK(client.ask("QUIT") == "221");
  CHECK(client.line() == "closed");
}

TEST_CASE("each recipient has an answer of its own") {
  RunningStore store;
  std::ofstream(store.folder("bob@example.com")) << "in the way";
  Client client(store);
  client.greet();
  client.begin_message({"alice@example.com", "bob@example.com", "carol@example.com"});
  client.send("Subject: three\r\n\r\ntext\r\n.\r\n");
  CHECK(client.line().starts_with("250 2.0.0 "));
  CHECK(client.line().starts_with("451 4.3.0 "));
  CHECK(client.line().starts_with("250 2.0.0 "));
  CHECK(entries_of(store.folder("alice@example.com/new")).size() == 1);
  CHECK(entries_of(store.folder("carol@example.com/new")).size() == 1);
}

TEST_CASE("when nobody can be served, the message is not asked for") {
  RunningStore store;
  std::ofstream(store.folder("bob@example.com")) << "in the way";
  Client client(store);
  client.greet();
  CHECK(client.ask("MAIL FROM:<alice@example.net>") == "250");
  CHECK(client.ask("RCPT TO:<bob@example.com>") == "250");
  client.send("DATA\r\n");
  CHECK(client.line().starts_with("451 4.3.0 "));
  CHECK(client.ask("RSET") == "250");
  client.begin_message({"carol@example.com"});
  client.send("\r\n.\r\n");
  CHECK(client.code() == "250");
}

TEST_CASE("an address that makes no folder name is refused") {
  RunningStore store;
  Client client(store);
  client.greet();
  CHECK(client.ask("MAIL FROM:<alice@example.net>") == "250");
  client.send("RCPT TO:<" + std::string(250, 'a') + "@example.com>\r\n");
  CHECK(client.line().starts_with("550 5.1.3 "));
}

TEST_CASE("a recipient that is only checked leaves no trace") {
  RunningStore store;
  Client client(store);
  client.greet();
  CHECK(client.ask("MAIL FROM:<>") == "250");
  CHECK(client.ask("RCPT TO:<bob@example.com>") == "250");
  CHECK(client.ask("RSET") == "250");
  CHECK(entries_of(store.mail()).empty());
}

TEST_CASE("a large message passes through, octet for octet") {
  RunningStore store;
  Client client(store);
  client.greet();
  client.begin_message({"bob@example.com", "carol@example.com"});
  std::string content = "Subject: large\r\n\r\n";
  for (int n = 0; content.size() < 8'000'000; ++n) content += std::to_string(n) + std::string(70, 'x') + "\r\n";
  client.send(content + ".\r\n");
  CHECK(client.code() == "250");
  CHECK(client.code() == "250");
  const auto ours = [](const std::string& to) {
    return "Return-Path: <alice@example.net>\r\nDelivered-To: " + to + "\r\n";
  };
  CHECK((store.only_message("bob@example.com") == ours("bob@example.com") + content));
  CHECK((store.only_message("carol@example.com") == ours("carol@example.com") + content));
}

TEST_CASE("a sender that vanishes inside a message leaves nothing behind") {
  RunningStore store;
  {
    Client client(store);
    client.greet();
    client.begin_message({"bob@example.com"});
    client.send("Subject: half\r\n" + std::string(500'000, 'x'));
  }
  store.shut_down();
  store.wait_for_end();
  CHECK(entries_of(store.folder("bob@example.com/new")).empty());
  CHECK(entries_of(store.folder("bob@example.com/tmp")).empty());
}

TEST_CASE("the end of the store waits for the message that is on its way") {
  RunningStore store;
  Client idle(store);
  idle.greet();
  Client busy(store);
  busy.greet();
  busy.begin_message({"bob@example.com"});
  store.shut_down();
  CHECK(idle.code() == "421");
  CHECK(idle.line() == "closed");
  busy.send("Subject: the last\r\n\r\n.\r\n");
  CHECK(busy.code() == "250");
  CHECK(busy.code() == "421");
  CHECK(busy.line() == "closed");
  store.wait_for_end();
  CHECK(store.only_message("bob@example.com").ends_with("Subject: the last\r\n\r\n"));
}

TEST_CASE("the end of the store does not wait for ever") {
  RunningStore store(std::chrono::milliseconds(10));
  Client client(store);
  client.greet();
  client.begin_message({"bob@example.com"});
  store.shut_down();
  CHECK(client.line() == "closed");
  store.wait_for_end();
  CHECK(entries_of(store.folder("bob@example.com/new")).empty());
}

TEST_CASE("who may deliver") {
  const auto network = *Network::parse("10.1.0.0/16");
  const auto peer = [](std::string_view text) { return *IpAddress::parse(text); };
  CHECK(session::may_deliver(peer("127.0.0.1"), {}));
  CHECK(session::may_deliver(peer("::1"), {}));
  CHECK(!session::may_deliver(peer("10.1.2.3"), {}));
  CHECK(session::may_deliver(peer("10.1.2.3"), {network}));
  CHECK(session::may_deliver(peer("::ffff:10.1.2.3"), {network}));
  CHECK(!session::may_deliver(peer("10.2.0.1"), {network}));
  // What libuv says of a unix socket: its file's mode has decided already.
  CHECK(session::may_deliver(IpAddress(), {}));
}

TEST_CASE("a directory that cannot be used is said at the start") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "no directory";
  uv::Loop loop;
  const auto store = session::Store::start(
      loop, {}, {.directory = directory / "file/mail", .hostname = "h", .allowed = {}, .log = {}});
  REQUIRE(!store);
  CHECK(store.error().text == (directory / "file/mail") + ": cannot be made: Not a directory");
}
