#include "daemon/session/budget.h"

namespace postern::session {

bool Budget::take(std::uint64_t octets, std::uint64_t limit) {
  if (used_.fetch_add(octets, std::memory_order_relaxed) + octets <= limit) return true;
  give_back(octets);
  return false;
}

bool BudgetShare::hold(std::uint64_t octets) {
  const std::uint64_t wanted = (octets + grain_octets - 1) / grain_octets * grain_octets;
  if (wanted > taken_) {
    if (!budget_.take(wanted - taken_, limit_)) return false;
  } else {
    budget_.give_back(taken_ - wanted);
  }
  taken_ = wanted;
  return true;
}

}  // namespace postern::session
