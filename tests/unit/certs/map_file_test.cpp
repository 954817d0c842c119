#include "certs/map_file.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::certs;

namespace {

std::vector<std::string> files_of(const MapFile& map, std::string_view key) {
  for (const auto& entry : map.entries) {
    if (entry.key == key) return map.file_lists[entry.files];
  }
  return {};
}

using Files = std::vector<std::string>;

}  // namespace

TEST_CASE("a map as postmap reads it") {
  const auto map = parse_map_file(
      "# the main host\n"
      "MX.Example.com\t/ssl/ec.pem, /ssl/rsa.pem\n"
      "\n"
      "  # an indented comment\n"
      ".example.net   /ssl/net.pem\r\n"
      "a.example\n"
      "    /ssl/a1.pem\n"
      "# a comment inside of an entry\n"
      "\n"
      "\t/ssl/a2.pem,/ssl/a3.pem\n"
      "b.example. relative/b.pem",
      "/etc/postern/sni.map");
  CHECK(map.faults.empty());
  CHECK(map.entries.size() == 4);
  CHECK(files_of(map, "mx.example.com") == Files{"/ssl/ec.pem", "/ssl/rsa.pem"});
  CHECK(files_of(map, ".example.net") == Files{"/ssl/net.pem"});
  CHECK(files_of(map, "a.example") == Files{"/ssl/a1.pem", "/ssl/a2.pem", "/ssl/a3.pem"});
  CHECK(files_of(map, "b.example") == Files{"/etc/postern/relative/b.pem"});
  CHECK(map.entries[2].line == 6);
}

TEST_CASE("names with one value share its file list") {
  const auto map = parse_map_file("a.example /x.pem\nb.example /x.pem\nc.example  /y.pem\n", "m");
  CHECK(map.file_lists.size() == 2);
  CHECK(map.entries[0].files == map.entries[1].files);
  const auto relative = parse_map_file("a.example /etc/x.pem\nb.example x.pem\nc.example ,x.pem,\n", "/etc/m");
  CHECK(relative.file_lists.size() == 1);
}

TEST_CASE("beyond Postfix: wildcards and U-labels; a map named without a folder") {
  const auto map = parse_map_file("*.example.com w.pem\nb\xc3\xbc" "cher.example b.pem\n", "sni.map");
  CHECK(map.faults.empty());
  CHECK(files_of(map, "*.example.com") == Files{"w.pem"});
  CHECK(files_of(map, "xn--bcher-kva.example") == Files{"b.pem"});
}

TEST_CASE("each bad line is told by file and line, and the good ones count") {
  const auto map = parse_map_file(
      "   /floating.pem\n"
      "good.example /g.pem\n"
      "192.0.2.1 /ip.pem\n"
      "no-files.example\n"
      "only-commas.example , ,\n"
      "a..b.example /x.pem\n"
      "nul.example /a\001b.pem\n"
      "*.*.example /w.pem\n"
      "good2.example /g.pem\n",
      "/etc/sni.map");
  CHECK(map.entries.size() == 2);
  REQUIRE(map.faults.size() == 7);
  const unsigned lines[] = {1, 3, 4, 5, 6, 7, 8};
  for (std::size_t i = 0; i < map.faults.size(); ++i) {
    CHECK(map.faults[i].source == "/etc/sni.map:" + std::to_string(lines[i]));
    CHECK(map.faults[i].severity == Fault::Severity::Error);
  }
  CHECK(map.faults[1].text.find("192.0.2.1") != std::string::npos);
  CHECK(map.faults[2].text.find("has no file") != std::string::npos);
}

TEST_CASE("of two entries for a name the first one counts, and that is said once for each") {
  const auto map = parse_map_file("a.example /1.pem\nb.example /b.pem\nA.example. /2.pem\na.example /3.pem\n", "m");
  CHECK(map.entries.size() == 2);
  CHECK(files_of(map, "a.example") == Files{"/1.pem"});
  REQUIRE(map.faults.size() == 2);
  CHECK(map.faults[0].severity == Fault::Severity::Warning);
  CHECK(map.faults[0].source == "m:3");
  CHECK(map.faults[0].text == "a.example stands in line 1 already, which is the one that counts");
  CHECK(map.faults[1].source == "m:4");
}

TEST_CASE("nothing, and nothing but comments, are maps without entries") {
  CHECK(parse_map_file("", "m").entries.empty());
  CHECK(parse_map_file("\n\n# x\n   \n", "m").entries.empty());
  CHECK(parse_map_file("\n\n# x\n   \n", "m").faults.empty());
}
