#include "daemon/session/backends.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "daemon/session/backend.h"
#include "daemon/session/outbound_delivery.h"
#include "daemon/session/recipient_checks.h"
#include "delivery/recipient_cache.h"
#include "smtp/replies.h"

namespace postern::session {

namespace {

constexpr std::size_t path_octets_max = 2 * 320;  // RFC 5321 section 4.5.3.1, and what escapes add

/// Numbers of recipients that go to the same target first.
std::vector<std::vector<std::size_t>> homes(const std::vector<smtp::ForwardPath>& recipients, const Backend& backend) {
  std::map<std::size_t, std::vector<std::size_t>> by_home;
  for (std::size_t i = 0; i < recipients.size(); ++i) by_home[backend.home_of(recipients[i])].push_back(i);
  std::vector<std::vector<std::size_t>> groups;
  for (auto& [home, group] : by_home) groups.push_back(std::move(group));
  return groups;
}

Delivered all_deferred(std::size_t recipients, const std::string& backend, const smtp::Reply& reply) {
  return {std::vector<delivery::RecipientOutcome>(recipients, {delivery::status_of(reply), reply}), backend};
}

}  // namespace

struct Backends::State : std::enable_shared_from_this<Backends::State> {
  State(uv::Loop& its_loop, uv::Resolver& its_resolver, Journal& its_journal, Options its_options)
      : loop(its_loop), resolver(its_resolver), journal(its_journal), options(std::move(its_options)) {}

  struct Open {
    std::shared_ptr<Backend> backend;  // null: it is not configured
    std::vector<TaskId> tasks;
    std::size_t parts = 1;  // that have no outcome yet
  };

  std::shared_ptr<Backend> make_backend(const delivery::BackendSettings& settings,
                                        std::shared_ptr<const tls::ClientContext> tls);
  void check(const delivery::BackendSettings& backend, const smtp::ReversePath& from, const smtp::ForwardPath& to,
             const smtp::MailParameters& parameters, const proxy::ClientIdentity& client, RecipientChecks::Done done);
  bool start_check(const std::string& backend, std::unique_ptr<OutboundTask> task);
  void start(DeliveryId id, Delivery delivery, std::function<void(Delivered)> done);
  void start_split(DeliveryId id, Delivery delivery, const std::vector<std::vector<std::size_t>>& groups,
                   std::function<void(Delivered)> done);
  void part_done(DeliveryId id);
  std::function<void(Delivered)> finish(DeliveryId id, std::function<void(Delivered)> done);
  OutboundDelivery::Callbacks delivery_callbacks(TaskId id, const std::weak_ptr<Backend>& backend,
                                                 std::function<void(Delivered)> done,
                                                 std::function<void(const Delivered&)> late);
  void note_late(const smtp::Envelope& envelope, const Delivered& delivered);
  void retire(std::shared_ptr<Backend> backend);
  void sweep_soon();
  void sweep();

  uv::Loop& loop;
  uv::Resolver& resolver;
  Journal& journal;
  const Options options;
  RecipientChecks checks{loop, journal, options.catch_alls,
                         [this](const std::string& backend, std::unique_ptr<OutboundTask> task) {
                           return start_check(backend, std::move(task));
                         }};
  std::map<std::string, std::shared_ptr<Backend>> current;
  std::vector<std::shared_ptr<Backend>> retired;  // finish what they have begun
  std::unordered_map<DeliveryId, Open> deliveries;
  TaskId next_id = 1;
  std::function<void()> shut_down_done;
  bool shutting_down = false;
};

Backends::Backends(uv::Loop& loop, uv::Resolver& resolver, Journal& journal, Options options)
    : state_(std::make_shared<State>(loop, resolver, journal, std::move(options))) {}

Backends::~Backends() = default;

// --- configuration ---

std::shared_ptr<Backend> Backends::State::make_backend(const delivery::BackendSettings& settings,
                                                       std::shared_ptr<const tls::ClientContext> tls) {
  return std::make_shared<Backend>(loop, resolver, journal, options, *options.shares, settings, std::move(tls),
                                   [weak = weak_from_this()] {
                                     if (const auto state = weak.lock()) state->sweep_soon();
                                   });
}

void Backends::configure(std::shared_ptr<const delivery::RouteTable> routes, const BackendTlsContexts& tls) {
  if (state_->shutting_down) return;
  std::map<std::string, std::shared_ptr<Backend>> next;
  for (const auto& settings : routes->backends()) {
    if (settings.pass_through) continue;  // RelayBackends has it
    const auto found = tls.find(settings.name);
    const auto context = found == tls.end() ? nullptr : found->second;
    const auto same = state_->current.find(settings.name);
    if (same != state_->current.end() && same->second->settings() == settings) {
      same->second->use_tls(context);
      next.insert(state_->current.extract(same));
    } else {
      next.emplace(settings.name, state_->make_backend(settings, context));
      state_->checks.forget();
    }
  }
  for (auto& [name, gone] : std::exchange(state_->current, std::move(next))) state_->retire(std::move(gone));
}

void Backends::configure_checks(const delivery::RecipientCheckSettings& settings,
                                std::shared_ptr<const delivery::UserLists> lists) {
  state_->checks.configure(settings);
  state_->checks.use_lists(std::move(lists));
}

void Backends::State::retire(std::shared_ptr<Backend> backend) {
  backend->retire();
  retired.push_back(std::move(backend));
  sweep_soon();
}

void Backends::State::sweep_soon() {
  loop.post([weak = weak_from_this()] {
    if (const auto state = weak.lock()) state->sweep();
  });
}

void Backends::State::sweep() {
  std::erase_if(retired, [](const auto& backend) { return backend->empty(); });
  if (!retired.empty() || !shutting_down) return;
  if (const auto done = std::exchange(shut_down_done, nullptr)) done();
}

void Backends::shut_down(std::function<void()> done) {
  state_->shutting_down = true;
  state_->shut_down_done = std::move(done);
  for (auto& [name, backend] : std::exchange(state_->current, {})) state_->retire(std::move(backend));
  state_->sweep_soon();
}

// --- checks ---

void Backends::check(const delivery::RouteTable::Route& route, const smtp::ReversePath& from,
                     const smtp::MailParameters& parameters, const proxy::ClientIdentity& client,
                     std::function<void(Checked)> done) {
  const auto to = route.to;
  const auto name = route.backend->name;
  if (!route.fallback || route.fallback_backend == nullptr) {
    return state_->check(*route.backend, from, to, parameters, client,
                         [to, name, done = std::move(done)](const smtp::Reply& reply) { done({reply, to, name}); });
  }
  // The settings are copied: the table of the route may be gone when the first answer comes.
  state_->check(*route.backend, from, to, parameters, client,
                [weak = std::weak_ptr(state_), from, to, name, fallback = *route.fallback, parameters, client,
                 fallback_backend = *route.fallback_backend, done = std::move(done)](const smtp::Reply& reply) {
                  const auto state = weak.lock();
                  if (!state || !delivery::is_unknown_recipient(reply)) return done({reply, to, name});
                  state->check(fallback_backend, from, fallback, parameters, client,
                               [to, name, fallback, fallback_name = fallback_backend.name, reply,
                                done](const smtp::Reply& second) {
                                 if (second.permanent()) return done({reply, to, name});
                                 done({second, fallback, fallback_name});
                               });
                });
}

void Backends::State::check(const delivery::BackendSettings& backend, const smtp::ReversePath& from,
                            const smtp::ForwardPath& to, const smtp::MailParameters& parameters,
                            const proxy::ClientIdentity& client, RecipientChecks::Done done) {
  if (shutting_down) return done(smtp::replies::backend_busy);
  // Without a sender the answer of an LMTP server is about the recipient alone; an MTA may refuse to relay for none.
  const bool for_sender = backend.protocol == delivery::Protocol::Smtp;
  checks.check({backend, for_sender ? from : smtp::ReversePath{}, to, parameters}, client, std::move(done));
}

bool Backends::State::start_check(const std::string& backend, std::unique_ptr<OutboundTask> task) {
  const auto found = current.find(backend);
  // A reload has taken the backend away from a session that still goes by the table before.
  if (found == current.end()) return false;
  const auto& timeouts = found->second->settings().timeouts;
  found->second->start(next_id++, std::move(task), loop.now() + timeouts.connect + timeouts.command);
  return true;
}

// --- deliveries ---

DeliveryId Backends::deliver(Delivery delivery, std::function<void(Delivered)> done) {
  const DeliveryId id = state_->next_id++;
  const auto found = state_->current.find(delivery.backend);
  if (found == state_->current.end()) {
    state_->deliveries.emplace(id, State::Open{});
    const smtp::Reply reply = state_->shutting_down ? smtp::replies::backend_busy : smtp::replies::local_error;
    auto refused = all_deferred(delivery.envelope.recipients.size(), delivery.backend, reply);
    state_->loop.post([weak = std::weak_ptr(state_), id, refused = std::move(refused), done = std::move(done)] {
      const auto state = weak.lock();
      if (state && state->deliveries.erase(id) == 1) done(refused);
    });
    return id;
  }
  auto& open = state_->deliveries[id];
  open.backend = found->second;
  auto groups = homes(delivery.envelope.recipients, *open.backend);
  if (groups.size() == 1) {
    state_->start(id, std::move(delivery), std::move(done));
  } else {
    state_->start_split(id, std::move(delivery), groups, std::move(done));
  }
  return id;
}

void Backends::State::start(DeliveryId id, Delivery delivery, std::function<void(Delivered)> done) {
  auto& open = deliveries.at(id);
  const TaskId task_id = next_id++;
  open.tasks.push_back(task_id);
  const auto backend = open.backend;
  auto task = std::make_unique<OutboundDelivery>(std::move(delivery.envelope), std::move(delivery.body),
                                                 backend->settings().identity, std::move(delivery.client),
                                                 delivery_callbacks(task_id, backend, finish(id, std::move(done)),
                                                                    std::move(delivery.late)));
  backend->start(task_id, std::move(task), delivery.final_deadline);
}

/// `done`, when all parts of the delivery have come to it.
std::function<void(Delivered)> Backends::State::finish(DeliveryId id, std::function<void(Delivered)> done) {
  return [weak = weak_from_this(), id, done = std::move(done)](Delivered delivered) {
    const auto state = weak.lock();
    if (state) state->part_done(id);
    done(std::move(delivered));
  };
}

void Backends::State::part_done(DeliveryId id) {
  const auto found = deliveries.find(id);
  if (found != deliveries.end() && --found->second.parts == 0) deliveries.erase(found);
}

/// Recipients whose home is another target go there in a transaction of their own.
void Backends::State::start_split(DeliveryId id, Delivery delivery, const std::vector<std::vector<std::size_t>>& groups,
                                  std::function<void(Delivered)> done) {
  struct Joined {
    Delivered delivered;
    std::size_t open;
    std::function<void(Delivered)> done;
    std::function<void(const Delivered&)> late;

    void take(const std::vector<std::size_t>& group, const Delivered& part) {
      for (std::size_t i = 0; i < group.size(); ++i) delivered.outcomes[group[i]] = part.outcomes[i];
      delivered.more_may_come = delivered.more_may_come || part.more_may_come;
    }
  };
  auto joined = std::make_shared<Joined>();
  joined->delivered.outcomes.resize(delivery.envelope.recipients.size());
  joined->open = groups.size();
  joined->done = std::move(done);
  joined->late = std::move(delivery.late);
  deliveries.at(id).parts = groups.size();
  for (const auto& group : groups) {
    Delivery part;
    part.envelope.from = delivery.envelope.from;
    part.envelope.parameters = delivery.envelope.parameters;
    const auto& whole = delivery.envelope;
    for (const auto index : group) {
      part.envelope.recipients.push_back(whole.recipients[index]);
      if (!whole.recipient_parameters.empty()) {
        part.envelope.recipient_parameters.push_back(whole.recipient_parameters[index]);
      }
    }
    part.body = delivery.body->again();
    part.final_deadline = delivery.final_deadline;
    part.client = delivery.client;
    part.late = [joined, group](const Delivered& delivered) {
      joined->take(group, delivered);
      if (joined->open == 0 && joined->late) joined->late(joined->delivered);
    };
    start(id, std::move(part), [joined, group](const Delivered& delivered) {
      joined->take(group, delivered);
      auto& targets = joined->delivered.target;
      targets += targets.empty() ? delivered.target : ", " + delivered.target;
      if (--joined->open == 0) std::exchange(joined->done, nullptr)(joined->delivered);
    });
  }
}

OutboundDelivery::Callbacks Backends::State::delivery_callbacks(TaskId id, const std::weak_ptr<Backend>& backend,
                                                                std::function<void(Delivered)> done,
                                                                std::function<void(const Delivered&)> late) {
  const auto weak = weak_from_this();
  return {std::move(done),
          [weak, late = std::move(late)](const smtp::Envelope& envelope, const Delivered& delivered) {
            if (const auto state = weak.lock()) state->note_late(envelope, delivered);
            if (late) late(delivered);
          },
          [weak, backend, id](const Error& error) {
            const auto state = weak.lock();
            const auto owner = backend.lock();
            if (!state || !owner) return;
            state->journal.note(observe::Level::Error, fmt::format("a message cannot be read back: {}", error.text));
            owner->end_soon(id, smtp::replies::local_error);
          }};
}

void Backends::State::note_late(const smtp::Envelope& envelope, const Delivered& delivered) {
  for (std::size_t i = 0; i < delivered.outcomes.size(); ++i) {
    const auto& outcome = delivered.outcomes[i];
    const std::string to = envelope.recipients[i].text();
    const std::string from = envelope.from.text();
    journal.tell({observe::Level::Warning,
                  fmt::format("backend {}: nobody waited any more for the answer about {} from {}: {}: {} {}",
                              delivered.target, escaped(to, path_octets_max), escaped(from, path_octets_max),
                              delivery::to_string(outcome.status), outcome.reply.code, escaped(outcome.reply.text)),
                  {to, from}});
  }
}

void Backends::cancel(DeliveryId id) {
  const auto found = state_->deliveries.extract(id);
  if (found.empty()) return;
  for (const auto task : found.mapped().tasks) found.mapped().backend->cancel(task);
}

// --- what is known ---

std::optional<smtp::Reply> Backends::cannot_carry(const std::string& backend,
                                                  const smtp::MailParameters& parameters) const {
  const auto found = state_->current.find(backend);
  if (found == state_->current.end() || !found->second->offered()) return std::nullopt;
  return smtp::cannot_carry(parameters, *found->second->offered());
}

std::optional<smtp::Reply> Backends::too_busy(const std::string& backend) const {
  const auto found = state_->current.find(backend);
  if (found == state_->current.end() || !found->second->full()) return std::nullopt;
  return smtp::replies::backend_busy;
}

smtp::Capabilities Backends::capabilities(const std::vector<const delivery::BackendSettings*>& backends) const {
  std::optional<smtp::Capabilities> made;
  for (const auto* settings : backends) {
    const auto found = state_->current.find(settings->name);
    if (found == state_->current.end() || !found->second->offered()) return {};
    const auto& offered = *found->second->offered();
    made = made ? smtp::common(*made, offered) : offered;
  }
  return made.value_or(smtp::Capabilities{});
}

std::vector<TargetStatus> Backends::status() const {
  std::vector<TargetStatus> made;
  for (const auto& [name, backend] : state_->current) backend->add_status(made);
  return made;
}

}  // namespace postern::session
