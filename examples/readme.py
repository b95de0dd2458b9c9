#!/usr/bin/env python3
"""Makes compilable files of the C++ blocks in README.md and examples/README.md.

    readme.py OUTPUT_DIR standalone|boost PAGE... -- FILE...

A block ```cpp NAME.cpp is a program: written to that file. Every other ```cpp block is a snippet:
each becomes a function in snippets.cpp; ```cpp prelude, of any page, stands before all of them. FILE...
are the outputs that the build expects; it is an error if the pages have others.
"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent

# Declarations that the snippets use.
BEFORE = """\
#include "net.hpp"

#include <array>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {
template <class T> void use(const T&) {}
std::size_t read_frame(std::span<std::byte> into) { return into.size(); }
struct unix_socket { int native_handle() const { return -1; } };
"""

# A snippet may declare names that are also names of parameters.
FUNCTION = """
{result} snippet_{number}(net::io_context& io, unix_socket& socket) {{
{{
#line {line} "{page}"
{text}}}
}}
"""


def blocks(text):
    """Yields (words after ```cpp, number of the first line, text) of every C++ block."""
    for match in re.finditer(r"^```cpp([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield match[1].strip(), text.count("\n", 0, match.start(2)) + 1, match[2]


def main():
    directory, asio, *rest = sys.argv[1:]
    pages, expected = rest[:rest.index("--")], rest[rest.index("--") + 1:]
    files = {}
    prelude = functions = ""
    number = 0
    for path in map(pathlib.Path, pages):
        page = path.resolve().relative_to(TOP).as_posix()
        for name, line, block in blocks(path.read_text(encoding="utf-8")):
            if asio == "boost":
                block = block.replace("#include <asio", "#include <boost/asio")
            if name == "prelude":
                prelude += f'#line {line} "{page}"\n{block}'
            elif name:
                files[name] = f'#line {line} "{page}"\n{block}'
            else:
                number += 1
                result = "net::awaitable<void>" if "co_await" in block else "void"
                functions += FUNCTION.format(result=result, number=number, page=page, line=line, text=block)
    files["snippets.cpp"] = f"{BEFORE}{prelude}{functions}}}\n\nint main() {{}}\n"

    names = {pathlib.Path(path).name: path for path in expected}
    if names.keys() != files.keys():
        sys.exit(f"the pages have {sorted(files)}, examples/meson.build expects {sorted(names)}")
    for name, content in files.items():
        pathlib.Path(directory, name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
