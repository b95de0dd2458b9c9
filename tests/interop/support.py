"""Common to the interoperability tests: every CPython of the machine, blocks, and participants."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
MODULES = str(HERE.parents[1] / "examples" / "python")
sys.path.insert(0, MODULES)
import belfry_watch  # noqa: E402,F401
from belfry_watch import layout  # noqa: E402

SHM = Path("/dev/shm")


def all_interpreters():
    """Every CPython with shared memory: {(minor, patch): path}."""
    names = ["python3"] + ["python3.%d" % minor for minor in range(8, 30)]
    found = [shutil.which(name) for name in names]
    managed = [".pyenv/versions/*/bin/python3", ".local/share/uv/python/*/bin/python3",
               ".asdf/installs/python/*/bin/python3", ".local/share/mise/installs/python/*/bin/python3",
               "miniconda3/envs/*/bin/python3", "miniconda3/bin/python3"]  # fmt: skip
    for pattern in managed:
        found += sorted(map(str, Path.home().glob(pattern)))
    found += ["/usr/bin/python3", sys.executable]
    versions = {}
    ask = (
        "import sys, platform, multiprocessing.shared_memory;"
        "print(platform.python_implementation(), *sys.version_info[:3], sys.executable)"
    )
    for path in filter(None, found):
        try:
            r = subprocess.run([path, "-c", ask], capture_output=True, text=True, timeout=60)
        except OSError:
            continue
        if r.returncode != 0:
            continue  # a shim without its interpreter, or one that is too old
        name, major, minor, patch, executable = r.stdout.split(maxsplit=4)
        if name == "CPython" and int(major) == 3:
            versions.setdefault((int(minor), int(patch)), executable.strip())
    return versions


def interpreters(least=9):
    """The interpreters with our layout of lists, or all; with BELFRY_TEST_ONE_PYTHON only one, for slow builds."""
    found = {v: path for v, path in all_interpreters().items() if v >= (least, 0)}
    if found and os.environ.get("BELFRY_TEST_ONE_PYTHON"):
        first = sys.version_info[1:3] if sys.version_info[1:3] in found else max(found)
        return {first: found[first]}
    return found


def unique_name(what):
    unique_name.count += 1
    return "belfry-test-%d-%d-%s" % (os.getpid(), unique_name.count, what)


unique_name.count = 0


def files_of(name):
    return sorted(p.name for p in SHM.glob(name + "*"))


def watchdog(seconds):
    """Ends the program if it hangs; its agents end with it, at the end of their input."""

    def bark(*_):
        raise TimeoutError("the test hangs")

    signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)


def until(condition):
    """Waits for a condition that no event reports, for example that another process sleeps. The watchdog ends it."""
    while not condition():
        time.sleep(0.0005)


@contextmanager
def block(what, size=4096):
    """A block of zeros; at the end nothing of its companion may be left."""
    name = unique_name(what)
    path = SHM / name
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    try:
        yield name
        assert files_of(name) == [name], files_of(name)
    finally:
        for left in files_of(name):
            (SHM / left).unlink()


class Companion:
    """Reads `<name>.watch`, and changes nothing."""

    def __init__(self, name):
        self.name = name
        self.path = SHM / (name + ".watch")

    def _words(self):
        return memoryview(self.path.read_bytes()).cast("Q")

    def slots(self, pid):
        """The slots of a process."""
        words = self._words()
        first = range(layout.ROSTER, layout.STATE, layout.SLOT_WORDS)
        return [
            slot
            for slot, at in enumerate(first)
            if words[at + layout.CONTROL] >> 56 == layout.LIVE
            and words[at + layout.PID] & 0xFFFFFFFF == pid
        ]

    def sleeps(self, pid):
        marks = self.path.read_bytes()[layout.MARKS :]
        return any(marks[slot] for slot in self.slots(pid))

    def parks(self, pid):
        """How often a process has gone to sleep."""
        at = [layout.ROSTER + slot * layout.SLOT_WORDS + layout.PARKS for slot in self.slots(pid)]
        words = self._words()
        return sum(words[i] for i in at)

    def dirty(self):
        """The slot that is in a transaction, or None."""
        word = self._words()[layout.DIRTY]
        return (word & 0xFFFFFFFF) - 1 if word else None


class Agent:
    """A participating process: watch_tool.cpp or agent.py."""

    def __init__(self, command, stderr=None):
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            bufsize=1,
        )
        self.pid = self.process.pid

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "%s has died" % self.command
        return line.rstrip("\n")

    def ask(self, line):
        self.tell(line)
        return self.answer()

    def do(self, line):
        answer = self.ask(line)
        assert answer == "ok", (self.command, line, answer)

    def kill(self):
        self.process.kill()
        self.reap()

    def reap(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()

    def finish(self):
        self.process.stdin.close()
        assert self.process.stdout.read() == ""
        status = self.process.wait()
        assert status == 0, (self.command, status)
        self.process.stdout.close()


def agent_command(python, awaits):
    return [python, str(HERE / "agent.py")] + ["async"] * awaits


def tool_command(tool, awaits):
    return [tool] + ["async"] * awaits
