// What posternd asks the process that reads certificate files, and what that answers. Numbers are in the machine's order:
// both ends are the same program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "certs/binary.h"
#include "certs/loader.h"

namespace postern::app {

/// A question about files is the number of its certs::Wish::What and its path (and for Read how much is wanted).
enum class Operation : std::uint64_t { Question, Questions, Reconfigure };

constexpr std::uint64_t file_octets_max = 256 * 1024 * 1024;  // a map of 10^6 names is a third of it
constexpr std::uint64_t answer_octets_max = 2 * file_octets_max;
constexpr std::uint64_t request_octets_max = 64 * 1024;

/// Of these wishes, as many as one request may hold: the first `asked`.
struct Questions {
  certs::BinaryWriter request;
  std::size_t asked = 0;
};
certs::BinaryWriter question(const certs::Wish& wish);
Questions questions(const std::vector<certs::Wish>& wishes);
certs::BinaryWriter reconfigure();

/// The answer to a request of either kind. Of many answers those that would make a message too large are empty: they are
/// to be asked for one by one.
certs::BinaryWriter answer_question(certs::BinaryReader& request, certs::FileSource& files);
certs::BinaryWriter answer_questions(certs::BinaryReader& request, certs::FileSource& files);

/// What an answer says. To a link_target() question: its error is that there is none.
Result<certs::FileState> state_in(std::string_view answer);
Result<certs::FileContents> contents_in(std::string_view answer);
Result<certs::Listing> listing_in(std::string_view answer);
Result<std::string> link_target_in(std::string_view answer);

/// A sentence for each place that is out of reach; see LoaderFiles::configuration_changed().
certs::BinaryWriter answer_reconfigured(const std::vector<std::string>& out_of_reach);
std::vector<std::string> out_of_reach_in(std::string_view answer);

}  // namespace postern::app
