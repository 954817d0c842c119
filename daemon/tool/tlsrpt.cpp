#include "daemon/tool/tlsrpt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/dns_name.h"
#include "base/text.h"

namespace postern::tool {

namespace {

namespace fs = std::filesystem;

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

std::string to_json(const Reader& reader, const std::vector<report::TlsReportRow>& rows) {
  nlohmann::ordered_json made;
  made["reports"] = reader.table.reports();
  made["begin"] = reader.table.begin();
  made["end"] = reader.table.end();
  made["other_mails"] = reader.other_mails;
  made["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    made["rows"].push_back({{"domain", row.domain},
                            {"sender", row.sender},
                            {"result", row.result},
                            {"mx", row.mx},
                            {"sessions", row.sessions}});
  }
  made["sessions_left_out"] = reader.table.left_out();
  return made.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

}  // namespace

std::string tlsrpt_text(const std::vector<report::TlsReportRow>& rows) {
  std::size_t domain = 6, sender = 6, result = 6;
  for (const auto& row : rows) {
    domain = std::max(domain, row.domain.size());
    sender = std::max(sender, row.sender.size());
    result = std::max(result, row.result.size());
  }
  std::string text =
      fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {}\n", "DOMAIN", domain, "SENDER", sender, "RESULT", result, "SESSIONS", "MX");
  for (const auto& row : rows) {
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {}\n", or_dash(row.domain), domain, or_dash(row.sender), sender,
                        or_dash(row.result), result, row.sessions, or_dash(row.mx));
  }
  return text;
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
  if (arguments.format == Format::Json) {
    print(to_json(reader, rows));
  } else if (reader.table.reports() != 0) {
    std::string text = tlsrpt_text(rows);
    text += fmt::format("{} report{}, from {} to {}\n", reader.table.reports(), reader.table.reports() == 1 ? "" : "s",
                        or_dash(reader.table.begin()), or_dash(reader.table.end()));
    if (reader.table.left_out() != 0) text += fmt::format("{} sessions more in rows that found no room\n", reader.table.left_out());
    print(text);
  }
  if (arguments.format == Format::Text && reader.other_mails != 0) {
    print(fmt::format("{} mails hold no report", reader.other_mails));
  }
  return reader.failed ? exit_failure : exit_ok;
}

}  // namespace postern::tool
