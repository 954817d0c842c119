#include "smtp/dot_stuffing.h"

#include <cstring>

namespace postern::smtp {

void DotStuffing::append(std::string& out, std::string_view piece) {
  if (piece.empty()) return;
  // One allocation, or none: stuffing adds little.
  if (out.capacity() - out.size() < piece.size()) out.reserve(out.size() + piece.size() + piece.size() / 64 + 8);
  if (last_ == '\n' && piece.front() == '.') out += '.';
  std::size_t copied = 0;
  // A line begins behind any LF: should a lone one ever get here, a dot behind it must not end the message at a peer
  // that takes it for a line end. Dots are rarer than lines, so they are what is looked for.
  for (std::size_t from = 1; from < piece.size();) {
    const void* found = std::memchr(piece.data() + from, '.', piece.size() - from);
    if (found == nullptr) break;
    const auto dot = static_cast<std::size_t>(static_cast<const char*>(found) - piece.data());
    if (piece[dot - 1] == '\n') {
      out.append(piece.substr(copied, dot - copied));
      out += '.';
      copied = dot;
    }
    from = dot + 1;
  }
  out.append(piece.substr(copied));
  before_last_ = piece.size() > 1 ? piece[piece.size() - 2] : last_;
  last_ = piece.back();
}

void DotStuffing::finish(std::string& out) const {
  if (last_ == '\r') {
    out += '\n';
  } else if (last_ != '\n' || before_last_ != '\r') {
    out += "\r\n";
  }
  out += ".\r\n";
}

}  // namespace postern::smtp
