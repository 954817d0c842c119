#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/from_toml.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::config;

namespace {

/// A directory that goes away with its contents.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "postern-config-XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name) << content;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("files, patterns and variables of this process") {
  const ScratchDirectory scratch;
  const std::string b = scratch.write("b.toml", "second\n");
  const std::string a = scratch.write("a.toml", "first\n");
  const Environment environment = process_environment();
  CHECK(environment.read_file(a).value() == "first\n");
  CHECK(environment.glob(scratch.path() + "/*.toml") == std::vector<std::string>{a, b});
  CHECK(environment.glob(scratch.path() + "/*.none").empty());
  CHECK(environment.read_file(scratch.path()).error().text == "it is a directory");
  CHECK(environment.read_file(scratch.path() + "/none").error().text == "No such file or directory");
  REQUIRE(setenv("POSTERN_TEST_VARIABLE", "value", 1) == 0);
  CHECK(environment.variable("POSTERN_TEST_VARIABLE") == "value");
  CHECK_FALSE(environment.variable("POSTERN_TEST_ABSENT"));
  CHECK_FALSE(environment.host_name.empty());
}

TEST_CASE("a large file is read whole") {
  const ScratchDirectory scratch;
  const std::string content(300'000, 'x');
  CHECK(process_environment().read_file(scratch.write("large", content)).value() == content);
}
