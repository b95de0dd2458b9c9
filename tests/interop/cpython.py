#!/usr/bin/env python3
"""Counterparts of CPython's own tests of shared memory (_TestSharedMemory in Lib/test/
_test_multiprocessing.py), with the same names, one side in Python and the other in C++. Docstrings say
where C++ differs. Tests of C++ alone are in tests/blocks/cpython.cpp.

cpython.py LIST_TOOL WATCH_TOOL             for every CPython from 3.9 on of this machine
cpython.py LIST_TOOL WATCH_TOOL --one ...   for the interpreter that runs this
"""

import pickle
import signal
import subprocess
import sys
import unittest
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory, ShareableList

import support
from interop import Tool, check
from support import Agent, belfry_watch

TOOLS = []
SEVEN = ["howdy", b"HoWdY", -273.154, 100, None, True, 42]


def python(name, program):
    """A program that knows the name of a block."""
    before = "import sys; from multiprocessing.shared_memory import SharedMemory\n"
    before += "name, folder = sys.argv[1:]\n"
    return [sys.executable, "-c", before + program, name, support.MODULES]


class SharedMemoryTest(unittest.TestCase):
    def setUp(self):
        self.tool = Tool(TOOLS[0])
        self.other = Agent(support.tool_command(TOOLS[1], False))  # has a block open
        self.name = support.unique_name(self.id().rpartition("_")[2])
        self.addCleanup(self.clean_up)

    def clean_up(self):
        self.other.finish()
        self.tool.process.stdin.close()
        self.tool.process.stdout.close()
        self.assertEqual(self.tool.process.wait(), 0)
        left = support.files_of(self.name)
        for file in left:
            (support.SHM / file).unlink()
        self.assertEqual(left, [])

    def make(self, size=512):
        self.tool.do("block %s %d" % (self.name, size))
        self.other.do("open " + self.name)

    def unmake(self):
        self.other.do("close")
        self.tool.do("unlink " + self.name)

    def attach(self):
        """Attaches as C++ does: without owning the block."""
        shm = SharedMemory(self.name)
        belfry_watch.keep(shm)
        self.addCleanup(shm.close)
        return shm

    def test_shared_memory_basics(self):
        """C++ reports the exact size; its errors are codes, not classes."""
        self.make(511)
        theirs = self.attach()
        self.assertEqual(theirs.size, 511)
        self.assertEqual(self.tool.ask("size " + self.name), "511")
        self.assertRaises(FileExistsError, SharedMemory, self.name, create=True, size=1)
        self.assertIn("File exists", self.tool.ask("block %s 1" % self.name))
        self.other.do("poke 3 42")
        self.assertEqual(theirs.buf[24], 42)
        theirs.buf[32:40] = b"\xff" * 8
        self.assertEqual(self.other.ask("peek 4"), str(2**64 - 1))
        self.unmake()
        self.assertRaises(FileNotFoundError, SharedMemory, self.name)
        self.assertIn("No such file", self.tool.ask("size " + self.name))
        self.assertIn("No such file", self.tool.ask("unlink " + self.name))

        theirs = SharedMemory(self.name, create=True, size=512)
        self.addCleanup(theirs.close)
        self.assertEqual(self.tool.ask("size " + self.name), "512")
        self.assertIn("File exists", self.tool.ask("block %s 1" % self.name))
        theirs.unlink()
        self.assertIn("No such file", self.tool.ask("unlink " + self.name))

    def test_shared_memory_pickle_unpickle(self):
        """Python pickles the name, and C++ opens the same memory by it."""
        self.make()
        theirs = self.attach()
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(theirs, protocol))
            belfry_watch.keep(again)
            self.assertEqual(again.name, self.name)
            self.other.do("poke 0 %d" % protocol)
            self.assertEqual(again.buf[0], protocol)
            again.buf[1] = 1
            self.assertEqual(self.other.ask("peek 0"), str(256 + protocol))
            again.close()
        self.unmake()

    def test_shared_memory_pickle_unpickle_dead_object(self):
        """No difference."""
        self.make()
        pickled = pickle.dumps(self.attach())
        self.unmake()
        self.assertRaises(FileNotFoundError, pickle.loads, pickled)

    def test_shared_memory_across_processes(self):
        """No difference, between a process of either language and one of the other."""
        self.make()
        self.assertEqual(self.user("keep(m); m.buf[:5] = b'howdy'"), "")
        self.assertEqual(self.other.ask("peek 0"), str(int.from_bytes(b"howdy", "little")))
        self.other.do("poke 1 %d" % int.from_bytes(b"HELLO", "little"))
        self.assertEqual(self.user("keep(m); assert m.buf[8:13] == b'HELLO'"), "")
        self.unmake()

    def test_shared_memory_ShareableList_basics(self):
        """C++ writes exact lengths, but only where a trailing NUL would otherwise be lost."""
        ours = self.name
        self.tool.create(ours, SEVEN)
        theirs = ShareableList(name=ours)
        belfry_watch.keep(theirs.shm)
        self.addCleanup(theirs.shm.close)
        check(theirs, SEVEN, "CPython reads")
        self.assertEqual(theirs.format, "8s8sdqxxxxxx?xxxxxxxx?q")
        self.assertEqual(self.tool.ask("format " + ours), theirs.format)
        self.assertEqual(len(theirs), 7)
        self.assertEqual(theirs.index(100), 3)
        self.assertRaises(ValueError, theirs.index, "100")
        self.assertIn("error", self.tool.ask("set %s 7 i 1" % ours))

        self.assertEqual(self.tool.set(ours, 3, 42), "ok")
        self.assertEqual(self.tool.set(ours, 4, "some"), "ok")
        self.assertEqual((theirs[3], theirs[4]), (42, "some"))
        self.assertEqual(theirs.format, "8s8sdq8sxxxxxxx?q")
        self.assertIn("error", self.tool.set(ours, 4, "far too many"))
        self.assertEqual(self.tool.set(ours, 0, "encod\u00e9s"), "ok")
        self.assertEqual((theirs[0], theirs[1]), ("encod\u00e9s", b"HoWdY"))
        self.assertIn("error", self.tool.set(ours, 0, "encod\u00e9es"))
        self.assertIn("error", self.tool.set(ours, 1, b"123456789"))
        self.assertEqual((theirs[0], theirs[1]), ("encod\u00e9s", b"HoWdY"))
        self.assertEqual((theirs.count(42), theirs.count(b"HoWdY")), (2, 1))
        self.assertEqual(self.tool.ask("find %s d %016x" % (ours, 0x4045 << 48)), "2 3")  # 42.0
        self.tool.create(ours + "-copy", list(theirs))
        self.assertEqual(self.tool.ask("format " + ours + "-copy"), theirs.format)
        self.tool.do("unlink " + ours + "-copy")
        theirs[6] = 880
        self.assertEqual(self.tool.values(ours)[6], 880)

        self.assertEqual(self.tool.set(ours, 1, b"ab\0"), "ok")
        self.assertEqual((theirs[1], theirs.format[2:5]), (b"ab", "3sx"))
        self.assertEqual(self.tool.values(ours)[1], b"ab\0")
        self.tool.do("unlink " + ours)

        self.tool.create(ours, [])
        empty = ShareableList(name=ours)
        belfry_watch.keep(empty.shm)
        self.assertEqual((len(empty), empty.format, empty.count("any")), (0, "", 0))
        self.assertRaises(ValueError, empty.index, None)
        empty.shm.close()
        self.tool.do("unlink " + ours)

    def test_shared_memory_ShareableList_pickling(self):
        """Python pickles the name, and C++ opens the same list by it."""
        theirs = ShareableList(range(10), name=self.name)
        again = pickle.loads(pickle.dumps(theirs))
        belfry_watch.keep(again.shm)
        self.tool.set(self.name, 4, "changed")
        self.assertEqual(again[4], "changed")
        again[3] = "newvalue"
        self.assertEqual(self.tool.values(self.name)[3], "newvalue")
        again.shm.close()
        theirs.shm.close()
        self.tool.do("unlink " + self.name)

    def test_shared_memory_ShareableList_pickling_dead_object(self):
        """No difference."""
        self.tool.create(self.name, list(range(10)))
        theirs = ShareableList(name=self.name)
        belfry_watch.keep(theirs.shm)
        pickled = pickle.dumps(theirs)
        theirs.shm.close()
        self.tool.do("unlink " + self.name)
        self.assertRaises(FileNotFoundError, pickle.loads, pickled)

    def test_shared_memory_cleaned_after_process_termination(self):
        """The tracker cleans up after Python only; C++ still uses what it has open."""
        creator = Agent(
            python(
                self.name,
                "m = SharedMemory(name, create=True, size=64); m.buf[0] = 7\n"
                "print(flush=True); sys.stdin.read()",
            ),
            stderr=subprocess.PIPE,
        )
        creator.answer()
        self.other.do("open " + self.name)
        creator.process.send_signal(signal.SIGTERM)
        self.assertIn("leaked shared_memory", creator.process.stderr.read())  # until its tracker ends
        creator.process.stderr.close()
        self.assertEqual(creator.reap(), -signal.SIGTERM)
        self.assertFalse((support.SHM / self.name).exists())
        self.assertEqual(self.other.ask("peek 0"), "7")
        self.other.do("close")

        self.make(64)
        self.other.do("poke 0 7")
        self.other.kill()
        self.assertTrue((support.SHM / self.name).exists())
        self.other = Agent(support.tool_command(TOOLS[1], False))
        self.other.do("open " + self.name)
        self.assertEqual(self.other.ask("peek 0"), "7")
        self.unmake()

    def user(self, what):
        """Runs a Python program that attaches, runs `what`, and ends; returns its and its tracker's complaints."""
        program = "sys.path.insert(0, folder); from belfry_watch import keep\n"
        program += "m = SharedMemory(name); %s; m.close()" % what
        done = subprocess.run(python(self.name, program), stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, done.stderr if done.returncode else b""), (0, b""))
        return done.stderr.decode()

    def test_shared_memory_untracking(self):
        """track=False exists from 3.13 on; belfry_watch.keep() serves all versions."""
        self.make(64)
        self.assertEqual(self.user("keep(m)"), "")
        self.assertEqual(self.tool.ask("size " + self.name), "64")
        self.unmake()

    def test_shared_memory_unlinked_untracked(self):
        """unlink() does not ask the tracker for a block that keep() has unregistered."""
        self.make(64)
        self.assertEqual(self.user("import belfry_watch; keep(m); belfry_watch.unlink(m)"), "")
        self.assertFalse((support.SHM / self.name).exists())
        self.other.do("close")

    def test_shared_memory_tracking(self):
        """A block tracked by Python loses its name; C++ still uses it, and its unlink finds nothing."""
        self.make(64)
        self.assertIn("leaked shared_memory", self.user("pass"))
        self.assertFalse((support.SHM / self.name).exists())
        self.other.do("poke 0 7")
        self.assertEqual(self.other.ask("peek 0"), "7")
        self.assertIn("No such file", self.tool.ask("unlink " + self.name))
        self.other.do("close")


def main(*tools):
    support.watchdog(1000)
    found = support.interpreters()
    if not found:
        print("skipped: no CPython >= 3.9 with shared memory")
        return 77
    for (minor, patch), path in sorted(found.items()):
        subprocess.run([path, __file__, *tools, "--one"], check=True)
        print("CPython 3.%d.%d: ok" % (minor, patch), flush=True)
    return 0


if __name__ == "__main__":
    if "--one" in sys.argv:
        TOOLS = sys.argv[1:3]
        support.watchdog(600)
        resource_tracker.ensure_running()
        unittest.main(argv=sys.argv[:1] + sys.argv[4:])
    sys.exit(main(*sys.argv[1:]))
