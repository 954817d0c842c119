#!/usr/bin/env python3
"""Writes the files of the page as C++: embed.py OUTPUT FILE...; index.html becomes "/", others "/NAME"."""

import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
DELIMITER = "page"


def entry(path):
    content = path.read_text(encoding="utf-8")
    assert f"){DELIMITER}\"" not in content, path
    url = "/" if path.name == "index.html" else f"/{path.name}"
    return f'    {{"{url}", "{TYPES[path.suffix]}",\nR"{DELIMITER}({content}){DELIMITER}"}},\n'


output, *files = map(pathlib.Path, sys.argv[1:])
output.write_text(f'''// Made of the files under daemon/app/page.
#include "daemon/app/page_files.h"

namespace postern::app {{

namespace {{
constexpr PageFile files[] = {{
{"".join(entry(path) for path in files)}}};
}}  // namespace

const PageFile* find_page_file(std::string_view path) {{
  for (const PageFile& file : files) {{
    if (file.path == path) return &file;
  }}
  return nullptr;
}}

}}  // namespace postern::app
''', encoding="utf-8")
