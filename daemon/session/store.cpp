// Each connection has a ServerSession in its LMTP dialect and, while a message comes in, a Transfer. The file work of a
// Transfer is done by the writers, one piece of work at a time: open, then write whatever has gathered meanwhile, then
// commit. When what has gathered exceeds a limit, the connection stops reading until the disk has caught up.
//
// A writer's result finds its connection by id, for the connection may be gone by then.
#include "daemon/session/store.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <system_error>
#include <type_traits>
#include <variant>

#include "base/bytes.h"
#include "base/text.h"
#include "daemon/session/maildir.h"
#include "daemon/uv/work_pool.h"
#include "smtp/replies.h"
#include "smtp/server_session.h"

namespace postern::session {
namespace {

constexpr std::size_t gathered_octets_max = 256 * 1024;
constexpr std::size_t unsent_octets_max = 64 * 1024;
constexpr Duration linger = std::chrono::seconds(5);

smtp::ServerOptions server_options(const Store::Options& options) {
  smtp::ServerOptions server;
  server.dialect = smtp::Dialect::Lmtp;
  server.hostname = options.hostname;
  server.extensions.smtputf8 = true;
  // The limits that matter were set where the mail came in; the disk has the last word on the size.
  server.limits.message_octets_max = std::uint64_t{64} << 30;
  server.limits.recipients_max = 10'000;
  // A front end checks recipients over a kept connection for hours before it has a message to deliver.
  server.limits.errors_max = 100'000;
  server.limits.commands_max = 1'000'000;
  return server;
}

smtp::Reply reply_to(const MaildirFailure& failure) {
  if (failure.kind == MaildirFailure::Kind::Full) return smtp::replies::storage_full;
  return smtp::replies::local_error;
}

/// A message on its way to the disk.
struct Transfer {
  explicit Transfer(std::uint64_t own_id) : id(own_id) {}

  std::uint64_t id;
  std::shared_ptr<MaildirMessage> message;  // used by the writer that has work in hand, else by nobody
  ByteQueue gathered;                       // received and not yet given to a writer
  bool writer_at_work = false;
  std::optional<smtp::EventNumber> complete;  // the sender waits for the outcome
};

}  // namespace

bool may_deliver(const IpAddress& peer, const std::vector<Network>& allowed) {
  return peer.is_unspecified() || peer.is_loopback() || any_contains(allowed, peer);
}

struct Store::State : std::enable_shared_from_this<State> {
  class Connection;

  State(uv::Loop& own_loop, Options own_options)
      : loop(own_loop),
        options(std::move(own_options)),
        writers(uv::WorkPool::Options{.name = "store-writer",
                                      .threads = options.writers,
                                      .queue_max = 2 * options.connections_max,  // a connection waits for one at most,
                                      .nice = 0}),                               // and leaves one behind when it ends
        grace_timer(loop, [this] { end_grace(); }) {}

  void accept(int descriptor);
  void end_grace();
  void closed(std::uint64_t id);
  void finish_if_done();
  void log(std::string_view line) const {
    if (options.log) options.log(line);
  }

  /// Removes what was written of a message that nobody wants any more: also that is file work.
  void discard(std::shared_ptr<MaildirMessage> message);

  uv::Loop& loop;
  Options options;
  uv::WorkPool writers;
  uv::Timer grace_timer;
  std::vector<std::unique_ptr<uv::Acceptor>> acceptors;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections;
  std::uint64_t last_id = 0;  // of connections and transfers
  std::function<void()> on_shut_down;
};

class Store::State::Connection final : public uv::SocketHandler {
 public:
  Connection(Store::State& store, std::uint64_t id, int descriptor)
      : store_(store),
        id_(id),
        session_(server_options(store.options), store.loop.now()),
        timer_(store.loop, [this] { on_deadline(); }),
        socket_(uv::Socket::adopt(store.loop, descriptor, *this)) {}

  /// Greets the peer, or turns it away.
  void begin() {
    const auto peer = socket_->peer().address;
    if (!may_deliver(peer, store_.options.allowed)) {
      store_.log(fmt::format("{} is in no --allow network: turned away", peer.text()));
      return turn_away({554, "5.7.1", "Your address may not deliver here"});
    }
    if (store_.connections.size() > store_.options.connections_max)
      return turn_away(smtp::replies::too_many_connections);
    pump();
  }

  void shut_down() {
    session_.shut_down();
    pump();
  }

  void abort() {
    drop_transfer();
    ending_ = true;
    socket_->close();
  }

  void on_bytes(std::string_view bytes) override {
    if (ending_) return;
    session_.receive(bytes, store_.loop.now());
    pump();
  }
  void on_drained() override { pump(); }
  void on_end() override {
    session_.end_of_input();
    pump();
  }
  void on_failure(const Error&) override { abort(); }
  void on_closed() override { store_.closed(id_); }  // destroys this

 private:
  void turn_away(const smtp::Reply& reply) {
    ending_ = true;
    socket_->send(smtp::render(reply));
    socket_->close_when_sent(linger);
  }

  void on_deadline() {
    session_.expire(store_.loop.now());
    pump();
  }

  /// Works off what the session has to say, then brings socket and timer into line with it.
  void pump() {
    for (bool more = true; more;) {
      while (!ending_ && !writers_are_behind()) {
        const auto event = session_.next();
        if (!event) break;
        std::visit([this](const auto& e) { handle(e); }, *event);
      }
      more = session_.output_full() && socket_->unsent() < unsent_octets_max;
      if (auto output = session_.take_output(); !output.empty()) socket_->send(std::move(output));
    }
    if (ending_) return socket_->close_when_sent(linger);
    const bool wanted = session_.wants_input() && !writers_are_behind() && socket_->unsent() < unsent_octets_max;
    if (wanted != reading_) {
      reading_ = wanted;
      if (wanted) {
        socket_->start_reading();
      } else {
        socket_->stop_reading();
      }
    }
    if (const auto deadline = session_.deadline()) {
      timer_.start_at(*deadline);
    } else {
      timer_.stop();
    }
  }

  bool writers_are_behind() const { return transfer_ && transfer_->gathered.size() >= gathered_octets_max; }

  void handle(const smtp::SenderOffered& event) {
    from_ = event.from;
    recipients_.clear();
    session_.answer(event.number, smtp::replies::sender_ok, store_.loop.now());
  }

  void handle(const smtp::RecipientOffered& event) {
    if (!maildir_folder(event.to.mailbox)) {
      return session_.answer(event.number, smtp::replies::mailbox_syntax_refused, store_.loop.now());
    }
    recipients_.push_back(event.to);
    session_.answer(event.number, smtp::replies::recipient_ok, store_.loop.now());
  }

  void handle(const smtp::BodyOffered& event) {
    transfer_.emplace(++store_.last_id);
    transfer_->message = std::make_shared<MaildirMessage>(store_.options.directory, from_, recipients_);
    auto failure = std::make_shared<std::optional<MaildirFailure>>();
    submit([message = transfer_->message, failure] { *failure = message->open(); },
           [this, failure, number = event.number] {
             if (!*failure) return session_.answer(number, smtp::replies::start_input, store_.loop.now());
             store_.log((*failure)->text);
             drop_transfer();
             session_.answer(number, reply_to(**failure), store_.loop.now());
           });
  }

  void handle(const smtp::BodyChunk& event) {
    transfer_->gathered.append(event.bytes);
    advance_transfer();
  }

  void handle(const smtp::MessageComplete& event) {
    transfer_->complete = event.number;
    advance_transfer();
  }

  void handle(const smtp::TransactionEnded&) { drop_transfer(); }

  void handle(const smtp::CommandRefused&) {}
  // Of Authority::Backend, which a store never has.
  void handle(const smtp::CommandOffered&) {}
  void handle(const smtp::ChunkComplete&) {}
  void handle(const smtp::IdentityOffered&) {}
  void handle(const smtp::TlsRequested&) {}  // never: TlsState::Unavailable

  void handle(const smtp::SessionClosing&) {
    drop_transfer();
    ending_ = true;
  }

  /// Gives the writers their next piece of work, if there is any and they have none in hand.
  void advance_transfer() {
    if (transfer_->writer_at_work) return;
    if (!transfer_->gathered.empty()) {
      auto bytes = std::make_shared<const std::string>(transfer_->gathered.take());
      submit([message = transfer_->message, bytes] { message->write(*bytes); }, [this] { advance_transfer(); });
    } else if (transfer_->complete) {
      auto outcomes = std::make_shared<std::vector<MaildirOutcome>>();
      submit([message = transfer_->message, outcomes] { *outcomes = message->commit(); },
             [this, outcomes] { report(*outcomes); });
    }
  }

  void report(const std::vector<MaildirOutcome>& outcomes) {
    std::vector<smtp::Reply> replies;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const auto& outcome = outcomes[i];
      if (outcome.failure) {
        store_.log(outcome.failure->text);
        replies.push_back(reply_to(*outcome.failure));
      } else {
        store_.log(
            fmt::format("from={} to={} path={}", escaped(from_.text()), escaped(recipients_[i].text()), outcome.path));
        replies.push_back(smtp::replies::taken);
      }
    }
    const auto number = *transfer_->complete;
    transfer_.reset();  // its message has nothing left to remove
    session_.answer_recipients(number, std::move(replies), store_.loop.now());
  }

  /// `work` on a writer, then `done` on the loop if this connection is still at the same transfer.
  void submit(std::function<void()> work, std::function<void()> done) {
    transfer_->writer_at_work = true;
    auto came_back = [store = store_.weak_from_this(), connection = id_, transfer = transfer_->id,
                      done = std::move(done)] {
      const auto state = store.lock();
      if (!state) return;
      const auto found = state->connections.find(connection);
      if (found != state->connections.end()) found->second->work_done(transfer, done);
    };
    if (!store_.writers.submit(std::move(work), store_.loop, std::move(came_back))) {
      store_.log("the queue of the writers is full: a connection is given up");  // the sender comes back
      abort();
    }
  }

  void work_done(std::uint64_t transfer, const std::function<void()>& done) {
    if (!transfer_ || transfer_->id != transfer) return;
    transfer_->writer_at_work = false;
    done();
    pump();
  }

  void drop_transfer() {
    if (!transfer_) return;
    store_.discard(std::move(transfer_->message));
    transfer_.reset();
  }

  Store::State& store_;
  const std::uint64_t id_;
  smtp::ServerSession session_;
  uv::Timer timer_;
  std::unique_ptr<uv::Socket> socket_;
  smtp::ReversePath from_;
  std::vector<smtp::ForwardPath> recipients_;
  std::optional<Transfer> transfer_;
  bool reading_ = false;
  bool ending_ = false;
};

void Store::State::accept(int descriptor) {
  const auto id = ++last_id;
  auto& connection = connections[id];
  connection = std::make_unique<Connection>(*this, id, descriptor);
  connection->begin();
}

void Store::State::closed(std::uint64_t id) {
  connections.erase(id);
  finish_if_done();
}

void Store::State::finish_if_done() {
  if (!connections.empty() || !on_shut_down) return;
  grace_timer.stop();
  const auto done = std::move(on_shut_down);
  on_shut_down = nullptr;
  done();
}

void Store::State::end_grace() {
  for (auto& [id, connection] : connections) connection->abort();
}

void Store::State::discard(std::shared_ptr<MaildirMessage> message) {
  // The queue has room for it (see its limit); if it had not, the message would be removed here and now.
  [[maybe_unused]] const bool queued = writers.submit([message = std::move(message)]() mutable { message.reset(); });
}

Store::Store(std::shared_ptr<State> state) : state_(std::move(state)) {}

Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::start(uv::Loop& loop, std::vector<uv::Bound> sockets, Options options) {
  const auto& directory = options.directory;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail("{}: cannot be made: {}", directory, std::generic_category().message(errno));
  }
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    return fail("{}: cannot be written to: {}", directory, std::generic_category().message(errno));
  }
  auto state = std::make_shared<State>(loop, std::move(options));
  for (auto& bound : sockets) {
    state->acceptors.push_back(std::make_unique<uv::Acceptor>(
        loop, std::move(bound), [s = state.get()](int descriptor) { s->accept(descriptor); },
        [s = state.get()](const Error& error) { s->log(error.text); }));
  }
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

void Store::shut_down(Duration grace, std::function<void()> done) {
  auto& state = *state_;
  for (auto& acceptor : state.acceptors) acceptor->close();
  state.on_shut_down = std::move(done);
  state.grace_timer.start_at(state.loop.now() + grace);
  for (auto& [id, connection] : state.connections) connection->shut_down();
  if (state.connections.empty()) {
    state.loop.post([weak = state.weak_from_this()] {
      if (const auto s = weak.lock()) s->finish_if_done();
    });
  }
}

}  // namespace postern::session
