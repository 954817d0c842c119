#include "daemon/app/admin_answers.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/app/metrics.h"
#include "daemon/app/page.h"
#include "daemon/app/page_files.h"
#include "observe/exposition.h"

namespace postern::app {

namespace {

constexpr Duration page_data_for = std::chrono::seconds(1);

/// The window that "/status.json?window=1h" asks for; that of PageRequest if it asks for none. Only known ones: answers
/// are kept by window.
std::optional<std::string> window_of(std::string_view target) {
  const auto query = target.find('?');
  if (query == std::string_view::npos) return control::PageRequest().window;
  for (const std::string_view window : {"1h", "24h", "7d"}) {
    if (target.substr(query + 1) == "window=" + std::string(window)) return std::string(window);
  }
  return std::nullopt;
}

http::Response json(std::string text) { return {.content_type = "application/json", .body = std::move(text)}; }

}  // namespace

void AdminAnswers::answer(const http::Request& request, Duration expires_within, Answer reply) {
  const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
  if (path == "/healthz") return reply(health());
  if (path == "/readyz") return answer_readiness(std::move(reply));
  if (path == "/status.json") return answer_page_data(request.target, std::move(reply));
  if (const PageFile* file = find_page_file(path)) {
    return reply({.content_type = std::string(file->content_type), .body = std::string(file->content)});
  }
  if (path != "/metrics") return reply(http::not_found());
  ask_workers(sources_(), {}, [this, expires_within, reply = std::move(reply)](const Overview& overview) {
    reply({.content_type = std::string(observe::Exposition::content_type),
           .body = metrics_text(sources_(), overview, expires_within, uv::wall_time())});
  });
}

/// Alive are the loops that turn: every sample is an answer of all workers.
http::Response AdminAnswers::health() const {
  constexpr Duration stuck_after = std::chrono::seconds(60);
  const StatusSources sources = sources_();
  const auto quiet = uv::monotonic_now() - std::max(sources.rates.sampled_at(), sources.started);
  const bool alive = sources.ending || quiet < stuck_after;
  return {.status = alive ? 200 : 503, .body = alive ? "alive\n" : "a worker has not answered for a minute\n"};
}

void AdminAnswers::answer_readiness(Answer reply) const {
  ask_workers(sources_(), {}, [this, reply = std::move(reply)](const Overview& overview) {
    const auto reasons = not_ready(sources_(), overview);
    http::Response response{.status = reasons.empty() ? 200 : 503, .body = reasons.empty() ? "ready\n" : ""};
    for (const std::string& reason : reasons) response.body += "not ready: " + reason + "\n";
    reply(response);
  });
}

void AdminAnswers::answer_page_data(const std::string& target, Answer reply) {
  const auto window = window_of(target);
  if (!window) return reply(http::refusal(400, "Expected ?window=1h, 24h or 7d."));
  PageData& data = pages_[*window];
  if (!data.text.empty() && uv::monotonic_now() - data.made_at < page_data_for) return reply(json(data.text));
  data.waiting.push_back(std::move(reply));
  if (data.waiting.size() > 1) return;
  answer_with_page(sources_(), control::PageRequest{*window}, [&data](const control::Reply& made) {
    data.text = control::to_json(made);
    data.made_at = uv::monotonic_now();
    for (const Answer& waiting : std::exchange(data.waiting, {})) waiting(json(data.text));
  });
}

}  // namespace postern::app
