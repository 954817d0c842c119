// What an inbound session does when somebody who is trusted speaks for the client: by a PROXY header in front of the
// session, before which nothing is said, by XCLIENT, behind which the session begins anew, or by XFORWARD.
#include <fmt/format.h>

#include <algorithm>

#include <utility>

#include "base/text.h"
#include "daemon/session/inbound.h"
#include "proxy/client_identity.h"
#include "proxy/header.h"
#include "smtp/replies.h"

namespace postern::session {

void Inbound::await_proxy_header() {
  const auto settings = services_.settings.get();
  const bool believed = any_contains(settings->listeners.at(listener_).trusted_proxies, peer_.address);
  if (!believed) return close_now("not one of trusted_proxies");
  proxy_deadline_ = services_.loop.now() + settings->smtp.timeouts.handshake;
}

void Inbound::read_proxy_header(std::string_view bytes) {
  proxy_input_ += bytes;
  std::string_view rest = proxy_input_;
  const auto header = proxy::take_header(rest);
  if (!header) return close_now("refused: " + header.error().text);
  if (!*header) return;
  const std::string behind(rest);
  proxy_input_ = {};
  proxy_deadline_.reset();
  believe(**header);
  if (phase_ != Phase::Talking) return;
  begin();
  pump();
  if (!behind.empty() && phase_ == Phase::Talking) on_bytes(behind);
}

void Inbound::believe(const proxy::Header& header) {
  record_.proxy = peer_.text();
  const auto note = [this](std::string_view what, const std::string& value) {
    if (!value.empty()) record_.proxy += fmt::format(" {}={}", what, value);
  };
  note("authority", header.authority);
  note("alpn", header.alpn);
  note("id", header.unique_id);
  if (header.tls) note("tls", header.tls->version.empty() ? "yes" : header.tls->version);
  if (header.tls) note("cipher", header.tls->cipher);
  if (!header.source) return;
  if (!readdress(*header.source)) return;
  if (header.destination) record_.local = *header.destination;
}

/// The client is another than it seemed, and counted as such. False when a limit forbids it: the session has ended.
bool Inbound::readdress(const Endpoint& client) {
  const bool admitted = services_.directory.readdress(peer_.address, client.address);
  record_.peer = client;
  if (admitted) {
    peer_ = client;
    return true;
  }
  if (services_.settings.get()->listeners.at(listener_).tls != ListenerTls::Implicit) {
    socket_->send(smtp::render(smtp::replies::too_many_connections));
  }
  end("turned away: too many connections from this address or network");
  socket_->close_when_sent(std::chrono::seconds(1));
  return false;
}

bool Inbound::may_name_clients() const {
  return any_contains(services_.settings.get()->listeners.at(listener_).xclient_from, peer_.address);
}

void Inbound::handle(const smtp::IdentityOffered& event) {
  const bool forwards = event.verb == smtp::Verb::Xforward;
  proxy::ClientIdentity identity = forwards ? forwarded_.value_or(proxy::ClientIdentity{}) : proxy::ClientIdentity{};
  const auto allowed = forwards ? proxy::xforward_attributes : proxy::xclient_attributes;
  if (const auto read = proxy::read_attributes(event.argument, allowed, identity); !read) {
    return smtp_->answer(event.number, {501, "5.5.4", read.error().text}, services_.loop.now());
  }
  if (!forwards) return believe(identity);
  forwarded_ = std::move(identity);
  smtp_->answer(event.number, smtp::replies::ok, services_.loop.now());
}

/// XCLIENT: everything begins anew, as if this client had connected (Postfix's XCLIENT_README), but under the TLS that there
/// is. What stands behind the command in the same bytes is the first thing that it says.
void Inbound::believe(const proxy::ClientIdentity& identity) {
  flush();
  const std::string behind = smtp_->take_unread();
  record_.proxy += (record_.proxy.empty() ? "" : " ") + peer_.text() + " by XCLIENT";
  if (identity.address && !readdress({*identity.address, identity.port.value_or(0)})) return;
  if (identity.destination_address) {
    record_.local = {*identity.destination_address, identity.destination_port.value_or(record_.local.port)};
  }
  forwarded_.reset();
  score_.reset();  // the handshake was not this client's
  const auto name = identity.name ? DnsName::parse(*identity.name) : std::nullopt;
  if (relaying_) std::exchange(relaying_, nullptr)->leave();
  smtp_.reset();
  end_told_ = false;
  record_.dns_name.clear();
  if (name) {
    named({ClientDnsName::Standing::Confirmed, name, name});
  } else {
    dns_name_.reset();
    ask_for_name();
  }
  start_smtp(tls_state_);
  if (smtp_) smtp_->receive(behind, services_.loop.now());
}

}  // namespace postern::session
