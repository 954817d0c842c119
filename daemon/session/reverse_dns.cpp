#include "daemon/session/reverse_dns.h"

#include <algorithm>
#include <utility>

namespace postern::session {

namespace {

using Standing = ClientDnsName::Standing;

bool is_localhost(const IpAddress& address) {
  static const auto v4 = IpAddress::parse("127.0.0.1");
  static const auto v6 = IpAddress::parse("::1");
  return address == v4 || address == v6;
}

}  // namespace

void tell_name(const ClientDnsName& name, proxy::ClientIdentity& identity) {
  if (name.name) identity.name = name.name->text();
  if (name.claimed) identity.reverse_name = name.claimed->text();
  identity.name_may_come = name.standing == Standing::NotNow;
}

/// One address that is asked about, for all clients from there that wait.
struct ReverseDns::LookUp {
  struct Waiting {
    std::unique_ptr<uv::Timer> timer;  // gone: it was told
    std::function<void(const ClientDnsName&)> done;
  };

  explicit LookUp(const IpAddress& of) : address(of) {}

  /// The first time only.
  void tell(std::size_t which, const ClientDnsName& found) {
    waiting[which].timer.reset();
    if (const auto done = std::exchange(waiting[which].done, nullptr)) done(found);
  }

  const IpAddress address;
  std::vector<DnsName> names;
  std::size_t next = 0;  // of names: to be confirmed
  bool doubtful = false;  // a name could not be looked up
  std::vector<Waiting> waiting;
};

ReverseDns::ReverseDns(uv::Loop& loop, uv::Resolver& resolver, Limits limits)
    : loop_(loop), resolver_(resolver), limits_(limits) {}

ReverseDns::~ReverseDns() = default;

std::optional<ClientDnsName> ReverseDns::known(const IpAddress& address) {
  if (is_localhost(address)) {
    const auto name = DnsName::parse("localhost");
    return ClientDnsName{Standing::Confirmed, name, name};
  }
  const auto found = index_.find(address);
  if (found == index_.end()) return std::nullopt;
  if (found->second->good_until > loop_.now()) return found->second->name;
  entries_.erase(found->second);
  index_.erase(found);
  return std::nullopt;
}

bool ReverseDns::look_up(const IpAddress& address, Duration within, std::function<void(const ClientDnsName&)> done) {
  const bool begun = open_.contains(address);
  if (!begun && open_.size() >= limits_.open_max) return false;
  auto& place = open_[address];
  if (!begun) place = std::make_shared<LookUp>(address);
  const auto look_up = place;
  const std::size_t which = look_up->waiting.size();
  auto timer = std::make_unique<uv::Timer>(loop_, [weak = std::weak_ptr(look_up), which] {
    if (const auto held = weak.lock()) held->tell(which, {Standing::NotNow, std::nullopt, std::nullopt});
  });
  timer->start_at(loop_.now() + within);
  look_up->waiting.push_back({std::move(timer), std::move(done)});
  if (!begun) resolver_.names(address, [this, look_up](auto names) { named(look_up, std::move(names)); });
  return true;
}

void ReverseDns::named(const std::shared_ptr<LookUp>& look_up,
                       tl::expected<std::vector<DnsName>, uv::Resolver::NoName> names) {
  if (names) {
    look_up->names = std::move(*names);
    return confirm_next(look_up);
  }
  const auto standing = names.error() == uv::Resolver::NoName::None ? Standing::None : Standing::NotNow;
  finish(look_up, {standing, std::nullopt, std::nullopt}, limits_.failure_kept);
}

void ReverseDns::confirm_next(const std::shared_ptr<LookUp>& look_up) {
  if (look_up->next == look_up->names.size()) {
    const auto standing = look_up->doubtful ? Standing::NotNow : Standing::None;
    return finish(look_up, {standing, std::nullopt, look_up->names.front()}, limits_.failure_kept);
  }
  const DnsName name = look_up->names[look_up->next++];
  resolver_.confirm(name, look_up->address, [this, look_up, name](const auto& confirmed) {
    if (!confirmed) {
      look_up->doubtful = look_up->doubtful || confirmed.error() == uv::Resolver::NoName::NotNow;
      return confirm_next(look_up);
    }
    finish(look_up, {Standing::Confirmed, name, look_up->names.front()},
           std::clamp(*confirmed, limits_.kept_min, limits_.kept_max));
  });
}

void ReverseDns::finish(const std::shared_ptr<LookUp>& look_up, ClientDnsName found, Duration kept) {
  open_.erase(look_up->address);
  remember(look_up->address, found, kept);
  for (std::size_t which = 0; which < look_up->waiting.size(); ++which) look_up->tell(which, found);
}

void ReverseDns::remember(const IpAddress& address, ClientDnsName name, Duration kept) {
  if (const auto old = index_.find(address); old != index_.end()) {
    entries_.erase(old->second);
    index_.erase(old);
  }
  entries_.push_front({address, std::move(name), loop_.now() + kept});
  index_[address] = entries_.begin();
  if (entries_.size() <= limits_.entries_max) return;
  index_.erase(entries_.back().address);
  entries_.pop_back();
}

}  // namespace postern::session
