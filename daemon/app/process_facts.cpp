#include "daemon/app/process_facts.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace postern::app {

namespace {

std::uint64_t count_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  if (!folder) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(folder.get())) count += entry->d_name[0] != '.' ? 1u : 0u;
  return count - 1;  // the one that reads it
}

/// The second at which the machine started. Not from /proc/stat, which a unit with ProcSubset=pid does not have.
double boot_time() {
  timespec real{}, since_boot{};
  ::clock_gettime(CLOCK_REALTIME, &real);
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return static_cast<double>(real.tv_sec - since_boot.tv_sec) + static_cast<double>(real.tv_nsec - since_boot.tv_nsec) / 1e9;
}

}  // namespace

ProcessFacts process_facts() {
  ProcessFacts facts;
  // proc(5): the fields behind the name, which may hold anything and ends at the last parenthesis.
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  if (const auto name_end = line.rfind(')'); name_end != std::string::npos) {
    std::istringstream fields(line.substr(name_end + 1));
    const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::string field;
    for (int number = 3; fields >> field; ++number) {
      if (number == 14 || number == 15) facts.cpu_seconds += std::stod(field) / ticks;  // user, system
      if (number == 20) facts.threads = std::stoull(field);
      if (number == 22) facts.started_at = boot_time() + std::stod(field) / ticks;
      if (number == 23) facts.virtual_octets = std::stoull(field);
      if (number == 24) facts.resident_octets = std::stoull(field) * page;
    }
  }
  facts.descriptors = count_descriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.descriptors_max = limit.rlim_cur;
  return facts;
}

}  // namespace postern::app
