#!/usr/bin/env python3
"""The library exports its public names, the private ones that inline code of headers uses, and Asio's objects, which it
shares with the program. Nothing else: no other part of itself, no template of the standard library.

    exports.py LIBRARY      (exit status 1 if it exports more; 77 if it is not a shared library)
"""

import pathlib
import re
import subprocess
import sys

# In belfry::detail: what inline code of headers calls or inherits from.
PRIVATE = {
    "any_call_ring", "any_ring", "arrive", "close_handle", "describe_channel", "endpoint", "fork_generation", "info_of",
    "lose", "make_channel", "manager_service", "mapping", "receive_handles", "roster", "segment", "send_handles", "watch_endpoint",
}
INTERNAL = {"cli", "layout", "platform"}  # other namespaces in belfry

# Of a mangled name: what kind of thing it is, then the name, in a namespace or local to a function of it.
NAME = re.compile(r"_Z(?:T[ISVWH]|Thn?\d+_|GV)?Z?NK?((?:\d+[A-Za-z_]\w*)*)")
FLAVOUR = re.compile(r"(standalone|boost)_asio_")


def parts(symbol):
    """The namespaces, classes and name of a symbol, without the inline namespace of Asio's version."""
    found = []
    match = NAME.match(symbol)
    rest = match[1] if match else ""
    while digits := re.match(r"\d+", rest):
        begin = digits.end()
        end = begin + int(digits[0])
        found.append(rest[begin:end])
        rest = rest[end:]
    return [part for part in found if not FLAVOUR.match(part)]


def may_be_exported(symbol):
    match parts(symbol):
        case ["asio", *_] | ["boost", "asio" | "system", *_]:
            return True
        case ["belfry", "detail", name, *_]:
            return name in PRIVATE
        case ["belfry", *rest]:
            return not rest or rest[0] not in INTERNAL
    return False


def check_itself():
    """A check that finds nothing anywhere would not be one."""
    for symbol in (
        "_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJiEEEvN9__gnu_cxx17__normal_iteratorIPiS1_EEDpOT_",
        "_ZN6belfry8platform13run_directoryERNS_6detail7failureE",
        "_ZN6belfry6detail11participant7abandonEv",
        "_ZTVN6belfry6detail22standalone_asio_1022018waitableE",
        "main",
    ):
        assert not may_be_exported(symbol), symbol
    for symbol in (
        "_ZN6belfry14error_categoryEv",
        "_ZN6belfryeqERKNS_14shareable_listES2_",
        "_ZTIN6belfry6detail22standalone_asio_1022018endpointE",
        "_ZThn16_N6belfry6detail22standalone_asio_1022018endpoint7unwatchEm",
        "_ZGVZN4asio15system_categoryEvE8instance",
    ):
        assert may_be_exported(symbol), symbol


def main(library):
    check_itself()
    if library.suffix == ".a":
        print("skipped: the library is not shared")
        return 77
    lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    symbols = [line.split()[-1] for line in lines.splitlines()]
    surplus = [s for s in symbols if not may_be_exported(s)]
    if surplus:
        subprocess.run(["c++filt"], input="\n".join(surplus) + "\n", text=True, check=True)
    print(f"{len(symbols)} symbols, {len(surplus)} too many")
    return 1 if surplus or not symbols else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
