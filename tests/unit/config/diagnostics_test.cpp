#include "config/diagnostics.h"

#include "tests/support/catch.h"

using namespace postern::config;

namespace {

Place at(const char* file, unsigned line, unsigned column) {
  return Place{std::make_shared<const std::string>(file), line, column};
}

}  // namespace

TEST_CASE("diagnostics come in the order of files and places") {
  Diagnostics diagnostics;
  diagnostics.know_file("z.toml");
  diagnostics.know_file("a.toml");
  diagnostics.error(at("domains.txt", 1, 1), "domain.file", "5");
  diagnostics.error(at("a.toml", 1, 1), "k", "4");
  diagnostics.warning(at("z.toml", 2, 1), "k", "3");
  diagnostics.error(at("z.toml", 1, 9), "k", "2");
  diagnostics.error(at("z.toml", 1, 2), "", "1");
  std::string texts;
  for (const Diagnostic& diagnostic : diagnostics.sorted()) texts += diagnostic.rendered() + "\n";
  CHECK(texts ==
        "z.toml:1:2: 1\nz.toml:1:9: k: 2\nz.toml:2:1: k: 3\na.toml:1:1: k: 4\n"
        "domains.txt:1:1: domain.file: 5\n");
}

TEST_CASE("only the first error about a key at one place is kept") {
  Diagnostics diagnostics;
  diagnostics.warning(at("p.toml", 1, 1), "k", "odd");
  CHECK_FALSE(diagnostics.has_errors());
  diagnostics.error(at("p.toml", 1, 1), "k", "first");
  diagnostics.error(at("p.toml", 1, 1), "k", "second");
  diagnostics.error(at("p.toml", 1, 1), "other", "third");
  CHECK(diagnostics.has_errors());
  CHECK(diagnostics.sorted().size() == 3);
}
