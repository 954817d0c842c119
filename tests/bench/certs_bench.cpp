// What the certificate map costs: look-ups and octets a name among many names, and loading and reloading certificates
// from files.
//
//   bench-certs [NAMES [CERTIFICATES]]        defaults: 1000000 1000
//
// Budgets (DESIGN section 8): a hit 300 ns, a miss 1000 ns, 200 octets a name besides the certificates.
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/text.h"
#include "certs/claim_table.h"
#include "certs/loader.h"
#include "tests/support/test_ca.h"

namespace {

using namespace postern;
using namespace postern::certs;
namespace fs = std::filesystem;

constexpr std::size_t names_a_certificate = 10;
constexpr std::size_t lookups = 2'000'000;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Of this thread, so that a busy machine disturbs it less.
double cpu_seconds_of(const std::function<void()>& work) {
  const auto cpu_time = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  };
  const double begin = cpu_time();
  work();
  return cpu_time() - begin;
}

std::size_t resident_octets() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void require(bool held, const char* what) {
  if (held) return;
  fmt::print(stderr, "bench-certs: {}\n", what);
  std::exit(1);
}

std::string name_of(std::size_t i) { return fmt::format("mx.customer-{}.cust.hostedemail.example", i); }

Holder holder_of(std::uint32_t serial) {
  auto credential = std::make_shared<tls::Credential>();
  credential->leaf.not_before = test::test_now() - std::chrono::days(1);
  credential->leaf.not_after = test::test_now() + std::chrono::days(90);
  for (std::size_t i = 0; i < 4; ++i) credential->leaf.fingerprint[i] = static_cast<std::uint8_t>(serial >> (8 * i));
  Holder holder;
  holder.credentials = {std::move(credential)};
  return holder;
}

std::vector<Claim> claims_of(ClaimTable& table, std::size_t certificate) {
  std::vector<Claim> claims;
  for (std::size_t n = 0; n < names_a_certificate; ++n) {
    claims.push_back({table.intern(name_of(certificate * names_a_certificate + n)), Basis::San, 0});
  }
  return claims;
}

/// The floor of a look-up that cannot be in any cache: reads of which each one says where the next one is.
void measure_memory() {
  constexpr std::size_t cells = std::size_t{64} * 1024 * 1024 / sizeof(std::uint32_t);
  std::vector<std::uint32_t> next(cells);
  for (std::uint32_t i = 0; i < cells; ++i) next[i] = i;
  std::mt19937_64 random(2);
  for (std::size_t i = cells - 1; i > 0; --i) std::swap(next[i], next[random() % i]);  // one circle of all cells
  std::uint32_t at = 0;
  constexpr std::size_t reads = 1'000'000;
  const double taken = cpu_seconds_of([&] {
    for (std::size_t i = 0; i < reads; ++i) at = next[at];
  });
  require(at < cells, "out of range");
  fmt::print("one dependent read in 64 MiB: {:.0f} ns (a hit needs two one after the other, and reads the name)\n", taken / static_cast<double>(reads) * 1e9);
}

void measure_lookups(const Snapshot& snapshot, std::size_t name_count) {
  std::mt19937_64 random(1);
  std::vector<DnsName> hits, misses;
  for (std::size_t i = 0; i < 400'000; ++i) {
    hits.push_back(*DnsName::parse(name_of(random() % name_count)));
    misses.push_back(*DnsName::parse(fmt::format("mx.unknown-{}.cust.hostedemail.example", random())));
  }
  // The quickest and the middle one of many rounds: what else runs on the machine only ever adds to them.
  const auto measure = [&](const char* what, const std::vector<DnsName>& names, bool expected) {
    constexpr std::size_t a_round = 20'000;
    std::vector<double> rounds;
    for (std::size_t begin = 0; begin < lookups; begin += a_round) {
      std::size_t found = 0;
      const double taken = cpu_seconds_of([&] {
        for (std::size_t i = begin; i < begin + a_round; ++i) {
          found += snapshot.find(names[i % names.size()]).entry != nullptr;
        }
      });
      require(found == (expected ? a_round : 0), "a look-up gave the wrong answer");
      rounds.push_back(taken / a_round * 1e9);
    }
    std::sort(rounds.begin(), rounds.end());
    fmt::print("look-up, {}: {:.0f} ns at best, median {:.0f} ns\n", what, rounds.front(), rounds[rounds.size() / 2]);
  };
  measure("hit", hits, true);
  measure("miss", misses, false);
}

void measure_names(std::size_t name_count) {
  const auto ids = std::make_shared<const Snapshot::Index::Ids>();
  const auto certificate_count = static_cast<HolderId>(name_count / names_a_certificate);
  std::vector<Holder> holders;
  for (HolderId i = 0; i < certificate_count; ++i) holders.push_back(holder_of(i));
  const auto before = resident_octets();
  ClaimTable table;
  std::shared_ptr<const Snapshot> snapshot;
  const double build = cpu_seconds_of([&] {
    for (HolderId i = 0; i < certificate_count; ++i) table.set(i, std::move(holders[i]), claims_of(table, i));
    table.set(certificate_count, holder_of(certificate_count), {{table.intern("*.wild.example"), Basis::San, 0},
                                                               {table.intern(".below.example"), Basis::Declared, 0}});
    snapshot = table.resolve(test::test_now(), ids).snapshot;
  });
  const auto after = resident_octets();
  require(snapshot->name_count() == certificate_count * names_a_certificate + 2, "names are missing");
  fmt::print("{} names of {} certificates\nclaims and first snapshot: {:.2f} s\n", snapshot->name_count(),
             certificate_count, build);
  fmt::print("octets a name, with the loader's books: {:.0f}\n",
             static_cast<double>(after - before) / static_cast<double>(snapshot->name_count()));
  measure_memory();
  measure_lookups(*snapshot, name_count);

  constexpr HolderId renewals = 1000;
  const double renewing = cpu_seconds_of([&] {
    for (HolderId i = 0; i < renewals; ++i) {
      const HolderId id = i * 7919 % certificate_count;
      table.set(id, holder_of(certificate_count + 1 + i), claims_of(table, id));
      const auto next = table.resolve(test::test_now(), ids);
      require(next.changes.renewed.size() == names_a_certificate, "a renewal was not seen");
      snapshot = next.snapshot;
    }
  });
  fmt::print("one renewal, from claims to snapshot: {:.1f} us\n", renewing / renewals * 1e6);
}

void run_on_two_threads(Tasks& tasks) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(1)) < tasks.size();) tasks[i]();
  };
  std::thread helper(work);
  work();
  helper.join();
}

void measure_files(std::size_t certificate_count) {
  std::string pattern = (fs::temp_directory_path() / "postern-bench-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  const test::TestCa ca;
  const test::TestKey key;
  const auto put = [&](std::size_t i) {
    const auto issued = ca.issue({.names = {name_of(i)}, .key = key});
    const auto place = folder / name_of(i);
    fs::create_directories(place);
    std::ofstream(place / "fullchain.pem") << issued.chain_pem();
    std::ofstream(place / "privkey.pem") << issued.key_pem;
  };
  for (std::size_t i = 0; i < certificate_count; ++i) put(i);
  SourceSettings settings;
  settings.directories = {folder.string()};
  settings.roots = (folder / "anchors").string();
  std::ofstream(settings.roots) << ca.root_pem();
  Loader loader(make_local_file_source());
  LoadOutcome outcome;
  const double cold = seconds_of([&] { outcome = loader.load(settings, test::test_now(), run_on_two_threads); });
  require(outcome.snapshot->name_count() == certificate_count, "certificates are missing");
  const double idle = seconds_of([&] { outcome = loader.load(settings, test::test_now(), run_on_two_threads); });
  require(outcome.files_read == 0, "unchanged files were read");
  put(certificate_count / 2);
  const double one = seconds_of([&] { outcome = loader.load(settings, test::test_now(), run_on_two_threads); });
  require(outcome.changes.renewed.size() == 1, "the renewal was not seen");
  const std::vector<std::string> hint{(folder / name_of(1)).string()};
  put(1);
  const double hinted =
      seconds_of([&] { outcome = loader.load_changed(hint, test::test_now(), run_on_two_threads); });
  require(outcome.changes.renewed.size() == 1, "the renewal was not seen");
  fmt::print("{} certificates in files, two threads, elapsed time\ncold: {:.1f} ms; nothing changed: {:.1f} ms; one changed: {:.1f} ms; "
             "one changed and its folder known: {:.2f} ms\n",
             certificate_count, cold * 1e3, idle * 1e3, one * 1e3, hinted * 1e3);
  fs::remove_all(folder);
}

std::size_t argument(int argc, char** argv, int at, std::size_t otherwise) {
  return argc > at ? static_cast<std::size_t>(parse_decimal(argv[at]).value_or(otherwise)) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  measure_names(std::max<std::size_t>(argument(argc, argv, 1, 1'000'000), names_a_certificate));
  measure_files(std::max<std::size_t>(argument(argc, argv, 2, 1000), 2));
}
