#include "certs/binary.h"

#include "certs/loader.h"
#include "tls/digest.h"

namespace postern::certs {

namespace {

std::string_view view_of(const tls::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

void write_state(BinaryWriter& out, const FileState& state) {
  out.number(state.device);
  out.number(state.inode);
  out.number(state.size);
  out.number(static_cast<std::uint64_t>(state.mtime_ns));
  out.number(static_cast<std::uint64_t>(state.ctime_ns));
}

FileState read_state(BinaryReader& in) {
  FileState state;
  state.device = in.number();
  state.inode = in.number();
  state.size = in.number();
  state.mtime_ns = static_cast<std::int64_t>(in.number());
  state.ctime_ns = static_cast<std::int64_t>(in.number());
  return state;
}

std::string with_digest(std::string content) {
  const auto digest = tls::sha256(content);
  content += view_of(digest);
  return content;
}

Result<std::string_view> checked_content(std::string_view octets) {
  if (octets.size() < tls::Digest().size()) return fail("is cut off");
  const auto content = octets.substr(0, octets.size() - tls::Digest().size());
  if (view_of(tls::sha256(content)) != octets.substr(content.size())) {
    return fail("is damaged: its digest is another one");
  }
  return content;
}

}  // namespace postern::certs
