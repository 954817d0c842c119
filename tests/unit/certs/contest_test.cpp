#include "certs/contest.h"

#include <deque>

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

  Verdict verdict() const { return decide(candidates_, now); }

 private:
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
