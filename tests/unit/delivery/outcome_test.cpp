#include "delivery/outcome.h"

#include "smtp/reply.h"
#include "tests/support/catch.h"

using namespace postern::delivery;
using postern::smtp::Reply;

namespace {

std::vector<RecipientOutcome> outcomes(std::initializer_list<Reply> replies) {
  std::vector<RecipientOutcome> made;
  for (const auto& reply : replies) made.push_back({status_of(reply), reply});
  return made;
}

const Reply taken{250, "2.0.0", "saved"};
const Reply unknown{550, "5.1.1", "no such user"};
const Reply over_quota{552, "5.2.2", "over quota"};
const Reply busy{452, "4.2.2", "busy"};

}  // namespace

TEST_CASE("a reply's class decides the status") {
  CHECK(status_of(taken) == RecipientOutcome::Status::Taken);
  CHECK(status_of(unknown) == RecipientOutcome::Status::Refused);
  CHECK(status_of(busy) == RecipientOutcome::Status::Deferred);
  // What is no final reply at all must never count as taken.
  CHECK(status_of({354, "", "go"}) == RecipientOutcome::Status::Deferred);
  CHECK(to_string(RecipientOutcome::Status::Taken) == "taken");
  CHECK(to_string(RecipientOutcome::Status::Refused) == "refused");
  CHECK(to_string(RecipientOutcome::Status::Deferred) == "deferred");
}

TEST_CASE("all took it") {
  CHECK(join(outcomes({taken}), "T1") == Reply{250, "2.0.0", "saved (T1)"});
  CHECK(join(outcomes({{251, "", "forwarded"}, {251, "", "forwarded"}}), "T1") ==
        Reply{250, "2.0.0", "forwarded (T1)"});
}

TEST_CASE("all refused for good: the commonest code, and its commonest text") {
  CHECK(join(outcomes({unknown}), "T1") == Reply{550, "5.1.1", "no such user (T1)"});
  const Reply gone{550, "5.1.1", "gone"};
  CHECK(join(outcomes({over_quota, unknown, gone, gone}), "T1") == Reply{550, "5.1.1", "gone (T1)"});
  // Among equals, the earlier recipient's.
  CHECK(join(outcomes({over_quota, unknown}), "T1") == Reply{552, "5.2.2", "over quota (T1)"});
  CHECK(join(outcomes({{554, "", ""}}), "T1") == Reply{554, "5.0.0", "(T1)"});
}

TEST_CASE("all failed for now: 451, whatever the backends' codes") {
  CHECK(join(outcomes({busy, busy}), "T1") == Reply{451, "4.2.2", "busy (T1)"});
  // A 421 would tell the client that its own session ends.
  CHECK(join(outcomes({{421, "4.3.2", "closing"}}), "T1") == Reply{451, "4.3.2", "closing (T1)"});
}

TEST_CASE("mixed outcomes are 451: the ledger makes the retry safe") {
  const auto mixed = GENERATE(outcomes({taken, busy}), outcomes({taken, unknown}), outcomes({unknown, busy}),
                              outcomes({taken, unknown, busy}));
  CHECK(postern::delivery::mixed(mixed));
  const auto joined = join(mixed, "T1");
  CHECK(joined.code == 451);
  CHECK(joined.enhanced == "4.5.3");
  CHECK(joined.text.ends_with(" (T1)"));
}

TEST_CASE("what is the same for all is not mixed") {
  CHECK(!mixed(outcomes({taken, {251, "", "forwarded"}})));
  CHECK(!mixed(outcomes({unknown, over_quota})));
  CHECK(!mixed(outcomes({busy, {421, "", "closing"}})));
  CHECK(!mixed({}));
}

TEST_CASE("PRDR: each its own reply, and 250 over all if anybody has the message") {
  const auto some = answer_each(outcomes({taken, over_quota, busy}), "T1");
  CHECK(some.each == std::vector<Reply>{{250, "2.0.0", "saved (T1)"},
                                        {552, "5.2.2", "over quota (T1)"},
                                        {451, "4.2.2", "busy (T1)"}});
  CHECK(some.overall == Reply{250, "2.0.0", "Message taken for some recipients (T1)"});
  CHECK(answer_each(outcomes({taken, taken}), "T1").overall == Reply{250, "2.0.0", "saved (T1)"});
  CHECK(answer_each(outcomes({unknown, unknown}), "T1").overall == Reply{550, "5.1.1", "no such user (T1)"});
  CHECK(answer_each(outcomes({unknown, busy}), "T1").overall == Reply{451, "4.2.2", "busy (T1)"});
}

TEST_CASE("no outcome at all is never a success") { CHECK(join({}, "T1").code == 451); }

TEST_CASE("a long text does not cost us our id") {
  const Reply wordy{250, "2.0.0", "first line\n" + std::string(600, 'x')};
  const auto rendered = render(join(outcomes({wordy}), "T1"));
  CHECK(rendered.find("(T1)\r\n") != std::string::npos);
  CHECK(rendered.starts_with("250-2.0.0 first line\r\n"));
}

TEST_CASE("an enhanced code of another class does not contradict the code") {
  CHECK(join(outcomes({{250, "5.0.0", "odd"}}), "T1") == Reply{250, "2.0.0", "odd (T1)"});
}
