#include "daemon/session/recipient_checks.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "smtp/replies.h"

namespace postern::session {

namespace {

/// What an answer is about. Whether local parts differ by case is the backend's business.
std::string cache_key(const std::string& backend, const smtp::ForwardPath& to, const smtp::MailParameters& parameters) {
  return fmt::format("{}\n{}@{}{}", backend, to.mailbox.local_part, to_lower_ascii(to.mailbox.domain),
                     parameters.smtputf8 ? "\nutf8" : "");
}

std::string domain_key(const std::string& backend, const std::string& domain) {
  return fmt::format("{}\n{}", backend, to_lower_ascii(domain));
}

}  // namespace

struct RecipientChecks::State : std::enable_shared_from_this<State> {
  State(uv::Loop& its_loop, Journal& its_journal, Start its_start)
      : loop(its_loop), journal(its_journal), start(std::move(its_start)) {}

  void ask(const delivery::BackendSettings& backend, const smtp::ReversePath& from, const smtp::ForwardPath& to,
           const smtp::MailParameters& parameters, Done done);
  void answered(const std::string& joined, const std::string& remembered, const smtp::Reply& reply);
  void look_for_catch_all(const delivery::BackendSettings& backend, const smtp::ReversePath& from,
                          const std::string& domain);
  void probed(const std::string& backend, const std::string& domain, const smtp::Reply& reply);
  std::string random_local_part();

  uv::Loop& loop;
  Journal& journal;
  Start start;
  delivery::RecipientCheckSettings settings;
  delivery::RecipientCache cache;
  delivery::CatchAllDomains catch_alls;
  std::unordered_map<std::string, std::vector<Done>> open;  // by what is asked
  std::mt19937_64 random{std::random_device{}()};
};

RecipientChecks::RecipientChecks(uv::Loop& loop, Journal& journal, Start start)
    : state_(std::make_shared<State>(loop, journal, std::move(start))) {}

RecipientChecks::~RecipientChecks() = default;

void RecipientChecks::configure(const delivery::RecipientCheckSettings& settings) {
  state_->settings = settings;
  state_->cache.configure(settings);
  state_->catch_alls.configure(settings);
}

void RecipientChecks::forget() {
  state_->cache.clear();
  state_->catch_alls.clear();
}

void RecipientChecks::check(const delivery::BackendSettings& backend, const smtp::ReversePath& from,
                            const smtp::ForwardPath& to, const smtp::MailParameters& parameters, Done done) {
  switch (backend.recipients) {
    case delivery::RecipientCheck::Trust:
      return done(smtp::replies::recipient_ok);
    case delivery::RecipientCheck::Listed: {
      const auto list = lists_ ? lists_->find(backend.name) : delivery::UserLists::const_iterator();
      // A session of the configuration before may ask for a list that this one does not have.
      if (!lists_ || list == lists_->end()) return done(smtp::replies::local_error);
      return done(list->second->contains(to.mailbox) ? smtp::replies::recipient_ok : smtp::replies::no_such_mailbox);
    }
    case delivery::RecipientCheck::Verify:
      return state_->ask(backend, from, to, parameters, std::move(done));
  }
}

void RecipientChecks::State::ask(const delivery::BackendSettings& backend, const smtp::ReversePath& from,
                                 const smtp::ForwardPath& to, const smtp::MailParameters& parameters, Done done) {
  const auto key = cache_key(backend.name, to, parameters);
  if (const auto known = cache.find(key, loop.now())) return done(*known);
  if (catch_alls.takes_everything(domain_key(backend.name, to.mailbox.domain), loop.now())) {
    return done(smtp::replies::recipient_ok);
  }
  // The answer may be about the sender, too: only what is remembered holds for any.
  const auto joined = fmt::format("{}\n{}", key, from.text());
  if (const auto under_way = open.find(joined); under_way != open.end()) {
    return under_way->second.push_back(std::move(done));
  }
  open[joined].push_back(std::move(done));
  auto task = std::make_unique<OutboundCheck>(
      from, to, parameters, [weak = weak_from_this(), joined, key, backend, from, domain = to.mailbox.domain](const smtp::Reply& reply) {
        const auto state = weak.lock();
        if (!state) return;
        state->answered(joined, key, reply);
        if (reply.positive()) state->look_for_catch_all(backend, from, domain);
      });
  if (!start(backend.name, std::move(task))) answered(joined, key, smtp::replies::local_error);
}

void RecipientChecks::State::answered(const std::string& joined, const std::string& remembered,
                                      const smtp::Reply& reply) {
  cache.remember(remembered, reply, loop.now());
  const auto waiting = open.extract(joined);
  if (waiting.empty()) return;
  for (const auto& done : waiting.mapped()) done(reply);
}

/// Nobody waits for this.
void RecipientChecks::State::look_for_catch_all(const delivery::BackendSettings& backend,
                                                const smtp::ReversePath& from, const std::string& domain) {
  if (domain.empty() || !catch_alls.wants_probe(domain_key(backend.name, domain), loop.now())) return;
  auto task = std::make_unique<OutboundCheck>(
      from, smtp::ForwardPath{{random_local_part(), domain}}, smtp::MailParameters{},
      [weak = weak_from_this(), name = backend.name, domain](const smtp::Reply& reply) {
        if (const auto state = weak.lock()) state->probed(name, domain, reply);
      });
  if (!start(backend.name, std::move(task))) probed(backend.name, domain, smtp::replies::local_error);
}

void RecipientChecks::State::probed(const std::string& backend, const std::string& domain, const smtp::Reply& reply) {
  if (!catch_alls.probed(domain_key(backend, domain), reply, loop.now())) return;
  journal.note(observe::Level::Info,
               fmt::format("backend {}: takes any name at {}: it is not asked about recipients there for {}", backend,
                           escaped(domain), readable(settings.catch_all_for)));
}

/// Says in the backend's log what it is for. No client can know it: it would mean nothing to it, but be taken for a
/// mailbox in this hour.
std::string RecipientChecks::State::random_local_part() { return fmt::format("postern-probe-{:016x}", random()); }

}  // namespace postern::session
