#include "daemon/app/user_files.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::app;
using postern::test::ScriptedFiles;

namespace {

const std::string path = "/etc/postern/users.txt";

delivery::BackendSettings listed(std::string name, const std::string& file = path) {
  delivery::BackendSettings made;
  made.name = std::move(name);
  made.recipients = delivery::RecipientCheck::Listed;
  made.users.path = file;
  return made;
}

bool knows(const UserFiles::Outcome& outcome, const std::string& backend, std::string_view address) {
  const auto list = outcome.lists.find(backend);
  return list != outcome.lists.end() && list->second->contains(smtp::parse_mailbox(address).value());
}

}  // namespace

TEST_CASE("a file is read once for all its backends, and again when it has changed") {
  ScriptedFiles files;
  files.put(path, "alice\n");
  UserFiles users(files.source());
  const std::vector backends{listed("one"), listed("two"), delivery::BackendSettings{}};
  const auto first = users.load(backends);
  CHECK((knows(first, "one", "alice@a.example") && knows(first, "two", "alice@a.example")));
  CHECK(first.lists.size() == 2);
  CHECK(first.news == std::vector<std::string>{path + ": 1 recipient, 0 KiB of memory"});
  CHECK(files.reads().size() == 1);

  const auto same = users.load(backends);
  CHECK(same.lists.at("one") == first.lists.at("one"));
  CHECK(same.news.empty());
  CHECK(files.reads().empty());

  files.put(path, "bob\nbob\n");
  const auto changed = users.load(backends);
  CHECK((knows(changed, "one", "bob@a.example") && !knows(changed, "one", "alice@a.example")));
  CHECK(changed.warnings.size() == 1);
  CHECK(knows(first, "one", "alice@a.example"));  // who holds the old list keeps it
}

TEST_CASE("what goes wrong leaves the list that was read before, and is told once") {
  ScriptedFiles files;
  files.put(path, "alice\n");
  UserFiles users(files.source());
  const std::vector backends{listed("one")};
  users.load(backends);
  SECTION("a bad line") { files.put(path, "alice\n@@\n"); }
  SECTION("nobody") { files.put(path, "\n"); }
  SECTION("a file that cannot be read") { files.break_path(path, "permission denied"); }
  SECTION("a file that has gone") { files.remove(path); }
  const auto broken = users.load(backends);
  CHECK(knows(broken, "one", "alice@a.example"));
  CHECK(broken.missing.empty());
  REQUIRE(broken.faults.size() == 1);
  CHECK(broken.faults.front().starts_with(path));
  CHECK(broken.faults.front().ends_with("; the list that was read before stays in use"));
  CHECK(broken.standing == broken.faults);

  const auto still = users.load(backends);
  CHECK(still.faults.empty());
  CHECK(still.standing == broken.standing);

  files.put(path, "bob\n");
  const auto mended = users.load(backends);
  CHECK(knows(mended, "one", "bob@a.example"));
  CHECK(mended.standing.empty());
}

TEST_CASE("a backend whose list was never good is named, and others are not hurt") {
  ScriptedFiles files;
  files.put(path, "alice\n");
  UserFiles users(files.source());
  const auto outcome = users.load({listed("one"), listed("other", "/etc/postern/missing.txt")});
  CHECK(knows(outcome, "one", "alice@a.example"));
  CHECK_FALSE(outcome.lists.contains("other"));
  CHECK(outcome.missing == std::vector<std::string>{
                               "backend other: its recipients are not known: /etc/postern/missing.txt: does not exist"});
}

TEST_CASE("files that nobody names any more are forgotten") {
  ScriptedFiles files;
  files.put(path, "alice\n");
  files.put("/srv/others.txt", "bob\n");
  UserFiles users(files.source());
  users.load({listed("one"), listed("two", "/srv/others.txt")});
  CHECK(users.directories() == std::vector<std::string>{"/etc/postern", "/srv"});
  users.forget_others({listed("two", "/srv/others.txt")});
  CHECK(users.directories() == std::vector<std::string>{"/srv"});
  files.reads();
  users.load({listed("one")});
  CHECK(files.reads() == std::vector{path});
}
