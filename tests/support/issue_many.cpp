// Makes many certificates, as certbot would leave them: FOLDER/live/NAME/fullchain.pem and privkey.pem.
//
//   issue-many FOLDER COUNT NAMES     certificates number 0 to COUNT - 1, with NAMES names each
//
// Certificate 7 has the names n0.c7.example.test, n1.c7.example.test and so on, and *.m7.example.test. The one in the
// middle has a renewal in FOLDER/renewed; FOLDER/root.pem is the trust anchor.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/text.h"
#include "tests/support/test_ca.h"

namespace fs = std::filesystem;
using namespace postern;

namespace {

void write(const fs::path& folder, std::uint64_t number, const test::Issued& issued) {
  const auto place = folder / fmt::format("c{}.example.test", number);
  fs::create_directories(place);
  std::ofstream(place / "privkey.pem") << issued.key_pem;
  std::ofstream(place / "fullchain.pem") << issued.chain_pem();
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = argc == 4 ? parse_decimal(argv[2]) : std::nullopt;
  const auto names = argc == 4 ? parse_decimal(argv[3]) : std::nullopt;
  if (!count || !names) {
    fmt::print(stderr, "usage: issue-many FOLDER COUNT NAMES\n");
    return 2;
  }
  const fs::path folder = argv[1];
  const test::TestCa root;
  const test::TestCa authority = root.intermediate("Test intermediate");
  const test::TestKey key;
  fs::create_directories(folder);
  std::ofstream(folder / "root.pem") << root.root_pem();
  for (std::uint64_t i = 0; i < *count; ++i) {
    test::LeafRequest request;
    request.key = key;
    for (std::uint64_t n = 0; n < *names; ++n) request.names.push_back(fmt::format("n{}.c{}.example.test", n, i));
    request.names.push_back(fmt::format("*.m{}.example.test", i));
    write(folder / "live", i, authority.issue(request));
    if (i == *count / 2) write(folder / "renewed", i, authority.issue(request));
  }
  return 0;
}
