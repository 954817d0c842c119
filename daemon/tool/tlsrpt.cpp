#include "daemon/tool/tlsrpt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <variant>

#include "base/dns_name.h"
#include "base/text.h"
#include "daemon/tool/table.h"
#include "daemon/session/control_client.h"

namespace postern::tool {

namespace {

namespace fs = std::filesystem;

constexpr Duration answer_within = std::chrono::seconds(30);
constexpr std::size_t score_domains_max = 100;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// No more than tells that it is too long.
Result<std::string> read_all(std::FILE* file, const std::string& name) {
  std::string octets;
  std::array<char, 64 * 1024> piece{};
  while (octets.size() <= report::report_file_octets_max) {
    const auto count = std::fread(piece.data(), 1, piece.size(), file);
    octets.append(piece.data(), count);
    if (count == piece.size()) continue;
    if (std::ferror(file) != 0) return fail("{}: {}", name, std::generic_category().message(errno));
    return octets;
  }
  return fail("{}: it is longer than {} octets: that is no report", name, report::report_file_octets_max);
}

Result<std::string> read_named(const std::string& path) {
  if (path == "-") return read_all(stdin, "standard input");
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!error && !fs::is_regular_file(status) && !fs::is_fifo(status)) return fail("{}: it is no file", path);
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return fail("{}: {}", path, std::generic_category().message(errno));
  return read_all(file.get(), path);
}

struct Reader {
  report::TlsReportTable table;
  std::uint64_t other_mails = 0;
  bool failed = false;

  void take_file(const std::string& path) {
    const auto octets = read_named(path);
    const auto report = octets ? report::read_tls_report(*octets) : Result<report::TlsReport>(fail_with(octets.error()));
    if (report) return table.add(*report);
    complain(octets ? fmt::format("{}: {}", path, report.error().text) : report.error().text);
    failed = true;
  }

  void take_maildir(const std::string& path) {
    bool any = false;
    for (const char* folder : {"/new", "/cur"}) {
      std::error_code error;
      for (fs::directory_iterator mail(path + folder, error), end; !error && mail != end; mail.increment(error)) {
        const auto octets = read_named(mail->path().string());
        const auto report = octets ? report::read_tls_report(*octets) : Result<report::TlsReport>(fail_with(octets.error()));
        if (report) {
          table.add(*report);
        } else {
          ++other_mails;
        }
      }
      any = any || !error;
    }
    if (any) return;
    complain(fmt::format("{}: it is no Maildir that can be read: it has neither new/ nor cur/", path));
    failed = true;
  }
};

nlohmann::ordered_json about(const Reader& reader) {
  nlohmann::ordered_json made;
  made["reports"] = reader.table.reports();
  made["begin"] = reader.table.begin();
  made["end"] = reader.table.end();
  made["other_mails"] = reader.other_mails;
  return made;
}

std::string finished(nlohmann::ordered_json made, const Reader& reader) {
  made["sessions_left_out"] = reader.table.left_out();
  return made.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string to_json(const Reader& reader, const std::vector<report::TlsReportRow>& rows) {
  auto made = about(reader);
  made["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    made["rows"].push_back({{"domain", row.domain},
                            {"sender", row.sender},
                            {"result", row.result},
                            {"mx", row.mx},
                            {"sessions", row.sessions}});
  }
  return finished(std::move(made), reader);
}

std::string to_json(const Reader& reader, const std::string& window, const std::vector<report::ComparedRow>& rows) {
  auto made = about(reader);
  made["window"] = window;
  made["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    made["rows"].push_back({{"domain", row.domain},
                            {"sender", row.sender},
                            {"organization", row.organization},
                            {"result", row.result},
                            {"reported", row.reported},
                            {"seen", row.seen}});
  }
  return finished(std::move(made), reader);
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

/// Below a table.
std::string closing(const Reader& reader) {
  std::string text = fmt::format("{}, from {} to {}\n", counted(reader.table.reports(), "report"), or_dash(reader.table.begin()), or_dash(reader.table.end()));
  if (reader.table.left_out() != 0) text += fmt::format("{} more in rows that found no room\n", counted(reader.table.left_out(), "session"));
  return text;
}

/// The score of the domains that the reports are about, and of the one that was asked for. Reports come from anybody: what
/// posternd does not know as a domain is left alone, and not more is asked than an operator would wait for.
Result<std::vector<report::OwnFinding>> ask_score(const TlsrptArguments& arguments,
                                                  const std::vector<report::TlsReportRow>& rows) {
  std::set<std::string> domains;
  for (const auto& row : rows) domains.insert(row.domain);
  if (const auto name = DnsName::from_utf8(arguments.domain)) domains.insert(name->text());
  if (domains.size() > score_domains_max) {
    return fail("the reports are about {} domains, and the score is asked for {} at most: name one with --domain", domains.size(),
                score_domains_max);
  }
  std::vector<report::OwnFinding> found;
  for (const std::string& domain : domains) {
    const auto reply = session::ask_control(arguments.control, control::SniDomainRequest{domain, arguments.window}, answer_within);
    if (!reply) return fail_with(reply.error());
    const auto* answer = std::get_if<control::SniDomainReply>(&*reply);
    if (answer == nullptr) continue;
    for (auto& finding : own_findings(*answer)) found.push_back(std::move(finding));
  }
  return found;
}

int print_comparison(const TlsrptArguments& arguments, const Reader& reader, const std::vector<report::TlsReportRow>& rows) {
  const auto seen = ask_score(arguments, rows);
  if (!seen) {
    complain(seen.error().text);
    return exit_failure;
  }
  const auto compared = report::compare(rows, *seen);
  if (arguments.format == Format::Json) {
    print(to_json(reader, arguments.window, compared));
  } else {
    print(comparison_text(compared) + closing(reader) +
          fmt::format("SEEN: messages taken, and handshakes refused, in the last {}\n", arguments.window));
  }
  return exit_ok;
}

void print_reports(const TlsrptArguments& arguments, const Reader& reader, const std::vector<report::TlsReportRow>& rows) {
  if (arguments.format == Format::Json) {
    print(to_json(reader, rows));
  } else if (reader.table.reports() != 0) {
    print(tlsrpt_text(rows) + closing(reader));
  }
}

}  // namespace

std::string tlsrpt_text(const std::vector<report::TlsReportRow>& rows) {
  Table table({{"DOMAIN"}, {"SENDER"}, {"RESULT"}, {"SESSIONS", Table::Side::Right}, {"MX"}});
  for (const auto& row : rows) table.row({row.domain, row.sender, row.result, fmt::format("{}", row.sessions), row.mx});
  return table.take();
}

std::string comparison_text(const std::vector<report::ComparedRow>& rows) {
  Table table({{"DOMAIN"}, {"SENDER"}, {"RESULT"}, {"REPORTED", Table::Side::Right}, {"SEEN", Table::Side::Right}});
  for (const auto& row : rows) {
    const bool both = !row.organization.empty() && row.organization != row.sender;
    table.row({row.domain, both ? fmt::format("{} ({})", row.sender, row.organization) : row.sender, row.result,
               fmt::format("{}", row.reported), fmt::format("{}", row.seen)});
  }
  return table.take();
}

std::vector<report::OwnFinding> own_findings(const control::SniDomainReply& reply) {
  std::vector<report::OwnFinding> made;
  const auto add = [&](const std::string& sender, std::string result, std::uint64_t count) {
    made.push_back({reply.domain, sender, std::move(result), count});
  };
  for (const auto& one : reply.senders) {
    add(one.sender, "ok", one.ok);
    for (const auto& why : one.why) add(one.sender, report::reported_as(why.kind), why.count);
    add(one.sender, "no SNI", one.without_sni);
    add(one.sender, "in clear", one.in_clear);
  }
  for (const auto& refusal : reply.refusals) {
    for (const auto& how : refusal.how) add(refusal.sender, report::reported_as(how.kind), how.count);
  }
  for (const auto& refusal : reply.nameless_refusals) {
    // Only who came back with mail for this domain is known to have meant it.
    if (std::find(refusal.domains.begin(), refusal.domains.end(), reply.domain) == refusal.domains.end()) continue;
    for (const auto& how : refusal.how) add(refusal.sender, report::reported_as(how.kind), how.count);
  }
  return made;
}

int tlsrpt(const TlsrptArguments& arguments) {
  Reader reader;
  for (const auto& file : arguments.files) reader.take_file(file);
  for (const auto& maildir : arguments.maildirs) reader.take_maildir(maildir);
  auto rows = reader.table.rows();
  if (!arguments.domain.empty()) {
    const auto name = DnsName::from_utf8(arguments.domain);
    if (!name) {
      complain(fmt::format("\"{}\" is no domain", escaped(arguments.domain, 80)));
      return exit_usage;
    }
    std::erase_if(rows, [&](const report::TlsReportRow& row) { return row.domain != name->text(); });
  }
  int code = exit_ok;
  if (arguments.beside == TlsrptArguments::Beside::Score) {
    code = print_comparison(arguments, reader, rows);
  } else {
    print_reports(arguments, reader, rows);
  }
  if (arguments.format == Format::Text && reader.other_mails != 0) {
    print(fmt::format("{} mails hold no report", reader.other_mails));
  }
  return reader.failed ? exit_failure : code;
}

}  // namespace postern::tool
