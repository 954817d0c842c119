#include "certs/ticket_keeper.h"

#include <utility>

#include "tls/compat.h"

namespace postern::certs {

namespace {

constexpr std::size_t file_octets_max = 64 * 1024;

std::shared_ptr<const tls::TicketKeys> share(tls::TicketKeys keys) {
  return std::make_shared<const tls::TicketKeys>(std::move(keys));
}

}  // namespace

TicketKeeper::TicketKeeper(std::shared_ptr<FileSource> files, Instant now)
    : files_(std::move(files)),
      publisher_(std::make_shared<tls::TicketKeyring>(share(tls::TicketKeys::random()))),
      keyring_(publisher_),
      made_at_(now) {}

TicketKeeper::Look TicketKeeper::look(const tls::TlsSettings& settings, Instant now) {
  Look look;
  if (settings.ticket_key_file.empty()) {
    forget_file();
    // The last key of a file that is not used any more opens its tickets until the next rotation.
    if (!made_at_) rotate(now);
  } else {
    look = look_at_file(settings.ticket_key_file);
  }
  if (made_at_ && now - *made_at_ >= settings.ticket_lifetime) rotate(now);
  return look;
}

void TicketKeeper::rotate(Instant now) {
  (void)publisher_->publish(share(publisher_->current()->rotated()));
  made_at_ = now;
}

void TicketKeeper::forget_file() {
  path_.clear();
  folders_.clear();
  seen_ = {};
  fault_.reset();
}

TicketKeeper::Look TicketKeeper::look_at_file(const std::string& path) {
  const auto state = files_->state(path);
  Seen now = state ? Seen{*state, {}} : Seen{std::nullopt, state.error().text};
  if (path == path_ && now == seen_) return {};
  path_ = path;
  seen_ = std::move(now);
  folders_ = folders_of(*files_, path);
  Look look;
  if (const auto read = read_file(path); read) {
    look.taken_from_file = true;
    made_at_.reset();
    fault_.reset();
    return look;
  } else {
    Fault fault{Fault::Severity::Error, "tls.ticket_key_file",
                read.error().text + (made_at_ ? "; random keys are in use, which no other machine has"
                                              : "; the keys that were read before stay in use")};
    if (fault != fault_) look.new_fault = fault;
    fault_ = std::move(fault);
  }
  return look;
}

Result<void> TicketKeeper::read_file(const std::string& path) {
  auto contents = files_->read(path, file_octets_max);
  if (!contents) return fail_with(contents.error());
  // The state of what was read, which may be newer than what was seen a moment ago.
  seen_ = {contents->state, {}};
  auto keys = tls::TicketKeys::parse(contents->bytes, path);
  OPENSSL_cleanse(contents->bytes.data(), contents->bytes.size());
  if (!keys) return fail_with(keys.error());
  (void)publisher_->publish(share(std::move(*keys)));
  return {};
}

}  // namespace postern::certs
