#include "daemon/tool/certs.h"

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <utility>
#include <variant>

#include "base/text.h"
#include "daemon/session/certificate_report.h"
#include "daemon/session/control_client.h"
#include "daemon/tool/configured.h"
#include "daemon/uv/loop.h"

namespace postern::tool {
namespace {

// A page is short work, but a daemon that is just loading 10^5 certificates answers when it is done.
constexpr Duration answer_within = std::chrono::minutes(5);
constexpr std::size_t names_shown_max = 3;
constexpr std::size_t lines_shown_max = 50;

/// Who answers: a daemon, or this process for a configuration that it reads itself.
using Ask = std::function<Result<control::Reply>(const control::Request&)>;

class OwnMap {
 public:
  explicit OwnMap(std::unique_ptr<Configured> configured) : own_(std::move(configured)) {}

  Result<control::Reply> answer(const control::Request& request) const {
    if (const auto* list = std::get_if<control::CertificatesRequest>(&request)) {
      return session::list_certificates(own_->loader, *own_->map, *list, uv::wall_time());
    }
    auto reply = session::explain_name(own_->loader, *own_->map, std::get<control::ExplainRequest>(request), uv::wall_time());
    if (auto* explained = std::get_if<control::ExplainReply>(&reply)) {
      for (const auto& listener : own_->config.run.listeners) {
        if (listener.tls == config::ListenerTls::None) continue;
        for (const auto& address : listener.addresses) {
          explained->defaults.push_back(
              session::default_certificate(address.text(), listener.default_certificate, *own_->map));
        }
      }
    }
    return reply;
  }

 private:
  std::unique_ptr<Configured> own_;
};

/// The reply if it is of this kind; else says what came instead.
template <class Kind>
std::optional<Kind> expect(const Result<control::Reply>& reply) {
  if (!reply) {
    complain(reply.error().text);
    return std::nullopt;
  }
  if (const auto* kind = std::get_if<Kind>(&*reply)) return *kind;
  const auto* error = std::get_if<control::ErrorReply>(&*reply);
  complain(error != nullptr ? error->text : "posternd answered something else than it was asked");
  return std::nullopt;
}

std::string listed(const std::vector<std::string>& names, std::uint64_t count) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < names_shown_max; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (count > names_shown_max) text += fmt::format(" and {} more", count - names_shown_max);
  return text;
}

/// Page after page, so that neither side ever holds a list of 10^5 certificates. With --json one object a line.
int list(const Ask& ask, control::CertificatesRequest request, Format format) {
  bool good = true;
  Table table = certificates_table();
  bool any = false;
  do {
    const auto page = expect<control::CertificatesReply>(ask(request));
    if (!page) return exit_failure;
    std::string text;
    for (const auto& row : page->certificates) {
      any = true;
      good = good && row.state != "failed" && row.state != "expired";
      if (format == Format::Json) {
        text += control::to_json(row) + '\n';
      } else {
        add_certificate(table, row);
      }
    }
    text += table.take();
    if (!text.empty()) print(text);
    request.from = page->next;
  } while (request.from != 0);
  if (!any && format == Format::Text) print("no such certificate");
  return good ? exit_ok : exit_failure;
}

}  // namespace

Table certificates_table() {
  return Table({{"STATE"}, {"KEY"}, {"DAYS", Table::Side::Right}, {"ISSUER"}, {"NAMES"}, {"FILE"}});
}

void add_certificate(Table& table, const control::CertificateRow& row) {
  const bool there = !row.key.empty();
  table.row({row.state, row.key, there ? fmt::format("{}", row.days_left) : "", row.issuer,
             listed(row.names, row.name_count), row.source});
  if (!row.reason.empty()) {
    table.line(fmt::format("    {}{}", row.reason, row.since.empty() ? "" : ", since " + row.since));
  }
  const bool served = row.state == "served" || row.state == "incomplete";
  if (served && row.served_count < row.name_count) {
    table.line(fmt::format("    for {} of its {}; others have another certificate", row.served_count,
                           counted(row.name_count, "name")));
  }
}

std::string explain_text(const control::ExplainReply& reply) {
  std::string text;
  for (const auto& step : reply.steps) text += step + '\n';
  const auto files = [](const std::vector<std::string>& sources) {
    std::string list;
    for (const auto& source : sources) list += (list.empty() ? "" : " and ") + source;
    return list.empty() ? std::string("nothing") : list;
  };
  if (!reply.key.empty()) return text + fmt::format("served: {}\n", files(reply.sources));
  for (const auto& fallback : reply.defaults) {
    text += fmt::format("served at {}: {} ({})\n", fallback.address, files(fallback.sources), fallback.certificate);
  }
  return text;
}

std::string versions_text(const control::VersionsReply& reply) {
  using Side = Table::Side;
  Table table({{"VERSION", Side::Right}, {"TIME"}, {"NAMES", Side::Right}, {"CERTS", Side::Right}, {"ADDED", Side::Right},
               {"REMOVED", Side::Right}, {"RENEWED", Side::Right}, {"WORSE", Side::Right}, {"FAULTS", Side::Right}, {""}});
  for (const auto& version : reply.versions) {
    const std::string_view standing = version.version == reply.pinned_version ? "live, pinned" : version.live ? "live" : " ";
    table.row({fmt::format("{}", version.version), version.time, fmt::format("{}", version.names),
               fmt::format("{}", version.certificates), fmt::format("{}", version.added), fmt::format("{}", version.removed),
               fmt::format("{}", version.renewed), fmt::format("{}", version.worse), fmt::format("{}", version.faults),
               std::string(standing)});
  }
  return table.take();
}

std::string rollback_text(const control::RollbackReply& reply) {
  std::string text = fmt::format("version {} of the certificate map is live until the next `postern reload`\n", reply.version);
  append_lines(text, "added", reply.added, lines_shown_max);
  append_lines(text, "renewed", reply.renewed, lines_shown_max);
  append_lines(text, "removed", reply.removed, lines_shown_max);
  append_lines(text, "missing", reply.missing, lines_shown_max);
  return text;
}

int certs(const CertsArguments& arguments) {
  Ask ask = [&](const control::Request& request) {
    return session::ask_control(arguments.control, request, answer_within);
  };
  if (!arguments.configuration.empty()) {
    auto read = read_configuration(arguments.configuration, Reading::AsConfigured);
    if (!read) {
      complain(read.error().text);
      return exit_failure;
    }
    ask = [own = std::make_shared<OwnMap>(std::move(*read))](const control::Request& request) {
      return own->answer(request);
    };
  }
  const auto show = [&](const control::Reply& reply, const std::string& text) {
    print(arguments.format == Format::Json ? control::to_json(reply) : text);
  };
  if (arguments.rollback) {
    const auto reply = expect<control::RollbackReply>(ask(control::RollbackRequest{*arguments.rollback}));
    if (!reply) return exit_failure;
    show(*reply, rollback_text(*reply));
    return reply->missing.empty() ? exit_ok : exit_failure;
  }
  if (arguments.versions) {
    const auto reply = expect<control::VersionsReply>(ask(control::VersionsRequest{}));
    if (!reply) return exit_failure;
    show(*reply, versions_text(*reply));
    return exit_ok;
  }
  if (!arguments.name.empty()) {
    const auto reply = expect<control::ExplainReply>(ask(control::ExplainRequest{arguments.name}));
    if (!reply) return exit_failure;
    show(*reply, explain_text(*reply));
    return reply->key.empty() ? exit_failure : exit_ok;
  }
  return list(ask, arguments.filter, arguments.format);
}

}  // namespace postern::tool
