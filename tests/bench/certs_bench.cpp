// What the certificate map costs: look-ups and octets a name among many names, and loading and reloading certificates
// from files.
//
//   bench-certs [NAMES [CERTIFICATES...]]        defaults: 1000000 1000 10000 100000
//
// Budgets: a hit 300 ns, a miss 1000 ns, 200 octets a name besides the certificates; of 10^5 certificates a cold start 5 s,
// a warm one 1 s, one changed 100 ms.
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/text.h"
#include "certs/claim_table.h"
#include "certs/loader.h"
#include "certs/start_cache.h"
#include "tests/support/resident_memory.h"
#include "tests/support/test_ca.h"

namespace {

using namespace postern;
using namespace postern::certs;
using test::resident_octets;
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
  fmt::print("one dependent read in 64 MiB: {:.0f} ns (a hit needs two one after the other, and reads the name)\n",
             taken / static_cast<double>(reads) * 1e9);
}

void measure_lookups(const Snapshot& snapshot, std::size_t name_count) {
  std::mt19937_64 random(1);
  std::vector<DnsName> hits, misses;
  for (std::size_t i = 0; i < 400'000; ++i) {
    hits.push_back(*DnsName::parse(name_of(random() % name_count)));
    misses.push_back(*DnsName::parse(fmt::format("mx.unknown-{}.cust.hostedemail.example", random())));
  }
  // The quickest and the middle one of many rounds: what else runs on the machine only ever adds to them. The names of a
  // round are copied right before it, for a name that a sender has just asked for is in a cache, as its entry is not.
  const auto measure = [&](const char* what, const std::vector<DnsName>& names, bool expected) {
    constexpr std::ptrdiff_t a_round = 2'000;
    std::vector<double> rounds;
    for (std::size_t done = 0; done < lookups; done += a_round) {
      const auto first = names.begin() + static_cast<std::ptrdiff_t>(done % names.size());
      const std::vector<DnsName> asked(first, first + a_round);
      std::ptrdiff_t found = 0;
      const double taken = cpu_seconds_of([&] {
        for (const DnsName& name : asked) found += snapshot.find(name).entry != nullptr;
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

/// Of the whole process, and of the thread that loads: on an idle machine with two cores the latter is about what a
/// start takes, for its helper has less to do.
struct Cost {
  double elapsed = 0, thread = 0, process = 0;
};

Cost cost_of(const std::function<void()>& work) {
  const auto process_time = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  };
  Cost cost;
  const double begin = process_time();
  cost.elapsed = seconds_of([&] { cost.thread = cpu_seconds_of(work); });
  cost.process = process_time() - begin;
  return cost;
}

void tell(const char* what, const Cost& cost) {
  fmt::print("  {:<36}{:>10.2f} ms; CPU: {:.2f} ms, of it this thread {:.2f} ms\n", what, cost.elapsed * 1e3,
             cost.process * 1e3, cost.thread * 1e3);
}

enum class Layout : std::uint8_t {
  Certbot,  ///< each with a folder of its own
  HaProxy   ///< all in one folder, each one file
};

/// Certificates in files.
class Tree {
 public:
  Tree(std::size_t count, Layout layout) : layout_(layout) {
    std::string pattern = (fs::temp_directory_path() / "postern-bench-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(folder_ / "live");
    std::ofstream(roots()) << ca_.root_pem();
    for (std::size_t i = 0; i < count; ++i) put(i);
  }
  ~Tree() { fs::remove_all(folder_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  void put(std::size_t i) const {
    const auto issued = ca_.issue({.names = {name_of(i)}, .key = key_});
    if (layout_ == Layout::HaProxy) {
      const auto next = place(i).string() + ".new";
      std::ofstream(next) << issued.combined_pem();
      fs::rename(next, place(i));
      return;
    }
    fs::create_directories(place(i));
    std::ofstream(place(i) / "fullchain.pem") << issued.chain_pem();
    std::ofstream(place(i) / "privkey.pem") << issued.key_pem;
  }
  /// A folder, or a file.
  fs::path place(std::size_t i) const {
    return folder_ / "live" / (name_of(i) + (layout_ == Layout::HaProxy ? ".pem" : ""));
  }
  std::string path() const { return (folder_ / "live").string(); }
  std::string roots() const { return (folder_ / "roots.pem").string(); }

 private:
  Layout layout_;
  test::TestCa ca_ = test::TestCa().intermediate("Sub");
  test::TestKey key_;
  fs::path folder_;
};

SourceSettings settings_for(const Tree& tree) {
  SourceSettings settings;
  settings.directories = {tree.path()};
  settings.roots = tree.roots();
  return settings;
}

/// Later than the files, so that their times tell changes: as after a restart.
WallTime soon() {
  return WallTime(std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch() + std::chrono::minutes(1)));
}

void measure_large_folder(std::size_t certificate_count) {
  const Tree tree(certificate_count, Layout::HaProxy);
  const auto settings = settings_for(tree);
  const auto now = soon();
  fmt::print("{} certificates in one folder, two threads\n", certificate_count);
  LoadOutcome outcome;
  Loader loader(make_local_file_source());
  tell("cold start", cost_of([&] { outcome = loader.load(settings, now, run_on_two_threads, tls::KeyCheck::Claim); }));
  require(outcome.snapshot->name_count() == certificate_count, "certificates are missing");
  tree.put(1);
  const auto file = tree.place(1).filename().string();
  const std::vector<FolderChange> touched{{tree.path(), {{file, file + ".new"}}}};
  tell("one changed, of which an event told",
       cost_of([&] { outcome = loader.load_touched(touched, now, run_on_two_threads); }));
  require(outcome.changes.renewed.size() == 1, "the renewal was not seen");
}

void measure_files(std::size_t certificate_count) {
  const Tree tree(certificate_count, Layout::Certbot);
  const auto settings = settings_for(tree);
  const auto now = soon();
  fmt::print("{} certificates in files, two threads\n", certificate_count);
  LoadOutcome outcome;
  std::string cache;
  Loader loader(make_local_file_source());
  const auto load = [&] { outcome = loader.load(settings, now, run_on_two_threads); };
  const auto before = resident_octets();
  tell("cold start", cost_of([&] { outcome = loader.load(settings, now, run_on_two_threads, tls::KeyCheck::Claim); }));
  require(outcome.snapshot->name_count() == certificate_count, "certificates are missing");
  fmt::print("  {:<36}{:>10.0f}\n", "octets a certificate",
             (static_cast<double>(resident_octets()) - static_cast<double>(before)) / static_cast<double>(certificate_count));
  tell("checking the keys, once it is ready", cost_of([&] {
    require(!loader.prove_keys(certificate_count, now, run_on_two_threads), "a key does not fit");
  }));
  tell("a look at everything, all as before", cost_of(load));
  require(outcome.files_read == 0, "unchanged files were read");
  tell("writing the cache (without the disk)",
       cost_of([&] { cache = encode_start_cache(loader.remembered(), "bench"); }));
  fmt::print("  {:<36}{:>10.1f} MB\n", "the cache", static_cast<double>(cache.size()) / 1e6);
  {
    Loader next(make_local_file_source());
    tell("warm start", cost_of([&] {
      next.remember(std::move(*StartCache::read(cache, "bench")));
      outcome = next.load(settings, now, run_on_two_threads);
    }));
    require(outcome.items_read_anew == 0, "the cache was not used");
    require(outcome.snapshot->name_count() == certificate_count, "certificates are missing");
  }
  tree.put(certificate_count / 2);
  tell("a look at everything, one changed", cost_of(load));
  require(outcome.changes.renewed.size() == 1, "the renewal was not seen");
  tree.put(1);
  const std::vector<std::string> hint{tree.place(1).string()};
  tell("one changed, of which an event told",
       cost_of([&] { outcome = loader.load_changed(hint, now, run_on_two_threads); }));
  require(outcome.changes.renewed.size() == 1, "the renewal was not seen");
}

std::size_t argument(int argc, char** argv, int at, std::size_t otherwise) {
  return argc > at ? static_cast<std::size_t>(parse_decimal(argv[at]).value_or(otherwise)) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a run takes minutes
  measure_names(std::max<std::size_t>(argument(argc, argv, 1, 1'000'000), names_a_certificate));
  std::vector<std::size_t> counts;
  for (int i = 2; i < argc; ++i) counts.push_back(std::max<std::size_t>(argument(argc, argv, i, 1000), 2));
  if (counts.empty()) counts = {1000, 10'000, 100'000};
  for (const auto count : counts) {
    measure_files(count);
    measure_large_folder(count);
  }
}
