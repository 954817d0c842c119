#include "certs/layout.h"

#include "tests/support/catch.h"

using namespace postern::certs;

namespace {

using Items = std::vector<LayoutItem>;
using Strings = std::vector<std::string>;

/// Strings that end in a slash are folders.
Layout layout(const Strings& names, std::string_view folder = "/certs") {
  std::vector<DirectoryEntry> entries;
  for (auto name : names) {
    const bool is_directory = name.ends_with('/');
    if (is_directory) name.pop_back();
    entries.push_back({name, is_directory});
  }
  return layout_of(folder, entries);
}

}  // namespace

TEST_CASE("certbot") {
  CHECK(layout({"README", "mx.example.com/", "example.net-0001/"}).subfolders == Strings{"example.net-0001", "mx.example.com"});
  CHECK(layout({"README", "mx.example.com/"}).items.empty());
  CHECK(layout({"README", "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"}, "/live/mx.example.com").items ==
        Items{{"fullchain.pem", "privkey.pem", "mx.example.com"}});
  SECTION("given its home, only what is live counts") {
    CHECK(layout({"accounts/", "archive/", "live/", "renewal/", "cli.ini"}).subfolders == Strings{"live"});
    CHECK(layout({"cert1.pem", "chain1.pem", "fullchain1.pem", "privkey1.pem", "privkey12.pem"}).items.empty());
  }
}

TEST_CASE("dehydrated") {
  CHECK(layout({"cert-1700000000.csr", "cert-1700000000.pem", "cert.csr", "cert.pem", "chain-1700000000.pem", "chain.pem",
                "fullchain-1700000000.pem", "fullchain.pem", "privkey-1700000000.pem", "privkey.pem"},
               "/var/lib/dehydrated/certs/mx.example.com/")
            .items == Items{{"fullchain.pem", "privkey.pem", "mx.example.com"}});
  SECTION("while it waits for its first certificate") {
    CHECK(layout({"cert-1700000000.csr", "privkey-1700000000.pem"}).items.empty());
  }
}

TEST_CASE("lego") {
  CHECK(layout({"_.example.net.crt", "_.example.net.issuer.crt", "_.example.net.json", "_.example.net.key",
                "mx.example.com.crt", "mx.example.com.issuer.crt", "mx.example.com.json", "mx.example.com.key",
                "mx.example.com.pem", "mx.example.com.pfx"})
            .items == Items{{"_.example.net.crt", "_.example.net.key", "_.example.net"},
                            {"mx.example.com.crt", "mx.example.com.key", "mx.example.com"}});
}

TEST_CASE("Kubernetes secrets") {
  const auto mount = layout({"..2026_11_23_19_03_10.123/", "..data/", "ca.crt", "tls.crt", "tls.key"}, "/certs/mx");
  CHECK(mount.items == Items{{"tls.crt", "tls.key", "mx"}});
  CHECK(mount.subfolders.empty());
}

TEST_CASE("combined PEM files and what HAProxy puts beside them") {
  CHECK(layout({"a.example.pem", "b.example.key", "b.example.pem", "c.example.pem", "c.example.pem.key",
                "d.example.pem.ecdsa", "d.example.pem.rsa", "e.example.crt", "notes.txt"})
            .items == Items{{"a.example.pem", "", "a.example"},
                            {"b.example.pem", "b.example.key", "b.example"},
                            {"c.example.pem", "c.example.pem.key", "c.example"},
                            {"d.example.pem.ecdsa", "", "d.example"},
                            {"d.example.pem.rsa", "", "d.example"},
                            {"e.example.crt", "", "e.example"}});
}

TEST_CASE("half a pair is an item, so that the other half can be missed") {
  CHECK(layout({"fullchain.pem"}, "/live/a").items == Items{{"fullchain.pem", "privkey.pem", "a"}});
  CHECK(layout({"tls.key"}, "/a").items == Items{{"tls.crt", "tls.key", "a"}});
}

TEST_CASE("hidden entries are passed over") { CHECK(layout({".a.pem", ".git/", ""}).items.empty()); }

TEST_CASE("lineages") {
  CHECK(lineage_of("mx.example.com") == "mx.example.com");
  CHECK(lineage_of("MX.Example.com-rsa") == "mx.example.com");
  CHECK(lineage_of("mx.example.com_ecdsa-0002") == "mx.example.com");
  CHECK(lineage_of("mx.example.com.rsa2048") == "mx.example.com");
  CHECK(lineage_of("_.example.com") == "example.com");
  CHECK(lineage_of("*.example.com") == "example.com");
  CHECK(lineage_of("rsa") == lineage_of("ecdsa"));
  CHECK(lineage_of("mx-2") == "mx-2");
  CHECK(lineage_of("") == "");
}
