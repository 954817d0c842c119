#include "daemon/app/loader_messages.h"

#include <algorithm>
#include <utility>

namespace postern::app {

using certs::BinaryReader;
using certs::BinaryWriter;
using certs::FileSource;
using certs::Wish;

namespace {

// What the files of many certificates take; and no more in the memory of either process.
constexpr std::size_t answers_octets_max = 2 * 1024 * 1024;
constexpr std::uint64_t read_octets_max = 64 * 1024;

void add_question(BinaryWriter& message, const Wish& wish) {
  message.number(static_cast<std::uint64_t>(wish.what));
  message.text(wish.path);
  message.number(wish.octets_max);
}

void take_question(BinaryReader& fields, Wish& wish) {
  wish.what = static_cast<Wish::What>(fields.number());
  wish.path = fields.view();
  wish.octets_max = std::min(fields.number(), file_octets_max);
}

/// 1 and what `write` adds, or 0 and what went wrong. Returns which.
template <class T, class Write>
bool add_answer(BinaryWriter& answer, const Result<T>& result, Write write) {
  answer.number(result ? 1u : 0u);
  if (result) {
    write(answer, *result);
  } else {
    answer.text(result.error().text);
  }
  return result.has_value();
}

template <class T, class Read>
Result<T> answered(std::string_view answer, Read read) {
  BinaryReader fields(answer);
  if (fields.number() == 0) return fail("{}", fields.text());
  return read(fields);
}

void add_listing(BinaryWriter& answer, const certs::Listing& listing) {
  answer.number(listing.state ? 1u : 0u);
  write_state(answer, listing.state.value_or(certs::FileState()));
  answer.number(listing.entries.size());
  for (const auto& entry : listing.entries) {
    answer.text(entry.name);
    answer.number(entry.is_directory ? 1u : 0u);
    answer.number(entry.may_be_link ? 1u : 0u);
    answer.number(entry.dangling ? 1u : 0u);
  }
}

bool answer_to(BinaryWriter& answer, const Wish& wish, FileSource& files) {
  const auto add_text = [](BinaryWriter& out, const std::string& text) { out.text(text); };
  switch (wish.what) {
    case Wish::What::State: return add_answer(answer, files.state(wish.path), certs::write_state);
    case Wish::What::Read:
      return add_answer(answer, files.read(wish.path, wish.octets_max),
                        [](BinaryWriter& out, const certs::FileContents& contents) {
                          write_state(out, contents.state);
                          out.text(contents.bytes);
                        });
    case Wish::What::List: return add_answer(answer, files.list(wish.path), add_listing);
    case Wish::What::LinkTarget: {
      const auto target = files.link_target(wish.path);
      return add_answer(answer, target ? Result<std::string>(*target) : fail("{}: is no link", wish.path), add_text);
    }
  }
  return add_answer(answer, Result<std::string>(fail("a question that does not exist")), add_text);
}

}  // namespace

BinaryWriter question(const Wish& wish) {
  BinaryWriter message;
  message.number(static_cast<std::uint64_t>(Operation::Question));
  add_question(message, wish);
  return message;
}

Questions questions(const std::vector<Wish>& wishes) {
  constexpr std::size_t numbers = 3 * sizeof(std::uint64_t);
  Questions made;
  std::size_t octets = numbers;
  for (const Wish& wish : wishes) {
    octets += numbers + wish.path.size();
    if (octets > request_octets_max) break;
    ++made.asked;
  }
  made.request.number(static_cast<std::uint64_t>(Operation::Questions));
  made.request.number(made.asked);
  for (std::size_t i = 0; i < made.asked; ++i) add_question(made.request, wishes[i]);
  return made;
}

BinaryWriter reconfigure() {
  BinaryWriter message;
  message.number(static_cast<std::uint64_t>(Operation::Reconfigure));
  return message;
}

BinaryWriter answer_question(BinaryReader& request, FileSource& files) {
  Wish wish;
  take_question(request, wish);
  BinaryWriter answer;
  answer_to(answer, wish, files);
  return answer;
}

BinaryWriter answer_questions(BinaryReader& request, FileSource& files) {
  BinaryWriter answers;
  Wish wish;
  for (auto left = request.count(); left > 0; --left) {
    take_question(request, wish);
    wish.octets_max = std::min<std::uint64_t>(wish.octets_max, read_octets_max);
    answers.nested([&] {
      const auto before = answers.size();
      if (before >= answers_octets_max) return;
      // What is too much for this message, or wrong, gets its own words when it is asked for alone.
      if (!answer_to(answers, wish, files) && wish.what == Wish::What::Read) answers.cut_to(before);
    });
  }
  return answers;
}

Result<certs::FileState> state_in(std::string_view answer) { return answered<certs::FileState>(answer, certs::read_state); }

Result<certs::FileContents> contents_in(std::string_view answer) {
  return answered<certs::FileContents>(answer, [](BinaryReader& fields) {
    certs::FileContents contents{certs::read_state(fields), {}};
    contents.bytes = fields.text();
    return contents;
  });
}

Result<certs::Listing> listing_in(std::string_view answer) {
  return answered<certs::Listing>(answer, [](BinaryReader& fields) {
    const bool has_state = fields.number() != 0;
    const auto state = certs::read_state(fields);
    certs::Listing listing{has_state ? std::optional(state) : std::nullopt, {}};
    for (auto left = fields.count(); left > 0; --left) {
      certs::DirectoryEntry entry{fields.text(), false};
      entry.is_directory = fields.number() != 0;
      entry.may_be_link = fields.number() != 0;
      entry.dangling = fields.number() != 0;
      listing.entries.push_back(std::move(entry));
    }
    return listing;
  });
}

Result<std::string> link_target_in(std::string_view answer) {
  return answered<std::string>(answer, [](BinaryReader& fields) { return fields.text(); });
}

BinaryWriter answer_reconfigured(const std::vector<std::string>& out_of_reach) {
  BinaryWriter answer;
  answer.number(1);
  answer.number(out_of_reach.size());
  for (const std::string& sentence : out_of_reach) answer.text(sentence);
  return answer;
}

std::vector<std::string> out_of_reach_in(std::string_view answer) {
  return answered<std::vector<std::string>>(answer, [](BinaryReader& fields) {
           std::vector<std::string> sentences;
           for (auto left = fields.count(); left > 0; --left) sentences.push_back(fields.text());
           return sentences;
         })
      .value_or(std::vector<std::string>());
}

}  // namespace postern::app
