#include "daemon/session/maildir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <system_error>

#include "base/text.h"

namespace postern::session {
namespace {

constexpr mode_t folder_mode = 0700;
constexpr mode_t file_mode = 0600;
constexpr std::size_t copy_octets = 64 * 1024;

bool is_safe(char c) {
  return is_alpha(c) || is_digit(c) || std::string_view("._+@-").find(c) != std::string_view::npos;
}

MaildirFailure failure(std::string_view path, std::string_view doing, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {.kind = full ? MaildirFailure::Kind::Full : MaildirFailure::Kind::Other,
          .text = fmt::format("{}: {}: {}", path, doing, std::generic_category().message(error))};
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  std::string host = name.data();
  std::replace_if(
      host.begin(), host.end(), [](char c) { return !is_safe(c); }, '_');
  return host;
}

/// Unique on this host for ever (maildir(5)): the time, the process, and a count within the process.
std::string unique_file_name() {
  static const std::string host = host_name();
  static std::atomic<std::uint64_t> count{0};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fmt::format("{}.M{:06}P{}Q{}.{}", static_cast<std::int64_t>(now.tv_sec), now.tv_nsec / 1000, ::getpid(),
                     count.fetch_add(1, std::memory_order_relaxed) + 1, host);
}

std::optional<MaildirFailure> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), folder_mode) == 0 || errno == EEXIST) return std::nullopt;
  return failure(path, "cannot be made", errno);
}

/// Makes the entries of a folder outlast a power cut.
std::optional<MaildirFailure> sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return failure(path, "cannot be opened", errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0) return failure(path, "fsync failed", error);
  return std::nullopt;
}

/// Zero, or errno.
int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

std::optional<std::string> maildir_folder(const smtp::Mailbox& recipient) {
  std::string address = recipient.local_part;
  if (!recipient.domain.empty()) {
    const auto name = recipient.domain_name();
    address += '@';
    address += name ? name->text() : to_lower_ascii(recipient.domain);
  } else {
    address = to_lower_ascii(address);  // <postmaster>, in whatever case
  }
  std::string folder;
  for (const char c : address) {
    if (is_safe(c) && !(folder.empty() && c == '.')) {
      folder += c;
    } else {
      folder += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  if (folder.empty() || folder.size() > NAME_MAX) return std::nullopt;
  return folder;
}

MaildirMessage::MaildirMessage(std::string directory, const smtp::ReversePath& from,
                               const std::vector<smtp::ForwardPath>& recipients)
    : directory_(std::move(directory)) {
  copies_.reserve(recipients.size());
  for (const auto& to : recipients) {
    Copy copy;
    copy.folder = directory_ + '/' + maildir_folder(to.mailbox).value();
    std::string address = to.text();
    address = address.substr(1, address.size() - 2);  // Delivered-To has no angle brackets
    copy.header = fmt::format("Return-Path: {}\r\nDelivered-To: {}\r\n", from.text(), address);
    copies_.push_back(std::move(copy));
  }
}

MaildirMessage::~MaildirMessage() {
  for (auto& copy : copies_) give_up(copy);
}

std::optional<MaildirFailure> MaildirMessage::open() {
  std::optional<MaildirFailure> first;
  for (auto& copy : copies_) {
    start(copy);
    if (!copy.failure) {
      content_ = &copy;
      return std::nullopt;
    }
    if (!first) first = copy.failure;
  }
  return first;
}

void MaildirMessage::write(std::string_view bytes) { append(*content_, bytes); }

std::vector<MaildirOutcome> MaildirMessage::commit() {
  for (auto& copy : copies_) {
    if (&copy == content_ || copy.failure) continue;
    if (content_->failure) {
      copy.failure = content_->failure;
      continue;
    }
    start(copy);
    copy_content(copy);
    move_to_new(copy);
  }
  move_to_new(*content_);

  std::vector<MaildirOutcome> outcomes;
  for (const auto& copy : copies_) {
    MaildirOutcome outcome;
    outcome.failure = copy.failure;
    if (!copy.failure) outcome.path = copy.folder + "/new/" + copy.file;
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

void MaildirMessage::start(Copy& copy) {
  for (const auto* part : {"", "/tmp", "/new", "/cur"}) {
    copy.failure = make_folder(copy.folder + part);
    if (copy.failure) return;
  }
  copy.file = unique_file_name();
  const std::string path = copy.folder + "/tmp/" + copy.file;
  copy.descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, file_mode);
  if (copy.descriptor < 0) {
    copy.failure = failure(path, "cannot be made", errno);
    return;
  }
  copy.in_tmp = true;
  append(copy, copy.header);
}

void MaildirMessage::append(Copy& copy, std::string_view bytes) {
  if (copy.failure) return;
  if (const int error = write_all(copy.descriptor, bytes); error != 0) {
    copy.failure = failure(copy.folder + "/tmp/" + copy.file, "cannot be written", error);
    give_up(copy);  // room for the others
  }
}

void MaildirMessage::copy_content(Copy& to) {
  std::string piece(copy_octets, '\0');
  auto offset = static_cast<off_t>(content_->header.size());
  while (!to.failure) {
    const ssize_t count = ::pread(content_->descriptor, piece.data(), piece.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      to.failure = failure(content_->folder + "/tmp/" + content_->file, "cannot be read", errno);
      give_up(to);
    }
    if (count <= 0) return;
    append(to, std::string_view(piece).substr(0, static_cast<std::size_t>(count)));
    offset += count;
  }
}

void MaildirMessage::move_to_new(Copy& copy) {
  if (copy.failure) return;
  const std::string written = copy.folder + "/tmp/" + copy.file;
  const std::string final_place = copy.folder + "/new/" + copy.file;
  if (::fsync(copy.descriptor) != 0) {
    copy.failure = failure(written, "fsync failed", errno);
  } else if (::rename(written.c_str(), final_place.c_str()) != 0) {
    copy.failure = failure(final_place, "cannot be moved there", errno);
  } else {
    copy.in_tmp = false;
    // The outer folders too: whether they were made just now, by us or by another thread, is not worth knowing, since
    // syncing a folder that did not change costs nothing.
    for (const auto& folder : {copy.folder + "/new", copy.folder, directory_}) {
      if (!copy.failure) copy.failure = sync_folder(folder);
    }
    // Not acknowledged, so the sender comes back: the copy must not be found a second time then.
    if (copy.failure) ::unlink(final_place.c_str());
  }
  give_up(copy);
}

void MaildirMessage::give_up(Copy& copy) {
  if (copy.descriptor >= 0) ::close(copy.descriptor);
  copy.descriptor = -1;
  if (copy.in_tmp) ::unlink((copy.folder + "/tmp/" + copy.file).c_str());
  copy.in_tmp = false;
}

}  // namespace postern::session
