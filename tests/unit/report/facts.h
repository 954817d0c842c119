// Sessions as senders of the real world make them (DESIGN section 5).
#pragma once

#include "report/score.h"

namespace postern::report::test {

inline const WallTime noon{std::chrono::seconds(1'795'392'000 + 12 * 3600)};
inline DnsName name(const char* text) { return DnsName::parse(text).value(); }

/// From `host` (confirmed by DNS), without TLS and without mail.
inline SessionFacts session(const char* host, WallTime time = noon) {
  SessionFacts facts;
  facts.time = time;
  facts.address = IpAddress::parse("192.0.2.1").value();
  facts.name = name(host);
  facts.local = IpAddress::parse("198.51.100.25").value();
  return facts;
}

inline SessionFacts handshake(const char* host, const char* server_name, Reception reception, WallTime time = noon) {
  SessionFacts facts = session(host, time);
  Handshake& made = facts.handshake.emplace();
  made.version = TlsVersion::Tls13;
  made.reception = reception;
  if (server_name != nullptr) {
    made.sni = Sni::Exact;
    made.server_name = name(server_name);
  }
  if (reception == Reception::Accepted) facts.mail = SessionFacts::Mail::Named;
  return facts;
}

inline SessionFacts with_mail(SessionFacts facts, const char* domain, Sts verdict = Sts::Pass, std::uint32_t messages = 1) {
  facts.mail = SessionFacts::Mail::Named;
  facts.deliveries.push_back({name(domain), messages, verdict, facts.handshake ? facts.handshake->sni : Sni::None});
  return facts;
}

}  // namespace postern::report::test
