#include "daemon/session/relay_link.h"

#include <fmt/format.h>

#include <utility>

namespace postern::session {

namespace {

// QUIT is a courtesy: who does not read it is not waited for.
constexpr Duration last_words_max = std::chrono::seconds(2);

}  // namespace

RelayLink::RelayLink(uv::Loop& loop, Owner& owner, const delivery::BackendTimeouts& timeouts,
                     std::function<void(RelayLink&)> closed)
    : loop_(loop),
      owner_(&owner),
      timeouts_(timeouts),
      closed_(std::move(closed)),
      alive_(std::make_shared<RelayLink*>(this)),
      addresses_(loop.now() + timeouts.connect),
      timer_(loop, [this] { expired(); }) {
  timer_.start_at(loop.now() + timeouts_.connect);
}

RelayLink::~RelayLink() { *alive_ = nullptr; }

void RelayLink::dial(const delivery::Target& target, HostAddresses* host) {
  if (const auto* endpoint = std::get_if<Endpoint>(&target)) {
    addresses_.fill({*endpoint});
    return connect_next();
  }
  if (const auto* path = std::get_if<delivery::UnixTarget>(&target)) {
    socket_ = uv::Socket::connect_unix(loop_, path->path, *this);
    return;
  }
  const auto port = std::get<delivery::HostTarget>(target).port;
  host->find([alive = alive_, port](const HostAddresses::Found& found) {
    RelayLink* link = *alive;
    if (link == nullptr || link->phase_ != Phase::Dialling) return;
    if (!found) return link->lose(found.error().text);
    link->looked_up_ = true;
    std::vector<Endpoint> endpoints;
    for (const IpAddress& address : *found) endpoints.push_back({address, port});
    link->addresses_.fill(std::move(endpoints));
    link->connect_next();
  });
}

void RelayLink::connect_next() {
  const auto attempt = addresses_.next(loop_.now());
  timer_.start_at(attempt.until);
  socket_ = uv::Socket::connect(loop_, attempt.to, *this);
}

void RelayLink::on_connected() {
  phase_ = Phase::Open;
  timer_.stop();
  socket_->start_reading();
  if (owner_ != nullptr) owner_->on_link_connected();
}

void RelayLink::on_bytes(std::string_view bytes) {
  if (owner_ != nullptr) owner_->on_link_bytes(bytes);
}

void RelayLink::on_drained() {
  if (phase_ != Phase::Open) return;
  timer_.stop();
  if (owner_ != nullptr) owner_->on_link_drained();
}

void RelayLink::on_end() { lose("the backend closed the connection"); }

void RelayLink::on_failure(const Error& error) {
  if (phase_ == Phase::Dialling && !addresses_.empty()) return socket_->close();  // on_closed() tries the next one
  lose(looked_up_ ? fmt::format("{}: {}", socket_->peer().text(), error.text) : error.text);
}

void RelayLink::lose(const std::string& why) {
  Owner* owner = std::exchange(owner_, nullptr);
  close({});
  if (owner != nullptr) owner->on_link_lost(why);
}

void RelayLink::expired() {
  switch (phase_) {
    case Phase::Dialling: return on_failure({"it did not accept a connection in time"});
    case Phase::Open: return lose("it did not take what was sent in time");
    case Phase::Closing: return closed_(*this);
  }
}

void RelayLink::send(std::string bytes) {
  if (phase_ != Phase::Open || bytes.empty()) return;
  const bool flowing = socket_->unsent() == 0;
  socket_->send(std::move(bytes));
  if (flowing && socket_->unsent() > 0) timer_.start_at(loop_.now() + timeouts_.command);
}

void RelayLink::close(std::string last_words) {
  owner_ = nullptr;
  if (phase_ == Phase::Closing) return;
  const bool polite = phase_ == Phase::Open && !last_words.empty();
  phase_ = Phase::Closing;
  addresses_.clear();
  timer_.stop();
  if (polite) {
    socket_->send(std::move(last_words));
    socket_->close_when_sent(last_words_max);
  } else if (socket_) {
    socket_->close();
  } else {
    timer_.start_at(loop_.now());  // closed_() at the next turn
  }
}

void RelayLink::on_closed() {
  socket_.reset();
  if (phase_ == Phase::Dialling) return connect_next();
  closed_(*this);
}

}  // namespace postern::session
