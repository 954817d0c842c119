#include "report/event.h"

namespace postern::report {

namespace {

constexpr std::array<std::string_view, reception_count> receptions{
    "accepted",
    "left without MAIL",
    "handshake failed",
    "alert bad_certificate",
    "alert unsupported_certificate",
    "alert certificate_revoked",
    "alert certificate_expired",
    "alert certificate_unknown",
    "alert unknown_ca",
    "another alert",
    "QUIT after the handshake",
    "connection reset",
    "connection closed",
};

constexpr std::array<std::string_view, sts_count> verdicts{
    "pass",           "fail:clear",    "fail:name",         "fail:expired", "fail:not-yet-valid",
    "fail:untrusted", "fail:other-mx", "fail:domain-as-sni"};

}  // namespace

std::string_view to_string(Reception reception) { return receptions.at(static_cast<std::size_t>(reception)); }

std::string_view to_string(Sts verdict) { return verdicts.at(static_cast<std::size_t>(verdict)); }

// RFC 8446 section 6.2.
Reception reception_of_alert(int alert, AlertMoment moment) {
  switch (alert) {
    case 0: return Reception::Closed;  // close_notify
    case 42: return Reception::BadCertificate;
    case 43: return Reception::UnsupportedCertificate;
    case 44: return Reception::CertificateRevoked;
    case 45: return Reception::CertificateExpired;
    case 46: return Reception::CertificateUnknown;
    case 48: return Reception::UnknownCa;
    case 49:   // access_denied
    case 113:  // bad_certificate_status_response
      return Reception::OtherAlert;
    default: return moment == AlertMoment::Afterwards ? Reception::OtherAlert : Reception::Failed;
  }
}

}  // namespace postern::report
