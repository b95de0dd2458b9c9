#!/usr/bin/env python3
"""Every file includes only what is on its own floor or below it, and Asio only where Asio is.

    layers.py DIRECTORY      (the project's; exit status 1 if a file does not keep to it)

src/README.md says what the floors are.
"""

import pathlib
import re
import sys

# From the bottom up. The first matching prefix says on which floor a path is.
FLOORS = [
    ("base", ["include/belfry/error.hpp", "include/belfry/detail/base/", "src/base/"]),
    ("platform", ["include/belfry/detail/platform/", "src/platform/"]),
    ("ring", ["include/belfry/ring/", "include/belfry/detail/layout/", "include/belfry/detail/ring/", "include/belfry/shareable.hpp",
              "include/belfry/channel_options.hpp", "include/belfry/describe.hpp"]),
    ("segment", ["include/belfry/detail/segment/", "include/belfry/log.hpp", "src/segment/"]),
    ("async", ["include/belfry/asio.hpp", "include/belfry/detail/async/", "src/async/", "src/pch/",
               "include/belfry/channel_handles.hpp", "include/belfry/call.hpp"]),
    ("blocks", ["include/belfry/detail/blocks/", "include/belfry/shared_memory.hpp", "src/blocks/",
                "include/belfry/inspect.hpp", "include/belfry/peek.hpp", "include/belfry/remove.hpp",
                "include/belfry/shareable_list.hpp", "include/belfry/transaction.hpp"]),
    ("manager", ["include/belfry/detail/manager/", "include/belfry/shared_memory_manager.hpp",
                 "include/belfry/manager_server.hpp", "include/belfry/manager_options.hpp",
                 "include/belfry/collect_garbage.hpp", "src/manager/"]),
    ("user", ["include/belfry/"]),
    ("bridge", ["src/nats/"]),
    ("tool", ["src/cli/"]),
]
NAMES = [name for name, _ in FLOORS]
ASIO_FROM = NAMES.index("async")
# A ring makes no system call.
FORBIDDEN = {("ring", "platform")}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def floor_of(path):
    for i, (_, prefixes) in enumerate(FLOORS):
        if any(path == p or (p.endswith("/") and path.startswith(p)) for p in prefixes):
            return i
    return None


def target_of(path, kind, name):
    """The file of ours that an include means, from the project's directory; None if it is not ours."""
    if kind == "<":
        return "include/" + name if name.startswith("belfry/") else None
    parts = []
    for part in (path.rsplit("/", 1)[0] + "/" + name).split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def faults(path, text):
    """What is wrong with the includes of one file."""
    own = floor_of(path)
    if own is None:
        return [f"{path}: is on no floor"]
    found = []
    for kind, name in INCLUDE.findall(text):
        if re.match(r"(boost/)?asio([./]|$)", name):
            if own < ASIO_FROM:
                found.append(f"{path}: {name}: there is no Asio on the floor `{NAMES[own]}`")
            continue
        target = target_of(path, kind, name)
        if target is None:
            continue
        other = floor_of(target)
        if other is None:
            found.append(f"{path}: {name}: is on no floor")
        elif other > own:
            found.append(f"{path}: {name}: `{NAMES[other]}` is above `{NAMES[own]}`")
        elif (NAMES[own], NAMES[other]) in FORBIDDEN:
            found.append(f"{path}: {name}: `{NAMES[own]}` does without `{NAMES[other]}`")
    return found


def check_itself():
    """A check that finds nothing anywhere would not be one."""
    assert faults("src/base/a.cpp", '#include "../platform/lock.hpp"\n')
    assert faults("src/segment/a.cpp", "#include <asio/post.hpp>\n")
    assert faults("include/belfry/ring/a.hpp", "#include <belfry/detail/platform/mapping.hpp>\n")
    assert faults("src/new/a.cpp", "#include <belfry/error.hpp>\n")
    assert not faults("src/async/a.cpp", '#include "../segment/ring_on_stop.hpp"\n#include <asio/post.hpp>\n')


def main(top):
    check_itself()
    found = []
    files = [f for folder in ("include", "src") for f in sorted((top / folder).rglob("*.[ch]pp"))]
    for file in files:
        found += faults(file.relative_to(top).as_posix(), file.read_text(encoding="utf-8"))
    print("\n".join(found) if found else f"{len(files)} files keep to the floors")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
