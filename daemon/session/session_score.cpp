#include "daemon/session/session_score.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "daemon/uv/loop.h"
#include "report/sts.h"
#include "tls/alert.h"

namespace postern::session {

namespace {

using report::Reception;
using report::Sts;

constexpr std::size_t domains_max = 1000;  // of one session; what it brings to more is not counted
constexpr std::size_t offered_max = 64;    // of each list in a ClientHello

report::Sni sni_of(const tls::ClientHello* hello, const tls::Choice& choice) {
  if (hello == nullptr || hello->sni == tls::SniKind::Absent) return report::Sni::None;
  if (hello->sni != tls::SniKind::HostName) return report::Sni::Unusable;
  switch (choice.match) {
    case tls::Match::Exact: return report::Sni::Exact;
    case tls::Match::Wildcard:
    case tls::Match::Parent: return report::Sni::Wildcard;
    case tls::Match::Default: return report::Sni::Unknown;
  }
  return report::Sni::Unknown;
}

report::TlsVersion version_of(std::string_view name) {
  if (name == "TLSv1.3") return report::TlsVersion::Tls13;
  if (name == "TLSv1.2") return report::TlsVersion::Tls12;
  return name.empty() ? report::TlsVersion::None : report::TlsVersion::Older;
}

std::vector<std::uint16_t> first_of(const std::vector<std::uint16_t>& list) {
  return {list.begin(), list.begin() + static_cast<std::ptrdiff_t>(std::min(list.size(), offered_max))};
}

}  // namespace

void SessionScore::look(const tls::Stream& stream) {
  const tls::ClientHello* hello = stream.hello();
  if (hello == nullptr) return;  // never seen, or forgotten when all was well
  const tls::Choice& choice = stream.choice();
  sni_ = sni_of(hello, choice);
  server_name_ = hello->server_name;
  credential_ = choice.credential;
}

void SessionScore::established(const tls::Stream& stream) {
  tls_ = Tls::Established;
  look(stream);
  version_ = version_of(stream.facts().version);
  if (stream.facts().resumed) resumption_ = report::Handshake::Resumption::Resumed;
  if (credential_) services_.trust.find_out(credential_);
}

void SessionScore::ended(End how) {
  if (!end_) end_ = how;
}

report::FailedHandshake SessionScore::failure(const tls::Stream& stream, const std::string& reason) const {
  report::FailedHandshake made;
  made.reason = reason;  // BoringSSL's words or ours
  made.version = stream.facts().version;
  // Our certificate goes out with the answer to the ClientHello.
  made.stage = tls_ == Tls::Established ? "after the handshake" : credential_ ? "certificate" : "ClientHello";
  if (server_name_) made.server_name = server_name_->text();
  const tls::ClientHello* hello = stream.hello();
  if (hello == nullptr) return made;
  made.server_name = escaped(hello->raw_server_name);
  made.versions = first_of(hello->versions);
  made.cipher_suites = first_of(hello->cipher_suites);
  made.groups = first_of(hello->groups);
  made.signature_schemes = first_of(hello->signature_schemes);
  for (const std::string& protocol : hello->alpn) {
    if (made.alpn.size() < offered_max) made.alpn.push_back(escaped(protocol, 40));
  }
  return made;
}

void SessionScore::broke(const tls::Stream& stream, const std::string& reason, std::optional<int> alert_received,
                         std::optional<int> alert_sent) {
  if (tls_ == Tls::None) {
    tls_ = Tls::Broken;
    look(stream);
  }
  alert_ = alert_received;
  failure_ = failure(stream, reason);
  if (alert_received) {
    failure_->alert = "received " + std::string(tls::alert_name(*alert_received));
  } else if (alert_sent) {
    failure_->alert = "sent " + std::string(tls::alert_name(*alert_sent));
    if (tls_ == Tls::Broken) failure_->stage = "ClientHello";  // there was no answer to it, and no certificate
  }
}

void SessionScore::gave_up(const tls::Stream& stream, const std::string& reason, End how) {
  ended(how);
  broke(stream, reason, std::nullopt, std::nullopt);
}

report::Sts SessionScore::judge(const DnsName& domain) const {
  if (!credential_) return Sts::Clear;
  const auto settings = services_.settings.get();
  const auto mx = settings->mx->find(domain);
  const tls::LeafFacts& leaf = credential_->leaf;
  report::Served served;
  served.covers_name = server_name_ ? leaf.covers(*server_name_)
                                    : std::any_of(mx.begin(), mx.end(), [&](const DnsName& name) { return leaf.covers(name); });
  const WallTime now = uv::wall_time();
  if (now >= leaf.not_after) served.time = report::Served::Time::Expired;
  if (now < leaf.not_before) served.time = report::Served::Time::NotYetValid;
  if (!services_.trust.known(*credential_).value_or(!leaf.self_signed)) served.chain = report::Served::Chain::Untrusted;
  return report::judge(domain, mx, server_name_, served);
}

std::string SessionScore::sts(const smtp::ForwardPath& recipient) const {
  const auto domain = recipient.mailbox.domain_name();
  return domain ? std::string(report::to_string(judge(*domain))) : std::string();
}

void SessionScore::took(const smtp::ForwardPath& recipient, const std::string& transaction) {
  const auto domain = recipient.mailbox.domain_name();
  if (!domain) return;
  auto found = std::find_if(taken_.begin(), taken_.end(),
                            [&](const Taken& each) { return each.delivery.domain == *domain; });
  if (found == taken_.end()) {
    if (taken_.size() == domains_max) return;
    taken_.push_back({{*domain, 0, Sts::Pass, sni_}, {}});
    found = taken_.end() - 1;
  }
  if (found->transaction == transaction) return;
  found->transaction = transaction;
  ++found->delivery.messages;
}

/// The names that clients make up are without number; an MX name that lacks a certificate is what the operator must see.
bool SessionScore::is_ours(const DnsName& server_name) const {
  const bool in_map = sni_ == report::Sni::Exact || sni_ == report::Sni::Wildcard;
  return in_map || services_.settings.get()->mx->has_host(server_name);
}

report::Reception SessionScore::reception(Hello hello) const {
  if (mail_ == report::SessionFacts::Mail::Named && tls_ == Tls::Established) return Reception::Accepted;
  if (tls_ == Tls::Established && hello == Hello::Said) return Reception::Left;
  if (alert_) {
    using report::AlertMoment;
    return report::reception_of_alert(*alert_,
                                      tls_ == Tls::Established ? AlertMoment::Afterwards : AlertMoment::DuringHandshake);
  }
  const bool certificate_seen = tls_ == Tls::Established || credential_;
  if (certificate_seen && end_ == End::Quit) return Reception::Quit;
  if (certificate_seen && end_ == End::Closed) return Reception::Closed;
  if (certificate_seen && end_ == End::Reset) return Reception::Reset;
  return tls_ == Tls::Established ? Reception::Left : Reception::Failed;
}

void SessionScore::finish(const observe::SessionRecord& record, const std::optional<ClientDnsName>& name, Hello hello) {
  report::SessionFacts facts;
  facts.time = uv::wall_time();
  facts.address = record.peer.address;
  facts.local = record.local.address;
  facts.mail = mail_;
  if (tls_ != Tls::None) {
    report::Handshake& handshake = facts.handshake.emplace();
    handshake.sni = sni_;
    if (server_name_ && is_ours(*server_name_)) handshake.server_name = server_name_;
    handshake.version = version_;
    handshake.resumption = resumption_;
    handshake.reception = reception(hello);
    const bool of_interest = handshake.reception == Reception::Failed || report::is_refusal(handshake.reception);
    if (of_interest) handshake.failure = std::move(failure_);
  }
  for (Taken& taken : taken_) {
    taken.delivery.verdict = judge(taken.delivery.domain);
    facts.deliveries.push_back(std::move(taken.delivery));
  }
  waiting_for_name_ = std::move(facts);
  if (name) named(*name);
}

void SessionScore::named(const ClientDnsName& name) {
  auto facts = std::exchange(waiting_for_name_, std::nullopt);
  if (!facts) return;
  facts->name = name.name;
  services_.sink.add(std::move(*facts));
}

}  // namespace postern::session
