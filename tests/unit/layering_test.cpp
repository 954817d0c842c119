// Who may include whom. The picture is in the README's architecture section; this is the same as a table, and the test
// that it is true. An arrow that is missing here is a decision: add it with its reason in the commit.
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace fs = std::filesystem;

namespace {

/// Part of the source tree → parts that it may include, besides itself.
const std::map<std::string, std::set<std::string>>& arrows() {
  static const std::map<std::string, std::set<std::string>> table{
      {"lib/base", {}},
      {"lib/smtp", {"lib/base"}},
      {"lib/proxy", {"lib/base"}},
      // Two machines of smtp back to back, and who the client is.
      {"lib/relay", {"lib/smtp", "lib/proxy", "lib/base"}},
      {"lib/control", {"lib/base"}},
      {"lib/tls", {"lib/base"}},
      // A log may show digests of addresses: HMAC is BoringSSL's, which stands behind lib/tls.
      {"lib/observe", {"lib/tls", "lib/base"}},
      {"lib/certs", {"lib/tls", "lib/base"}},
      // HMAC is BoringSSL's, which stands behind lib/tls.
      {"lib/delivery", {"lib/smtp", "lib/tls", "lib/base"}},
      {"lib/http", {"lib/base"}},
      {"lib/dns", {"lib/base"}},
      // An audit holds domains against the certificate map and against DNS.
      {"lib/mtasts", {"lib/certs", "lib/dns", "lib/http", "lib/tls", "lib/base"}},
      // base64 is BoringSSL's, which stands behind lib/tls.
      {"lib/report", {"lib/tls", "lib/base"}},
      // The settings that config fills belong to the libraries that use them.
      {"lib/config", {"lib/smtp", "lib/tls", "lib/certs", "lib/delivery", "lib/mtasts", "lib/relay", "lib/report", "lib/base"}},
      {"daemon/uv", {"lib/base"}},
      {"daemon/session",
       {"daemon/uv", "lib/smtp", "lib/proxy", "lib/tls", "lib/certs", "lib/delivery", "lib/relay", "lib/http",
        "lib/mtasts", "lib/control", "lib/observe", "lib/report", "lib/base"}},
      {"daemon/storage", {"lib/delivery", "lib/smtp", "lib/observe", "lib/base"}},
      {"daemon/app",
       // dns and mtasts: what DNS must say before a renewed certificate goes live.
       {"daemon/session", "daemon/storage", "daemon/uv", "lib/config", "lib/certs", "lib/tls", "lib/control", "lib/delivery",
        "lib/dns", "lib/http", "lib/mtasts", "lib/observe", "lib/report", "lib/smtp", "lib/base"}},
      {"daemon/tool",
       {"daemon/session", "daemon/uv", "lib/smtp", "lib/tls", "lib/certs", "lib/delivery", "lib/config", "lib/control",
        "lib/dns", "lib/http", "lib/mtasts", "lib/observe", "lib/report", "lib/base"}},
      {"daemon/usage_error.h", {"lib/base"}},
      {"daemon/posternd.cpp", {"daemon/app", "daemon/usage_error.h"}},
      {"daemon/postern.cpp", {"daemon/tool", "daemon/usage_error.h"}},
  };
  return table;
}

/// What only one part of the tree may mention: a pattern of a source line, and the prefix of the files that may.
struct Reserved {
  const char* what;
  std::regex line;
  std::string within;     ///< the rule is about files whose path starts with this
  std::string except_in;  ///< and these are free; empty: none is
};

const std::vector<Reserved>& reserved() {
  static const std::vector<Reserved> rules{
      {"libuv", std::regex(R"(#\s*include\s*[<"]uv[./])"), "", "daemon/uv/"},
      {"SQLite", std::regex(R"(#\s*include\s*[<"]sqlite3)"), "", "daemon/storage/"},
      {"c-ares", std::regex(R"(#\s*include\s*[<"]ares)"), "", "daemon/uv/"},
      {"http_parser", std::regex(R"(#\s*include\s*[<"]http_parser)"), "", "lib/http/"},
      {"toml++", std::regex(R"(#\s*include\s*[<"]toml)"), "", "lib/config/toml_parse.cpp"},
      {"BoringSSL's headers", std::regex(R"(#\s*include\s*[<"]openssl/)"), "", "lib/tls/compat.h"},
      {"versions of BoringSSL", std::regex(R"(#\s*(if|elif|ifdef|ifndef)\b.*(OPENSSL_|BORINGSSL_|SSL_|TLSEXT_))"), "",
       "lib/tls/compat.h"},
      {"reading a clock", std::regex(R"(::now\(\)|\bclock_gettime\(|\bgettimeofday\(|\btime\((nullptr|NULL|0)\))"), "lib/",
       ""},
      {"sockets", std::regex(R"(#\s*include\s*<(sys/socket|netdb|netinet/in|poll|sys/epoll)\.h>)"), "lib/", ""},
      {"threads", std::regex(R"(#\s*include\s*<(thread|pthread\.h|condition_variable|future)>)"), "lib/", ""},
  };
  return rules;
}

/// `lib/smtp/reply.h` → `lib/smtp`; `daemon/posternd.cpp` stays.
std::string part_of(const std::string& path) {
  const auto second_slash = path.find('/', path.find('/') + 1);
  return second_slash == std::string::npos ? path : path.substr(0, second_slash);
}

/// Headers of lib/ are included as "smtp/reply.h", those of the daemon as "daemon/uv/loop.h".
std::string included_part(const std::string& header) {
  return part_of(header.starts_with("daemon/") ? header : "lib/" + header);
}

bool may_include(const std::string& from, const std::string& to) {
  const auto found = arrows().find(from);
  return from == to || (found != arrows().end() && found->second.contains(to));
}

/// What is wrong with one file, one line a fault.
std::string faults_of(const std::string& path, const std::string& content) {
  static const std::regex include(R"(^\s*#\s*include\s*"([^"]+)\")");
  std::string faults;
  std::istringstream lines(content);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string place = path + ":" + std::to_string(++number) + ": ";
    std::smatch match;
    if (std::regex_search(line, match, include) && !may_include(part_of(path), included_part(match[1]))) {
      faults += place + part_of(path) + " may not include " + included_part(match[1]) + "\n";
    }
    for (const Reserved& rule : reserved()) {
      const bool applies = path.starts_with(rule.within) && (rule.except_in.empty() || !path.starts_with(rule.except_in));
      if (applies && std::regex_search(line, rule.line)) faults += place + rule.what + " may not stand here\n";
    }
  }
  return faults;
}

std::string content_of(const fs::path& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

}  // namespace

TEST_CASE("every include under lib/ and daemon/ follows an arrow") {
  const fs::path root = POSTERN_SOURCE_ROOT;
  std::set<std::string> parts;
  for (const char* top : {"lib", "daemon"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      const std::string path = fs::relative(entry.path(), root).generic_string();
      parts.insert(part_of(path));
      CHECK(faults_of(path, content_of(entry.path())) == "");
    }
  }
  for (const std::string& part : parts) {
    INFO(part);
    CHECK(arrows().contains(part));
  }
}

TEST_CASE("the arrows have no circles") {
  // Taking away, again and again, what points at nothing that is left must leave nothing.
  auto left = arrows();
  for (bool changed = true; changed;) {
    changed = false;
    for (auto part = left.begin(); part != left.end();) {
      bool points_nowhere = true;
      for (const std::string& target : part->second) points_nowhere = points_nowhere && !left.contains(target);
      part = points_nowhere ? left.erase(part) : std::next(part);
      changed = changed || points_nowhere;
    }
  }
  CHECK(left.empty());
}

TEST_CASE("the check sees what it is meant to see") {
  CHECK(faults_of("lib/smtp/x.cpp", "#include \"smtp/reply.h\"\n#include \"base/text.h\"\n").empty());
  CHECK(faults_of("lib/smtp/x.cpp", "\n#include \"tls/stream.h\"\n") ==
        "lib/smtp/x.cpp:2: lib/smtp may not include lib/tls\n");
  CHECK(faults_of("lib/certs/x.h", "# include \"daemon/uv/loop.h\"\n") ==
        "lib/certs/x.h:1: lib/certs may not include daemon/uv\n");
  CHECK(faults_of("daemon/session/x.cpp", "#include <uv.h>\n") ==
        "daemon/session/x.cpp:1: libuv may not stand here\n");
  CHECK(faults_of("daemon/uv/x.cpp", "#include <uv.h>\n#include <ares.h>\n").empty());
  CHECK(faults_of("lib/tls/x.cpp", "#include <openssl/ssl.h>\n#if BORINGSSL_API_VERSION > 17\n") ==
        "lib/tls/x.cpp:1: BoringSSL's headers may not stand here\n"
        "lib/tls/x.cpp:2: versions of BoringSSL may not stand here\n");
  CHECK(faults_of("lib/tls/compat.h", "#include <openssl/ssl.h>\n#ifdef SSL_OP_X\n").empty());
  CHECK(faults_of("lib/base/x.cpp", "auto t = std::chrono::steady_clock::now();\n") ==
        "lib/base/x.cpp:1: reading a clock may not stand here\n");
  CHECK(faults_of("daemon/uv/x.cpp", "auto t = std::chrono::steady_clock::now();\n").empty());
  CHECK(faults_of("lib/config/x.cpp", "#include <toml++/toml.h>\n#include <sys/socket.h>\n#include <thread>\n") ==
        "lib/config/x.cpp:1: toml++ may not stand here\n"
        "lib/config/x.cpp:2: sockets may not stand here\n"
        "lib/config/x.cpp:3: threads may not stand here\n");
}
