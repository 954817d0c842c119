// Work of which the larger part can be done by many threads and the rest only by one: reading files, and taking in what
// they hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "certs/loader.h"

namespace postern::certs {

/// Makes a Made for each number below `count`, and takes them in this order: make(first, many) fills in those from `first`
/// on, and take(i, made) takes one. make() is called from all threads that the executor uses and must change nothing that
/// others look at; take() is called by one at a time, while make() runs for those that come later. So taking keeps nobody
/// waiting, and only a few thousand of what was made are in memory.
template <class Made, class Make, class Take>
void in_waves(std::size_t count, const Executor& executor, const Make& make, const Take& take) {
  constexpr std::size_t a_task = 64;  // so that handing out tasks, or asking another process, costs little beside doing them
  constexpr std::size_t a_wave = 64 * a_task;
  std::vector<Made> before, made;
  for (std::size_t begin = 0; begin < count || !before.empty(); begin += a_wave) {
    made.clear();
    made.resize(std::min(a_wave, count - std::min(begin, count)));
    Tasks tasks;
    if (!before.empty()) {
      tasks.emplace_back([&] {
        for (std::size_t i = 0; i < before.size(); ++i) take(begin - a_wave + i, std::move(before[i]));
      });
    }
    for (std::size_t first = 0; first < made.size(); first += a_task) {
      const std::size_t many = std::min(a_task, made.size() - first);
      tasks.emplace_back([&, first, many] { make(begin + first, std::span<Made>(&made[first], many)); });
    }
    executor(tasks);
    std::swap(before, made);
  }
}

}  // namespace postern::certs
