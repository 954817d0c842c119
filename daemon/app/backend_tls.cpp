#include "daemon/app/backend_tls.h"

#include <map>
#include <memory>
#include <utility>

#include "certs/anchors.h"
#include "certs/loader.h"

namespace postern::app {

namespace {

constexpr std::size_t file_octets_max = 4 * 1024 * 1024;  // the anchors of a system are a quarter of it

Result<std::string> anchor_file(certs::FileSource& files, const std::string& configured) {
  if (!configured.empty()) return configured;
  if (auto path = certs::system_anchor_file(files)) return std::move(*path);
  return fail("this system has no file of trust anchors (the package ca-certificates has one): name one with tls_ca");
}

class ContextMaker {
 public:
  explicit ContextMaker(certs::FileSource& files) : files_(files) {}

  Result<std::shared_ptr<const tls::ClientContext>> make(const delivery::BackendTls& tls) {
    tls::PeerCheck check{tls::PeerCheck::Mode::Roots, {}, nullptr, tls::RsaKeys::Outside};
    const auto anchors = anchor_file(files_, tls.ca);
    if (!anchors) return fail_with(anchors.error());
    auto roots = read(*anchors);
    if (!roots) return fail_with(roots.error());
    check.roots_pem = std::move(*roots);
    if (!tls.certificate.empty()) {
      const auto chain = read(tls.certificate);
      if (!chain) return fail_with(chain.error());
      const auto key = read(tls.key);
      if (!key) return fail_with(key.error());
      auto credential = tls::make_credential(*chain, tls.certificate, *key, tls.key);
      if (!credential) return fail_with(credential.error());
      check.credential = std::move(*credential);
    }
    auto context = tls::ClientContext::make(check);
    if (!context) return fail("{}: {}", *anchors, context.error().text);
    return context;
  }

 private:
  Result<std::string> read(const std::string& path) {
    auto contents = files_.read(path, file_octets_max);
    if (!contents) return fail_with(contents.error());
    return std::move(contents->bytes);
  }

  certs::FileSource& files_;
};

}  // namespace

tl::expected<session::BackendTlsContexts, std::vector<std::string>> make_backend_tls(
    const std::vector<delivery::BackendSettings>& backends, certs::FileSource& files) {
  session::BackendTlsContexts made;
  std::vector<std::string> errors;
  ContextMaker maker(files);
  for (const auto& backend : backends) {
    if (backend.tls.mode == delivery::BackendTls::Mode::Off) continue;
    if (auto context = maker.make(backend.tls)) {
      made.emplace(backend.name, std::move(*context));
    } else {
      errors.push_back(fmt::format("backend \"{}\": {}", backend.name, context.error().text));
    }
  }
  if (!errors.empty()) return tl::unexpected(std::move(errors));
  return made;
}

}  // namespace postern::app
