#!/usr/bin/env python3
"""A participant in Python: the commands of watch_tool.cpp, carried out by examples/python/belfry_watch.

agent.py [async]        with `async` in asyncio, otherwise blocking

    die STEP            dies within a notification, after STEP steps of it; no answer
    fork                starts an idle child and answers its pid; it ends with the next command
"""

import asyncio
import mmap
import os
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "python"))
import belfry_watch  # noqa: E402
from belfry_watch import layout  # noqa: E402


class Agent:
    def __init__(self, awaits):
        self.awaits = awaits
        self.loop = asyncio.new_event_loop()
        self.child = None

    def open(self, name):
        with open(layout.DIRECTORY + name, "r+b") as f:
            self.words = memoryview(mmap.mmap(f.fileno(), 0)).cast("Q")
        self.watch = belfry_watch.Watch(name)
        self.transaction = None

    def close(self):
        self.watch.close()

    def version(self):
        return self.watch.version()

    def notify(self):
        self.watch.notify()

    def changed(self, seen, *elements):
        seen, elements = int(seen), map(int, elements)
        if self.awaits:
            return self.loop.run_until_complete(self.watch.changed(seen, *elements))
        return self.watch.wait(seen, *elements)

    def begin(self, milliseconds=None):
        t = self.watch.txn(int(milliseconds) / 1000 if milliseconds else None)
        try:
            if self.awaits:
                self.loop.run_until_complete(t.__aenter__())
            else:
                t.__enter__()
        except TimeoutError:
            return "timed_out"
        self.transaction = t
        return "owner_died" if t.owner_died else "held"

    def end(self):
        t, self.transaction = self.transaction, None
        if self.awaits:
            self.loop.run_until_complete(t.__aexit__())
        else:
            t.__exit__()

    def peek(self, i):
        return self.words[int(i)]

    def poke(self, i, value):
        self.words[int(i)] = int(value)

    def play(self, *arguments):
        who, of, n = map(int, arguments)
        while True:
            seen = self.watch.version()
            now = self.words[0]
            if now >= n:
                break
            if now % of == who:
                self.words[0] = now + 1
                self.watch.notify()
            else:
                self.changed(seen)

    def count(self, who, n):
        who, n = int(who), int(n)
        if self.awaits:
            self.loop.run_until_complete(self.count_awaiting(who, n))
        while self.words[1 + who] != n:
            with self.watch.txn() as t:
                self.count_once(who, t)

    async def count_awaiting(self, who, n):
        while self.words[1 + who] != n:
            async with self.watch.txn() as t:
                self.count_once(who, t)

    def count_once(self, who, t):
        reported = sum(self.words[1:9].tolist())
        if t.owner_died:
            self.words[9 + who] += 1
            self.words[0] = reported
        assert self.words[0] == reported, "another process was in a transaction"
        self.words[0] = reported + 1
        self.words[1 + who] += 1

    def die(self, step):
        words, slot = self.watch._member.words, self.watch._member.slot
        steps = [
            lambda: words.__setitem__(layout.BUSY + slot, 1),
            lambda: words.__setitem__(layout.CHANGES + slot, words[layout.CHANGES + slot] + 1),
            lambda: words.__setitem__(layout.WHOLE + slot, self.watch.version()),
            lambda: words.__setitem__(layout.BUSY + slot, 0),
        ]
        for do in steps[: int(step)]:
            do()
        os.kill(os.getpid(), signal.SIGKILL)

    def fork(self):
        self.child = os.fork()
        if self.child == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            signal.pause()
        return self.child

    def obey(self, line):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = None
        command, *arguments = line.split()
        answer = getattr(self, command)(*arguments)
        print("ok" if answer is None else answer, flush=True)


def main(awaits):
    agent = Agent(awaits)
    for line in sys.stdin:
        try:
            agent.obey(line)
        except Exception as e:
            print("error", repr(e), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] == ["async"])
