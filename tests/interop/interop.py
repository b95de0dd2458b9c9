#!/usr/bin/env python3
"""Lists made by CPython and read, written and re-typed by C++, and the reverse.

interop.py LIST_TOOL              for every CPython from 3.9 on of this machine; 3.8 makes
                                  lists of another layout, which are refused
interop.py LIST_TOOL --one SEED LISTS   for the interpreter that runs this
"""

import math
import os
import random
import struct
import subprocess
import sys

import support

LISTS = 1000  # for the first interpreter; a fifth for every other
ROUND_TRIPS = 6  # changes of a list
WATCHDOG = 200  # seconds for one interpreter
LONGEST = 100_000  # bytes of a value


def run_all(tool):
    found = support.interpreters()
    if not found:
        print("skipped: no CPython >= 3.9 with shared memory")
        return 77
    failed = False
    lists = LISTS
    for (minor, patch), path in sorted(found.items()):
        seed = str(random.randrange(1 << 32))
        command = [path, os.path.abspath(__file__), tool, "--one", seed, str(lists)]
        lists = LISTS // 5
        try:
            status = subprocess.run(command, timeout=WATCHDOG).returncode
        except subprocess.TimeoutExpired:
            status = "too slow"
        print("CPython 3.%d.%d: %s, seed %s" % (minor, patch, status or "ok", seed), flush=True)
        failed = failed or status != 0
    for (minor, patch), path in sorted(support.all_interpreters().items()):
        if minor == 8:
            refused(tool, path)
            print("CPython 3.8.%d: refused" % patch, flush=True)
    return 1 if failed else 0


def refused(tool, python):
    name = support.unique_name("3.8")
    make = (
        "import sys; from multiprocessing.shared_memory import ShareableList;"
        "l = ShareableList([1, 'two', None], name=sys.argv[1]); print(flush=True);"
        "sys.stdin.read(); l.shm.unlink()"
    )
    maker = support.Agent([python, "-c", make, name])
    maker.answer()
    answer = Tool(tool).ask("print " + name)
    assert answer.startswith("error ") and "CPython 3.8" in answer, answer
    assert Tool(tool).ask("set %s 0 i 1" % name) == answer
    maker.finish()


# ---- in each interpreter


class Tool:
    """The C++ side."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, *lines):
        self.process.stdin.write("\n".join(lines) + "\n")
        self.process.stdin.flush()
        return self.line()

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the list tool has died"
        return line.rstrip("\n")

    def do(self, *lines):
        answer = self.ask(*lines)
        assert answer == "ok", answer

    def create(self, name, values):
        self.do("create %s %d" % (name, len(values)), *map(to_line, values))

    def set(self, name, i, value):
        return self.ask("set %s %d %s" % (name, i, to_line(value)))

    def values(self, name):
        n = self.ask("print " + name)
        assert n.isdigit(), n
        return [from_line(self.line()) for _ in range(int(n))]


def to_line(v):
    if v is None:
        return "n"
    if isinstance(v, bool):
        return "b %d" % v
    if isinstance(v, int):
        return "i %d" % v
    if isinstance(v, float):
        return "d " + struct.pack(">d", v).hex()
    if isinstance(v, str):
        return "s " + v.encode().hex()
    return "y " + v.hex()


def from_line(line):
    kind, _, rest = line.partition(" ")
    return {
        "n": lambda: None,
        "b": lambda: rest == "1",
        "i": lambda: int(rest),
        "d": lambda: struct.unpack(">d", bytes.fromhex(rest))[0],
        "s": lambda: bytes.fromhex(rest).decode(),
        "y": lambda: bytes.fromhex(rest),
    }[kind]()


def stripped(v):
    """The values that CPython reads."""
    if isinstance(v, str):
        return v.rstrip("\0")
    if isinstance(v, bytes):
        return v.rstrip(b"\0")
    return v


def same(a, b):
    """Whether type and bits are the same, whatever == says."""
    return to_line(a) == to_line(b)


def check(got, expected, what):
    got, expected = list(got), list(expected)
    ok = len(got) == len(expected) and all(map(same, got, expected))
    assert ok, "%s:\n  got      %r\n  expected %r" % (what, got, expected)


def bytes_of(v):
    return v.encode() if isinstance(v, str) else v


class Values:
    EXTREME_INTS = [0, 1, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 255, 256]
    EXTREME_FLOATS = [
        0.0,
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        5e-324,
        sys.float_info.max,
        -sys.float_info.max,
        sys.float_info.min,
        1 / 3,
        1e22,
    ]
    ASCII = "abcXYZ019 \n\t\"'\\%s\x01\x7f\0"
    OTHERS = "äß€漢字\u0301\ue000\uffff\U0001f514\U0010ffff"
    SIMILAR = [True, 1, 1.0, 0, False, 0.0, -0.0, -1, 2**53, 2**53 + 1, 2.0**53, 2**53 + 2, 2.0**53 + 2,
               2**63 - 1, 2.0**63, -(2**63), -(2.0**63), 0.5, 5e-324, math.inf, -math.inf, math.nan, None,
               "", b"", "1", b"1"]  # fmt: skip

    def __init__(self, rng):
        self.rng = rng

    def text(self, most=40):
        length = self.rng.choice([0, 1, 7, 8, 9, 15, 16, 17, self.rng.randrange(most)])
        others = self.rng.choice([0, 0.1, 0.5, 1])  # the share of values that have other types
        alphabet = lambda: self.OTHERS if self.rng.random() < others else self.ASCII
        s = "".join(self.rng.choice(alphabet()) for _ in range(length))
        return s + "\0" * self.rng.choice([0, 0, 0, 1, 2, 8])

    def octets(self, most=40):
        length = self.rng.choice([0, 1, 7, 8, 9, 16, self.rng.randrange(most)])
        b = bytes(self.rng.randrange(256) for _ in range(length))
        return b + b"\0" * self.rng.choice([0, 0, 0, 1, 2, 8])

    def one(self):
        kind = self.rng.randrange(6)
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.octets()
        if kind == 2:
            return self.rng.choice(self.EXTREME_INTS + [self.rng.randrange(-(2**63), 2**63)])
        if kind == 3:
            bits = struct.pack("<Q", self.rng.randrange(2**64))
            some = struct.unpack("<d", bits)[0]
            # Not every NaN keeps its bits as a Python float.
            return self.rng.choice(self.EXTREME_FLOATS + [1.5 if math.isnan(some) else some])
        if kind == 4:
            return self.rng.random() < 0.5
        return None

    def many(self):
        n = self.rng.choice([0, 1, 2, 5, self.rng.randrange(60)])
        made = [self.one() for _ in range(n)]
        if made and self.rng.random() < 0.1:
            some = self.octets() + bytes([self.rng.randrange(128)])
            large = (some * LONGEST)[: self.rng.choice([LONGEST, self.rng.randrange(1, LONGEST)])]
            text = large.decode(self.rng.choice(["ascii", "latin-1"]), "replace")
            while len(text.encode()) > LONGEST:
                text = text[: len(text) // 2]
            made[self.rng.randrange(n)] = self.rng.choice([large, text])
        return made


def change(tool, name, theirs, expected, rooms, values):
    """Both sides change elements in turn; both then read the same."""
    rng = values.rng
    for _ in range(ROUND_TRIPS):
        if not expected:
            break
        i = rng.randrange(len(expected))
        v = values.one()
        fits = not is_string(v) or len(bytes_of(v)) <= rooms[i]
        if rng.random() < 0.5:
            answer = tool.set(name, i, v)
            assert (answer == "ok") == fits, (answer, v, rooms[i])
            if fits:
                expected[i] = v
        else:
            try:
                theirs[i] = v
                assert fits, (v, rooms[i])
                expected[i] = stripped(v)
            except ValueError:
                assert not fits, (v, rooms[i])
        check(theirs, map(stripped, expected), "CPython reads, %s" % name)
        check(tool.values(name), expected, "we read, %s" % name)


def attach(name):
    """The tracker must not unlink a list of C++ when this program ends."""
    from multiprocessing import resource_tracker, shared_memory

    theirs = shared_memory.ShareableList(name=name)
    resource_tracker.unregister("/" + theirs.shm.name, "shared_memory")
    return theirs


def is_string(v):
    return isinstance(v, (str, bytes))


def room_there(v):
    """The room that CPython gives it."""
    return 8 * (len(v) // 8 + 1) if is_string(v) else 8


def kept_there(values):
    """The texts that CPython does not cut off: it counts their characters, not their bytes."""
    return [v for v in values if not is_string(v) or len(bytes_of(v)) <= room_there(v)]


def room(v):
    """The room that C++ gives it: the same, or what it needs."""
    return max(room_there(v), (len(bytes_of(v)) + 7) // 8 * 8) if is_string(v) else 8


def rooms_in(theirs):
    ends = struct.unpack_from("<%dq" % (len(theirs) + 1), theirs.shm.buf, 8)
    return [b - a for a, b in zip(ends, ends[1:])]


def ours_first(tool, name, values):
    made = values.many()
    tool.create(name, made)
    try:
        check(tool.values(name), made, "C++ reads what C++ made")
        theirs = attach(name)
        check(theirs, map(stripped, made), "CPython reads what C++ made")
        for i, v in enumerate(theirs):
            theirs[i] = v
        check(tool.values(name), map(stripped, made), "C++ reads what CPython has read and written")
        for i, v in enumerate(made):
            assert tool.set(name, i, v) == "ok"
        check(tool.values(name), made, "C++ reads what C++ has written again")
        assert theirs.count(None) == made.count(None)
        for v in made[:3]:
            if stripped(v) == stripped(v):  # not NaN
                theirs.index(stripped(v))
        rooms = [room(v) for v in made]
        assert rooms_in(theirs) == rooms, (made, rooms_in(theirs))
        change(tool, name, theirs, list(made), rooms, values)
        theirs.shm.close()
    finally:
        tool.do("unlink " + name)


def theirs_first(tool, name, values):
    from multiprocessing import shared_memory

    made = kept_there(values.many())
    theirs = shared_memory.ShareableList(made, name=name)
    try:
        expected = list(map(stripped, made))
        check(theirs, expected, "CPython reads what it made")
        check(tool.values(name), expected, "C++ reads what CPython made")
        again = name + "-again"
        tool.create(again, tool.values(name))
        theirs_again = attach(again)
        check(theirs_again, expected, "CPython reads its list after changes by C++")
        theirs_again.shm.close()
        tool.do("unlink " + again)
        change(tool, name, theirs, expected, rooms_in(theirs), values)
    finally:
        theirs.shm.close()
        theirs.shm.unlink()


def same_bytes(tool, name, made):
    from multiprocessing import shared_memory

    theirs = shared_memory.ShareableList(made, name=name)
    try:
        python = bytes(theirs.shm.buf)
        python_format = theirs.format
    finally:
        theirs.shm.close()
        theirs.shm.unlink()
    tool.create(name, made)
    try:
        with open("/dev/shm/" + name, "rb") as f:
            assert f.read() == python, made
        assert tool.ask("format " + name) == python_format, made
    finally:
        tool.do("unlink " + name)


def same_searches(tool, name, values):
    """`count` and `index` of similar values agree with this interpreter's."""
    made = [values.rng.choice(Values.SIMILAR) for _ in range(values.rng.randrange(30))]
    tool.create(name, made)
    try:
        theirs = attach(name)
        for v in Values.SIMILAR:
            try:
                first = str(theirs.index(v))
            except ValueError:
                first = "none"
            answer = tool.ask("find %s %s" % (name, to_line(v)))
            assert answer == "%d %s" % (theirs.count(v), first), (made, v, answer)
        theirs.shm.close()
    finally:
        tool.do("unlink " + name)


def run_one(path, seed, lists):
    tool = Tool(path)
    values = Values(random.Random(int(seed)))
    prefix = "belfry-test-%d-interop" % os.getpid()
    same_bytes(tool, prefix, ["howdy", b"HoWdY", -273.154, 100, None, True, 42])
    same_bytes(tool, prefix, ["", "encod\u00e9s", "12345678", "\u00e4" * 4, "\U0001f514" * 2])
    for i in range(int(lists)):
        same_bytes(tool, prefix, kept_there(map(stripped, values.many())))
        same_searches(tool, prefix, values)
        (ours_first if i % 2 == 0 else theirs_first)(tool, "%s-%d" % (prefix, i), values)
    tool.process.stdin.close()
    status = tool.process.wait(60)
    assert status == 0, status
    left = [f for f in os.listdir("/dev/shm") if f.startswith(prefix)]
    assert not left, left
    return 0


if __name__ == "__main__":
    if sys.argv[2:3] == ["--one"]:
        sys.exit(run_one(sys.argv[1], *sys.argv[3:]))
    sys.exit(run_all(sys.argv[1]))
