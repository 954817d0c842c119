#include "certs/name_list.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace postern::certs;

TEST_CASE("a name list gives back what was added, in its order") {
  NameList list;
  CHECK(list.empty());
  CHECK(list.begin() == list.end());
  const std::vector<std::string> names = {"b.example", "*.a.example", std::string(255, 'x'), "b.example", ".a.example"};
  for (const auto& name : names) list.add(name);
  CHECK(list.size() == names.size());
  CHECK(list.strings() == names);
  std::size_t at = 0;
  for (const auto name : list) CHECK(name == names[at++]);
  CHECK(at == names.size());
}
