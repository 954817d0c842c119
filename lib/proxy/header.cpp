// Version 1, and what both versions share. Version 2 is in header_v2.cpp.
#include "proxy/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "proxy/header_v2.h"

namespace postern::proxy {

namespace {

constexpr std::string_view v1_start = "PROXY ";

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const bool short_form = text.size() == 1 || !text.starts_with('0');
  const auto value = short_form ? parse_decimal(text) : std::nullopt;
  if (!value || *value > 0xffff) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

Result<Header> parse_v1(std::string_view line) {
  const auto words = split(line, ' ');
  Header header;
  if (words.size() >= 2 && words[1] == "UNKNOWN") return header;  // what follows must be ignored
  const bool v4 = words.size() >= 2 && words[1] == "TCP4";
  if (words.size() != 6 || (!v4 && words[1] != "TCP6")) return fail("malformed PROXY line \"{}\"", escaped(line, 107));
  const auto is_of_family = [v4](std::string_view text) { return v4 == (text.find(':') == std::string_view::npos); };
  const auto source = IpAddress::parse(words[2]);
  const auto destination = IpAddress::parse(words[3]);
  const auto source_port = parse_port(words[4]);
  const auto destination_port = parse_port(words[5]);
  if (!source || !destination || !source_port || !destination_port || !is_of_family(words[2]) ||
      !is_of_family(words[3])) {
    return fail("malformed PROXY line \"{}\"", escaped(line, 107));
  }
  header.source = Endpoint{*source, *source_port};
  header.destination = Endpoint{*destination, *destination_port};
  return header;
}

Result<std::optional<Header>> take_v1(std::string_view& input) {
  const auto shown = input.substr(0, header_v1_octets_max);
  const auto end = shown.find("\r\n");
  if (end == std::string_view::npos) {
    if (shown.size() == header_v1_octets_max) return fail("a PROXY line without an end");
    return std::optional<Header>();
  }
  auto header = parse_v1(shown.substr(0, end));
  if (!header) return fail_with(std::move(header.error()));
  input.remove_prefix(end + 2);
  return std::optional(std::move(*header));
}

/// Whether what there is of `input` could be the beginning of `start`.
bool may_start_with(std::string_view input, std::string_view start) {
  const auto length = std::min(input.size(), start.size());
  return input.substr(0, length) == start.substr(0, length);
}

}  // namespace

Result<std::optional<Header>> take_header(std::string_view& input) {
  if (may_start_with(input, v1_start)) {
    return input.size() < v1_start.size() ? Result<std::optional<Header>>(std::nullopt) : take_v1(input);
  }
  if (may_start_with(input, v2::signature)) {
    return input.size() < v2::signature.size() ? Result<std::optional<Header>>(std::nullopt) : v2::take(input);
  }
  return fail("no PROXY header, but \"{}\"", escaped(input, 40));
}

std::string render_v1(const Header& header) {
  if (header.command == Header::Command::Local || !header.source || !header.destination) return "PROXY UNKNOWN\r\n";
  const auto& source = header.source->address;
  const auto& destination = header.destination->address;
  const bool v4 = source.is_v4() && destination.is_v4();
  const auto text = [v4](const IpAddress& address) { return (!v4 && address.is_v4() ? "::ffff:" : "") + address.text(); };
  return fmt::format("PROXY {} {} {} {} {}\r\n", v4 ? "TCP4" : "TCP6", text(source), text(destination),
                     header.source->port, header.destination->port);
}

}  // namespace postern::proxy
