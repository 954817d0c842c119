// What one session shows for the score of senders (lib/report): the handshake, how the client took our certificate, and
// to which domains it brought mail. Shared by the session and its transactions, which ask it for the `sts=` of their log
// lines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/shared_view.h"
#include "daemon/session/chain_trust.h"
#include "daemon/session/reverse_dns.h"
#include "daemon/session/settings.h"
#include "observe/event.h"
#include "report/event.h"
#include "smtp/address.h"
#include "tls/stream.h"

namespace postern::session {

/// Where the sessions of a worker bring what they showed.
class ScoreSink {
 public:
  virtual ~ScoreSink() = default;
  virtual void add(report::SessionFacts facts) = 0;
};

/// What the scores of sessions need of their worker; outlives them.
struct ScoreServices {
  ScoreSink& sink;
  ChainTrust& trust;
  View<RunSettings>& settings;
};

class SessionScore {
 public:
  explicit SessionScore(ScoreServices& services) : services_(services) {}

  /// Before the stream forgets the handshake.
  void established(const tls::Stream& stream);

  /// What the client did that ended the connection; of several the first counts.
  enum class End : std::uint8_t {
    Ours,    ///< it did nothing: a time limit, a shut-down, a fault of ours
    Quit,
    Closed,
    Reset,
  };
  void ended(End how);
  /// A TLS handshake, or the connection under it, has broken. `stream` may have forgotten the handshake.
  void broke(const tls::Stream& stream, const std::string& reason, std::optional<int> alert_received,
             std::optional<int> alert_sent);
  /// The end of a handshake that gave no alert.
  void gave_up(const tls::Stream& stream, const std::string& reason, End how);

  void mail_named() { mail_ = report::SessionFacts::Mail::Named; }
  /// What a validating sender makes of this connection, for a recipient's domain; empty when it is none.
  std::string sts(const smtp::ForwardPath& recipient) const;
  /// A message was taken for a recipient.
  void took(const smtp::ForwardPath& recipient, const std::string& transaction);

  enum class Hello : std::uint8_t { Missing, Said };  ///< EHLO, over TLS where there is TLS
  /// The session is over: tells the sink, once it is known who the client is.
  void finish(const observe::SessionRecord& record, const std::optional<ClientDnsName>& name, Hello hello);
  void named(const ClientDnsName& name);

 private:
  struct Taken {
    report::Delivery delivery;
    std::string transaction;  // the last that was counted
  };
  void look(const tls::Stream& stream);
  report::FailedHandshake failure(const tls::Stream& stream, const std::string& reason) const;
  report::Sts judge(const DnsName& domain) const;
  bool is_ours(const DnsName& server_name) const;
  report::Reception reception(Hello hello) const;

  ScoreServices& services_;
  std::shared_ptr<const tls::Credential> credential_;
  std::optional<DnsName> server_name_;
  report::Sni sni_ = report::Sni::None;
  report::TlsVersion version_ = report::TlsVersion::None;
  report::Handshake::Resumption resumption_ = report::Handshake::Resumption::Full;
  enum class Tls : std::uint8_t { None, Broken, Established } tls_ = Tls::None;
  report::SessionFacts::Mail mail_ = report::SessionFacts::Mail::None;
  std::optional<End> end_;
  std::optional<int> alert_;
  std::optional<report::FailedHandshake> failure_;
  std::vector<Taken> taken_;
  std::optional<report::SessionFacts> waiting_for_name_;
};

}  // namespace postern::session
