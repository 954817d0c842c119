// What an inbound session does about the PROXY header in front of it. Nothing is said before it has come.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "daemon/session/inbound.h"
#include "proxy/header.h"
#include "smtp/replies.h"

namespace postern::session {

void Inbound::await_proxy_header() {
  const auto settings = services_.settings.get();
  const auto& trusted = settings->listeners.at(listener_).trusted_proxies;
  const bool believed = std::any_of(trusted.begin(), trusted.end(),
                                    [this](const Network& network) { return network.contains(peer_.address); });
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
  if (!services_.directory.readdress(peer_.address, header.source->address)) {
    record_.peer = *header.source;
    if (services_.settings.get()->listeners.at(listener_).tls != ListenerTls::Implicit) {
      socket_->send(smtp::render(smtp::replies::too_many_connections));
    }
    end("turned away: too many connections from this address or network");
    return socket_->close_when_sent(std::chrono::seconds(1));
  }
  peer_ = record_.peer = *header.source;
  if (header.destination) record_.local = *header.destination;
}

}  // namespace postern::session
