#include "certs/contest.h"

#include <deque>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;
using tls::KeyKind;

namespace {

const WallTime now = test::test_now();
constexpr std::chrono::days day{1};

/// Certificates by their facts only: the decision looks at nothing else.
class Field {
 public:
  Field& add(KeyKind kind, std::uint32_t holder, std::string_view lineage, Basis basis = Basis::San) {
    auto& credential = credentials_.emplace_back();
    credential.leaf.key_kind = kind;
    credential.leaf.not_before = now - 10 * day;
    credential.leaf.not_after = now + 80 * day;
    Candidate candidate;
    candidate.credential = &credential;
    candidate.holder = holder;
    candidate.lineage = lineage;
    candidate.basis = basis;
    candidates_.push_back(candidate);
    return *this;
  }
  Field& begins(WallTime at) { return credentials_.back().leaf.not_before = at, *this; }
  Field& ends(WallTime at) { return credentials_.back().leaf.not_after = at, *this; }
  Field& self_signed() { return credentials_.back().leaf.self_signed = true, *this; }
  Field& strength(Strength value) { return candidates_.back().strength = value, *this; }
  Field& order(std::uint32_t value) { return candidates_.back().order = value, *this; }
  Field& serving() { return candidates_.back().serving = true, *this; }

  Field& trusted() { return trusted_.insert(candidates_.size() - 1), *this; }

  Verdict verdict() const {
    asked_.clear();
    return decide(candidates_, now, [this](std::size_t candidate) {
      asked_.insert(candidate);
      return trusted_.contains(candidate);
    });
  }
  /// Whose chains the last verdict had to know.
  const std::set<std::size_t>& asked() const { return asked_; }

 private:
  std::set<std::size_t> trusted_;
  mutable std::set<std::size_t> asked_;
  std::deque<tls::Credential> credentials_;
  std::vector<Candidate> candidates_;
};

using Indexes = std::vector<std::size_t>;
constexpr auto ec = KeyKind::EcdsaP256;
constexpr auto rsa = KeyKind::Rsa;

}  // namespace

TEST_CASE("nobody, and one for each kind of key") {
  CHECK_FALSE(Field().verdict().primary);
  const auto both = Field().add(ec, 1, "mx").add(rsa, 2, "mx").verdict();
  CHECK(both.ecdsa == 0u);
  CHECK(both.rsa == 1u);
  CHECK(both.held_back.empty());
}

TEST_CASE("the stronger source wins, even with an expired certificate") {
  Field field;
  field.add(ec, 1, "mx", Basis::NamedAfter).add(ec, 2, "x", Basis::Declared).strength(Strength::Map).ends(now - day);
  CHECK(field.verdict().ecdsa == 1u);
  field.add(ec, 3, "y", Basis::Declared).strength(Strength::Configuration).ends(now - 2 * day);
  CHECK(field.verdict().ecdsa == 2u);
}

TEST_CASE("within one source: valid, not self-signed, named after the name, later, in this order") {
  CHECK(Field().add(ec, 1, "a").add(ec, 2, "a", Basis::NamedAfter).verdict().ecdsa == 1u);
  CHECK(Field().add(ec, 1, "a").add(ec, 2, "a", Basis::NamedAfter).self_signed().verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").self_signed().add(ec, 2, "a", Basis::NamedAfter).ends(now).verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").begins(now + day).add(ec, 2, "a").ends(now + day).verdict().ecdsa == 1u);
  CHECK(Field().add(ec, 1, "a").begins(now - day).add(ec, 2, "a").verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").order(1).add(ec, 2, "a").order(0).verdict().ecdsa == 1u);
  CHECK(Field().add(KeyKind::Ed25519, 1, "a").begins(now - day).add(ec, 2, "a").verdict().ecdsa == 1u);
}

TEST_CASE("a chain that leads to an anchor comes after validity and before all that the file says") {
  CHECK(Field().add(ec, 1, "a").trusted().add(ec, 2, "a", Basis::NamedAfter).verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").self_signed().trusted().add(ec, 2, "a", Basis::NamedAfter).verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").trusted().ends(now).add(ec, 2, "a").verdict().ecdsa == 1u);
  CHECK(Field().add(ec, 1, "a").trusted().add(ec, 2, "a").strength(Strength::Map).verdict().ecdsa == 1u);
  CHECK(Field().add(ec, 1, "a").trusted().add(ec, 2, "a").trusted().begins(now - day).verdict().ecdsa == 1u);
  // It gives no right to a neighbour's name, but it does where nobody serves the name yet.
  CHECK(Field().add(ec, 1, "a").serving().add(ec, 2, "b").trusted().verdict().ecdsa == 0u);
  const auto cold = Field().add(ec, 1, "a").add(ec, 2, "b").trusted().begins(now - 20 * day).verdict();
  CHECK(cold.ecdsa == 1u);
  CHECK(cold.held_back == Indexes{0});
}

TEST_CASE("nobody asks for chains that decide nothing") {
  const auto asks = [](const Field& field) {
    field.verdict();
    return !field.asked().empty();
  };
  CHECK_FALSE(asks(Field().add(ec, 1, "a")));
  CHECK_FALSE(asks(Field().add(ec, 1, "a").add(rsa, 2, "a")));      // the two certificates of one lineage
  CHECK_FALSE(asks(Field().add(ec, 1, "a").add(rsa, 1, "b")));      // or of one file
  CHECK_FALSE(asks(Field().add(ec, 1, "a").add(ec, 2, "a").ends(now - day)));
  CHECK_FALSE(asks(Field().add(ec, 1, "a").add(ec, 2, "a").strength(Strength::Map)));
  CHECK(asks(Field().add(ec, 1, "a").add(ec, 2, "a")));
  CHECK(asks(Field().add(ec, 1, "a").add(rsa, 2, "b")));            // one may keep the other away

  Field third;
  third.add(ec, 1, "a").add(ec, 2, "a").add(ec, 3, "a").ends(now - day);
  third.verdict();
  CHECK(third.asked() == std::set<std::size_t>{0, 1});
}

TEST_CASE("two copies of one chain are not compared with each other") {
  const auto issued = test::TestCa().issue({.names = {"mx.example.com"}});
  const auto one = issued.credential(), other = issued.credential();
  std::vector<Candidate> candidates(2);
  candidates[0].credential = one.get();
  candidates[1].credential = other.get();
  candidates[1].holder = 1;
  std::size_t asked = 0;
  const auto verdict = decide(candidates, now, [&](std::size_t) { return ++asked > 0; });
  CHECK(verdict.ecdsa == 0u);
  CHECK(asked == 0);
}

TEST_CASE("of expired ones the later is served all the same") {
  CHECK(Field().add(ec, 1, "a").ends(now - day).verdict().ecdsa == 0u);
  CHECK(Field().add(ec, 1, "a").ends(now - day).add(ec, 2, "b").ends(now - day).begins(now - 5 * day).verdict().ecdsa == 1u);
}

TEST_CASE("a SAN in another file does not take a name from the one that serves it, for either kind of key") {
  const auto later = Field().add(ec, 1, "a").serving().add(ec, 2, "b").begins(now - day).verdict();
  CHECK(later.ecdsa == 0u);
  CHECK(later.held_back == Indexes{1});

  const auto other_kind = Field().add(ec, 1, "a").serving().add(rsa, 2, "b").verdict();
  CHECK(other_kind.ecdsa == 0u);
  CHECK_FALSE(other_kind.rsa);
  CHECK(other_kind.held_back == Indexes{1});

  const auto better_signed = Field().add(ec, 1, "a").self_signed().serving().add(ec, 2, "b").verdict();
  CHECK(better_signed.ecdsa == 0u);
}

TEST_CASE("where nobody serves the name yet, the best candidate keeps the others away") {
  const auto cold = Field().add(rsa, 1, "b").add(ec, 2, "mx", Basis::NamedAfter).verdict();
  CHECK(cold.ecdsa == 1u);
  CHECK_FALSE(cold.rsa);
  CHECK(cold.held_back == Indexes{0});
  CHECK(cold.primary == 1u);
}

TEST_CASE("a file of the same lineage, a file named after the name and a stronger source may take it") {
  const auto reissued = Field().add(ec, 1, "a").serving().add(ec, 2, "a").begins(now - day).verdict();
  CHECK(reissued.ecdsa == 1u);
  CHECK(reissued.held_back.empty());
  CHECK(Field().add(ec, 1, "a").serving().add(ec, 2, "mx", Basis::NamedAfter).verdict().ecdsa == 1u);
  CHECK(Field().add(ec, 1, "a").serving().add(ec, 2, "\n", Basis::Declared).strength(Strength::Map).verdict().ecdsa == 1u);
}

TEST_CASE("an expired certificate protects nothing") {
  const auto verdict = Field().add(ec, 1, "a").serving().ends(now - day).add(ec, 2, "b").verdict();
  CHECK(verdict.ecdsa == 1u);
  CHECK(verdict.held_back.empty());
}

TEST_CASE("an expired intruder is not worth a report") {
  const auto verdict = Field().add(ec, 1, "a").serving().add(rsa, 2, "b").ends(now - day).verdict();
  CHECK_FALSE(verdict.rsa);
  CHECK(verdict.held_back.empty());
}

TEST_CASE("what is declared twice in one kind of source is a duplicate; across kinds it is the order of strength") {
  Field field;
  field.add(ec, 1, "1", Basis::Declared).strength(Strength::Map).begins(now - day);
  field.add(ec, 2, "2", Basis::Declared).strength(Strength::Map);
  CHECK(field.verdict().duplicates == Indexes{1});
  field.add(ec, 3, "3", Basis::Declared).strength(Strength::Configuration);
  CHECK(field.verdict().ecdsa == 2u);
  CHECK(field.verdict().duplicates.empty());
  CHECK(Field().add(ec, 1, "", Basis::Declared).add(rsa, 2, "", Basis::Declared).verdict().duplicates.empty());
}
