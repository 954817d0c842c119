#include "daemon/session/recipient_checks.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "smtp/replies.h"

namespace postern::session {

namespace {

/// What an answer is about. Whether local parts differ by case is the backend's business.
std::string cache_key(const RecipientChecks::Question& question) {
  const auto& mailbox = question.to.mailbox;
  return fmt::format("{}\n{}@{}{}", question.backend.name, mailbox.local_part, to_lower_ascii(mailbox.domain),
                     question.parameters.smtputf8 ? "\nutf8" : "");
}

std::string domain_key(const std::string& backend, const std::string& domain) {
  return fmt::format("{}\n{}", backend, to_lower_ascii(domain));
}

/// Whether the answer may be another for another client: a refusal that is not about the recipient.
bool may_be_about_client(const delivery::BackendSettings& backend, const smtp::Reply& reply) {
  return backend.identity != delivery::Identity::None && reply.permanent() && !delivery::is_unknown_recipient(reply);
}

}  // namespace

struct RecipientChecks::State : std::enable_shared_from_this<State> {
  State(uv::Loop& its_loop, Journal& its_journal, std::shared_ptr<CatchAllTable> its_catch_alls, Start its_start)
      : loop(its_loop), journal(its_journal), catch_alls(std::move(its_catch_alls)), start(std::move(its_start)) {}

  struct Asker {
    proxy::ClientIdentity client;
    Done done;
  };
  struct Open {
    std::shared_ptr<const Question> question;
    std::vector<Asker> askers;  // the first is whose identity the backend is told
  };

  void ask(Question question, Asker asker);
  void join(const std::string& key, const std::shared_ptr<const Question>& question, Asker asker);
  void answered(const std::string& key, const smtp::Reply& reply);
  void look_for_catch_all(const Question& question, const proxy::ClientIdentity& client);
  void probed(const std::string& backend, const std::string& domain, const smtp::Reply& reply);
  std::string random_local_part();

  uv::Loop& loop;
  Journal& journal;
  const std::shared_ptr<CatchAllTable> catch_alls;
  Start start;
  delivery::RecipientCheckSettings settings;
  delivery::RecipientCache cache;
  std::unordered_map<std::string, Open> open;  // by what is asked
  std::mt19937_64 random{std::random_device{}()};
};

RecipientChecks::RecipientChecks(uv::Loop& loop, Journal& journal, std::shared_ptr<CatchAllTable> catch_alls,
                                 Start start)
    : state_(std::make_shared<State>(loop, journal, std::move(catch_alls), std::move(start))) {}

RecipientChecks::~RecipientChecks() = default;

void RecipientChecks::configure(const delivery::RecipientCheckSettings& settings) {
  state_->settings = settings;
  state_->cache.configure(settings);
  state_->catch_alls->configure(settings);
}

void RecipientChecks::forget() {
  state_->cache.clear();
  state_->catch_alls->clear();
}

void RecipientChecks::check(Question question, const proxy::ClientIdentity& client, Done done) {
  switch (question.backend.recipients) {
    case delivery::RecipientCheck::Trust:
      return done(smtp::replies::recipient_ok);
    case delivery::RecipientCheck::Listed: {
      const auto list = lists_ ? lists_->find(question.backend.name) : delivery::UserLists::const_iterator();
      // A session of the configuration before may ask for a list that this one does not have.
      if (!lists_ || list == lists_->end()) return done(smtp::replies::local_error);
      const bool known = list->second->contains(question.to.mailbox);
      return done(known ? smtp::replies::recipient_ok : smtp::replies::no_such_mailbox);
    }
    case delivery::RecipientCheck::Verify:
      return state_->ask(std::move(question), {client, std::move(done)});
  }
}

void RecipientChecks::State::ask(Question question, Asker asker) {
  const auto key = cache_key(question);
  if (const auto known = cache.find(key, loop.now())) return asker.done(*known);
  if (catch_alls->takes_everything(domain_key(question.backend.name, question.to.mailbox.domain), loop.now())) {
    return asker.done(smtp::replies::recipient_ok);
  }
  // The answer may be about the sender, too: only what is remembered holds for any.
  const auto joined = fmt::format("{}\n{}", key, question.from.text());
  join(joined, std::make_shared<const Question>(std::move(question)), std::move(asker));
}

void RecipientChecks::State::join(const std::string& key, const std::shared_ptr<const Question>& question,
                                  Asker asker) {
  const auto under_way = open.find(key);
  if (under_way != open.end()) return under_way->second.askers.push_back(std::move(asker));
  const auto client = asker.client;
  auto& check = open[key];
  check.question = question;
  check.askers.push_back(std::move(asker));
  auto task = std::make_unique<OutboundCheck>(
      question->from, question->to, question->parameters, question->backend.identity, client,
      [weak = weak_from_this(), key, question, client](const smtp::Reply& reply) {
        const auto state = weak.lock();
        if (!state) return;
        state->answered(key, reply);
        if (reply.positive()) state->look_for_catch_all(*question, client);
      });
  if (!start(question->backend.name, std::move(task))) answered(key, smtp::replies::local_error);
}

void RecipientChecks::State::answered(const std::string& key, const smtp::Reply& reply) {
  const auto found = open.extract(key);
  if (found.empty()) return;
  const auto& [question, askers] = found.mapped();
  cache.remember(cache_key(*question), reply, loop.now());
  const bool for_this_client = may_be_about_client(question->backend, reply);
  const auto address = askers.front().client.address;
  for (const auto& asker : askers) {
    if (for_this_client && asker.client.address != address) {
      join(fmt::format("{}\n{}", key, asker.client.address ? asker.client.address->text() : ""), question, asker);
    } else {
      asker.done(reply);
    }
  }
}

/// Nobody waits for this.
void RecipientChecks::State::look_for_catch_all(const Question& question, const proxy::ClientIdentity& client) {
  const auto& name = question.backend.name;
  const auto& domain = question.to.mailbox.domain;
  if (domain.empty() || !catch_alls->wants_probe(domain_key(name, domain), loop.now())) return;
  auto task = std::make_unique<OutboundCheck>(
      question.from, smtp::ForwardPath{{random_local_part(), domain}}, smtp::MailParameters{},
      question.backend.identity, client, [weak = weak_from_this(), name, domain](const smtp::Reply& reply) {
        if (const auto state = weak.lock()) state->probed(name, domain, reply);
      });
  if (!start(name, std::move(task))) probed(name, domain, smtp::replies::local_error);
}

void RecipientChecks::State::probed(const std::string& backend, const std::string& domain, const smtp::Reply& reply) {
  if (!catch_alls->probed(domain_key(backend, domain), reply, loop.now())) return;
  journal.note(observe::Level::Info,
               fmt::format("backend {}: takes any name at {}: it is not asked about recipients there for {}", backend,
                           escaped(domain), readable(settings.catch_all_for)));
}

/// Says in the backend's log what it is for. No client can know it: it would mean nothing to it, but be taken for a
/// mailbox in this hour.
std::string RecipientChecks::State::random_local_part() { return fmt::format("postern-probe-{:016x}", random()); }

}  // namespace postern::session
