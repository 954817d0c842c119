// A Loader with files in memory, for tests of what it makes of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "certs/loader.h"
#include "tests/support/test_ca.h"
#include "tests/unit/certs/scripted_files.h"

namespace postern::test {

using certs::Fault;
using certs::Loader;
using certs::LoadOutcome;
using tls::KeyKind;

inline constexpr std::chrono::seconds second{1};
inline constexpr std::chrono::hours day{24};

inline const TestCa& ca() {
  static const TestCa authority;
  return authority;
}

inline Issued issue(std::vector<std::string> names, KeyKind kind = KeyKind::EcdsaP256) {
  return ca().issue({.names = std::move(names), .kind = kind});
}

inline Issued issue_between(std::vector<std::string> names, WallTime from, WallTime to) {
  return ca().issue({.names = std::move(names), .not_before = from, .not_after = to});
}

inline Issued issue_rsa(std::vector<std::string> names) {
  static const TestKey key(KeyKind::Rsa);
  return ca().issue({.names = std::move(names), .kind = KeyKind::Rsa, .key = key});
}

inline std::vector<std::string> sorted(const certs::NameList& names) {
  auto all = names.strings();
  std::sort(all.begin(), all.end());
  return all;
}

struct LoaderBench {
  ScriptedFiles files;
  certs::SourceSettings settings;
  Loader loader{files.source()};
  WallTime now = test_now();
  LoadOutcome last;

  LoadOutcome& load(std::chrono::seconds later = std::chrono::seconds(0)) {
    now += later;
    last = loader.load(settings, now);
    return last;
  }
  /// The file that the certificate for a name came from: of the EC kind, then of RSA.
  std::string served(const std::string& name) const {
    const auto found = last.snapshot->find(*DnsName::parse(name));
    if (found.entry == nullptr) return "-";
    std::string text;
    if (found.entry->ecdsa) text = found.entry->ecdsa->source;
    if (found.entry->rsa) text += (text.empty() ? "" : " + ") + found.entry->rsa->source;
    return text;
  }
  tls::Digest fingerprint(const std::string& name) const {
    return last.snapshot->find(*DnsName::parse(name)).entry->ecdsa->leaf.fingerprint;
  }
  bool has_fault(const std::string& part) const { return mentions(last.faults, part); }
  bool has_standing(const std::string& part) const { return mentions(last.standing, part); }

 private:
  static bool mentions(const std::vector<Fault>& faults, const std::string& part) {
    for (const auto& fault : faults) {
      if ((fault.source + ": " + fault.text).find(part) != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace postern::test
