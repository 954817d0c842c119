// `[recipients]`: what holds for the recipient checks of all backends.
#include "config/readers.h"

namespace postern::config {

using std::chrono::hours;
using std::chrono::seconds;

void read_recipients(const Section& root, RunConfig& run) {
  const auto section = root.table("recipients");
  if (!section) return;
  auto& checks = run.recipient_checks;
  section->duration("accepted_for", checks.accepted_for, {seconds(0), hours(24 * 7)});
  section->duration("unknown_for", checks.unknown_for, {seconds(0), hours(24)});
  section->integer("cache", checks.entries_max, {std::size_t{0}, std::size_t{100'000'000}});
  section->duration("catch_all_for", checks.catch_all_for, {seconds(0), hours(24 * 7)});
  section->integer("catch_all_after", checks.catch_all_after, {std::size_t{1}, std::size_t{1000}});
  auto& harvest = run.harvest;
  section->integer("unknown_per_address", harvest.unknown_per_address, {std::size_t{0}, std::size_t{10'000'000}});
  section->integer("unknown_per_network", harvest.unknown_per_network, {std::size_t{0}, std::size_t{10'000'000}});
  section->duration("unknown_window", harvest.window, {seconds(1), hours(24)});
  harvest.exempt = read_networks(*section, "unknown_exempt");
}

}  // namespace postern::config
