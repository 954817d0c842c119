// What stands in a `[[backend]]` with deliver = "smtp-proxy" besides what every backend has.
#include <fmt/format.h>

#include <initializer_list>

#include "base/text.h"
#include "config/readers.h"
#include "relay/offers.h"

namespace postern::config {

namespace {

using delivery::PassThrough;

void read_extensions(const Section& section, PassThrough& settings) {
  for (const Text& text : section.texts("pass_extensions")) {
    if (relay::must_not_pass(text.value)) {
      section.error(text.place, "pass_extensions",
                    fmt::format("{} cannot pass: it would let clients do what the MTA grants to us, or needs what this "
                                "version cannot do{}",
                                escaped(text.value, 40),
                                equals_ignoring_case(text.value, "AUTH") ? "; for AUTH there is allow_auth" : ""));
    } else {
      settings.pass_extensions.push_back(text.value);
    }
  }
}

}  // namespace

delivery::PassThrough read_pass_through(const Section& section) {
  PassThrough settings;
  section.choice("connect", settings.connect,
                 {{"late", PassThrough::Connect::Late}, {"early", PassThrough::Connect::Early}});
  section.require("identity",
                  "how the MTA is told who the client is: \"proxy-v2\", \"proxy-v1\" or \"xclient\"; without it every "
                  "client would have the rights of this host there");
  section.choice("identity", settings.identity,
                 {{"proxy-v1", PassThrough::Identity::ProxyV1},
                  {"proxy-v2", PassThrough::Identity::ProxyV2},
                  {"xclient", PassThrough::Identity::Xclient}});
  section.choice("profile", settings.profile,
                 {{"postfix", PassThrough::Profile::Postfix}, {"exim", PassThrough::Profile::Exim}});
  bool allow_auth = false;
  section.boolean("allow_auth", allow_auth);
  if (allow_auth) settings.authentication = PassThrough::Authentication::Passed;
  bool trace = false;
  section.boolean("trace", trace);
  if (trace) settings.trace = PassThrough::Trace::Received;
  read_extensions(section, settings);
  for (const std::string_view key : {"recipients", "max_connections", "idle", "balance", "local_parts"}) {
    if (section.has(key)) section.warning(key, "means nothing with deliver = \"smtp-proxy\": each session has its own connection");
  }
  return settings;
}

void refuse_pass_through_keys(const Section& section) {
  for (const std::string_view key : {"connect", "profile", "allow_auth", "pass_extensions", "trace"}) {
    if (section.has(key)) section.warning(key, "means nothing except with deliver = \"smtp-proxy\"");
  }
}

}  // namespace postern::config
