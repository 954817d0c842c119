// Files and folders that are open already: what a FileSource does with them after it has opened them its own way.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <string>

#include "base/result.h"
#include "certs/loader.h"

namespace postern::certs {

/// How to open a file that read_open() reads. Without O_NONBLOCK, opening a FIFO waits for a writer.
constexpr int read_flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
/// ... a folder that list_open() lists.
constexpr int list_flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;

/// As FileSource says. The descriptor stays open; `path` is what errors call it.
Result<FileState> state_of_open(int descriptor, const std::string& path);
Result<FileContents> read_open(int descriptor, const std::string& path, std::size_t octets_max);
Result<Listing> list_open(int descriptor, const std::string& path);

/// Why a path cannot be opened, by the errno that opening it with `flags` gave.
Error why_not_opened(const std::string& path, int flags, int error);

}  // namespace postern::certs
