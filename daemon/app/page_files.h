// The files of the page, as they stand under daemon/app/page, in the program.
#pragma once

#include <string_view>

namespace postern::app {

struct PageFile {
  std::string_view path;          ///< "/page.js"
  std::string_view content_type;
  std::string_view content;
};

/// Null: there is no such file.
const PageFile* find_page_file(std::string_view path);

}  // namespace postern::app
