#include "config/config.h"

#include "tests/support/catch.h"

using namespace postern::config;

TEST_CASE("a diagnostic is one line, with its place") {
  Diagnostic diagnostic;
  diagnostic.file = "p.toml";
  diagnostic.text = "wrong";
  CHECK(diagnostic.rendered() == "p.toml: wrong");
  diagnostic.line = 3;
  diagnostic.column = 7;
  CHECK(diagnostic.rendered() == "p.toml:3:7: wrong");
  diagnostic.file = "a\nb";
  CHECK(diagnostic.rendered() == "a?b:3:7: wrong");
}
