// The source format of Postfix's tls_server_sni_maps, as postmap(1) -F reads it:
//
//   # a comment
//   mx.example.com   /etc/ssl/mx-ecdsa.pem, /etc/ssl/mx-rsa.pem
//   .example.net     wild.pem
//      more.pem
//
// A name and the PEM files with its keys and chains, separated by blanks or commas. A line that begins with white space
// continues the one before, over comments and empty lines too. `.example.net` stands for everything below example.net,
// at any depth, but not for example.net. Beyond Postfix: `*.example.net` stands for one label, U-labels are converted,
// and a relative path is relative to the folder of the map. Text to values only: no files are read here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "certs/fault.h"

namespace postern::certs {

struct MapEntry {
  std::string key;           ///< as in NameIndex
  std::uint32_t files = 0;   ///< which of the file lists
  std::uint32_t line = 0;    ///< from 1; where the entry begins
};

struct MapFile {
  std::vector<MapEntry> entries;  ///< no key twice: the first one stays, as with postmap
  std::vector<std::vector<std::string>> file_lists;  ///< each distinct list of paths once
  std::vector<Fault> faults;      ///< with `path:line` as source
};

/// `path` is where `text` came from; a bad line is a fault and does not hide the good ones.
MapFile parse_map_file(std::string_view text, const std::string& path);

/// The key of a host name, `*.` name or `.` name as operators write it; empty when it is none.
std::string index_key(std::string_view name);

}  // namespace postern::certs
