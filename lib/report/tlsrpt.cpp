#include "report/tlsrpt.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "report/gzip.h"
#include "report/mime.h"

namespace postern::report {

namespace {

using Json = nlohmann::json;

/// Looked at before parsing, since the parser would follow any depth.
bool nests_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > json_nesting_max) return true;
    } else if (c == '}' || c == ']') {
      depth -= depth == 0 ? 0 : 1;
    }
  }
  return false;
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* key) {
  const auto* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

/// Some senders write numbers as strings.
std::uint64_t count_of(const Json& object, const char* key) {
  const auto* value = member(object, key);
  if (value == nullptr) return 0;
  if (value->is_number_unsigned()) return value->get<std::uint64_t>();
  return value->is_string() ? parse_decimal(value->get_ref<const std::string&>()).value_or(0) : 0;
}

/// A list of texts, or one alone.
std::vector<std::string> texts_of(const Json& object, const char* key) {
  std::vector<std::string> texts;
  const auto* value = member(object, key);
  if (value == nullptr) return texts;
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) return texts;
  for (const Json& item : *value) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

TlsFailure read_failure(const Json& json) {
  TlsFailure failure;
  failure.result = text_of(json, "result-type");
  failure.sending_ip = text_of(json, "sending-mta-ip");
  failure.receiving_mx = text_of(json, "receiving-mx-hostname");
  failure.receiving_ip = text_of(json, "receiving-ip");
  failure.information = text_of(json, "additional-information");
  if (failure.information.empty()) failure.information = text_of(json, "failure-reason-code");
  failure.sessions = count_of(json, "failed-session-count");
  return failure;
}

TlsPolicyResult read_policy(const Json& json) {
  TlsPolicyResult result;
  if (const auto* policy = member(json, "policy")) {
    result.type = text_of(*policy, "policy-type");
    result.domain = text_of(*policy, "policy-domain");
    result.mx_hosts = texts_of(*policy, "mx-host");
  }
  if (const auto* summary = member(json, "summary")) {
    result.successful = count_of(*summary, "total-successful-session-count");
    result.failed = count_of(*summary, "total-failure-session-count");
  }
  if (const auto* details = member(json, "failure-details"); details != nullptr && details->is_array()) {
    for (const Json& detail : *details) result.failures.push_back(read_failure(detail));
  }
  return result;
}

Result<TlsReport> read_plain(std::string_view octets) {
  if (!is_gzip(octets)) return read_tls_report_json(octets);
  const auto text = gunzip(octets, report_octets_max);
  if (!text) return fail_with(text.error());
  return read_tls_report_json(*text);
}

bool may_hold_report(const MimePart& part) {
  for (const char* type : {"application/tlsrpt+json", "application/tlsrpt+gzip", "application/json", "application/gzip",
                           "application/x-gzip", "application/octet-stream"}) {
    if (part.type == type) return true;
  }
  return false;
}

Result<TlsReport> read_mail(std::string_view octets) {
  Result<TlsReport> read = fail("it is a mail without a report in it (an attachment of the type application/tlsrpt+gzip or +json)");
  each_part(octets, [&](const MimePart& part) {
    if (!may_hold_report(part)) return false;
    const auto attached = part.decoded();
    read = attached ? read_plain(*attached) : Result<TlsReport>(fail("the attachment is not the base64 that it says to be"));
    return read.has_value();
  });
  return read;
}

}  // namespace

Result<TlsReport> read_tls_report_json(std::string_view text) {
  if (text.size() > report_octets_max) return fail("it is longer than {} octets", report_octets_max);
  if (nests_too_deep(text)) return fail("its JSON nests more than {} deep", json_nesting_max);
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail("it is no JSON");
  const auto* policies = member(json, "policies");
  if (policies == nullptr || !policies->is_array()) return fail("it is no TLS report: it has no list \"policies\"");
  TlsReport report;
  report.organization = text_of(json, "organization-name");
  report.contact = text_of(json, "contact-info");
  report.id = text_of(json, "report-id");
  if (const auto* range = member(json, "date-range")) {
    report.begin = text_of(*range, "start-datetime");
    report.end = text_of(*range, "end-datetime");
  }
  for (const Json& policy : *policies) report.policies.push_back(read_policy(policy));
  return report;
}

Result<TlsReport> read_tls_report(std::string_view octets) {
  if (octets.size() > report_file_octets_max) return fail("it is longer than {} octets", report_file_octets_max);
  if (!is_gzip(octets) && looks_like_mail(octets)) return read_mail(octets);
  return read_plain(octets);
}

}  // namespace postern::report
