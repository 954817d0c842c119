// What from_toml asks of the world, answered by this process: files, glob(3), environment, host name.
#include <fmt/format.h>
#include <glob.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "config/from_toml.h"

namespace postern::config {

namespace {

constexpr std::size_t file_octets_max = 256 * 1024 * 1024;  // a list of ten million domains

Result<std::string> read_file(const std::string& path) {
  std::error_code status_error;
  const auto type = std::filesystem::status(path, status_error).type();
  if (type == std::filesystem::file_type::directory) return fail("it is a directory");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return fail("{}", std::strerror(errno));
  std::string content;
  std::array<char, 65536> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    content.append(buffer.data(), count);
    if (content.size() > file_octets_max) return fail("it is larger than {} octets", file_octets_max);
  }
  if (std::ferror(file.get()) != 0) return fail("{}", std::strerror(errno));
  return content;
}

std::vector<std::string> matches_of(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

Environment process_environment() {
  return Environment{.read_file = read_file, .glob = matches_of, .variable = variable, .host_name = host_name()};
}

}  // namespace postern::config
