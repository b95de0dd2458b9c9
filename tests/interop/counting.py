#!/usr/bin/env python3
"""Eight processes, four in C++ and four in Python, count in transactions. A killer ends one of them
now and then, and starts it again.

counting.py WATCH_TOOL N      until each has counted to N

The block's words: the count; what each of the eight has reported; how many deaths each was told of.
Within a transaction the count is raised first. So a process that is killed in between leaves a difference.
The next one is told, and repairs it.
"""

import os
import random
import signal
import sys

import support
from support import Agent, Companion

WORKERS = 8
KILLS = 200
LIMIT = 3000  # seconds


class Count:
    def __init__(self, name, commands, each):
        self.name = name
        self.each = each
        self.path = support.SHM / name
        self.companion = Companion(name)
        self.commands = commands
        self.workers = [self.start(who) for who in range(WORKERS)]
        self.to_be_told = 0

    def start(self, who):
        worker = Agent(self.commands[who])
        worker.tell("open " + self.name)
        worker.tell("count %d %d" % (who, self.each))
        return worker

    def words(self):
        return memoryview(self.path.read_bytes()).cast("Q")

    def reported(self):
        return sum(self.words()[1:9])

    def told(self):
        return sum(self.words()[9:17])

    def unfinished(self):
        words = self.words()
        return [who for who in range(WORKERS) if words[1 + who] != self.each]

    def stop(self):
        for worker in self.workers:
            worker.process.send_signal(signal.SIGSTOP)
        for worker in self.workers:
            os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on(self):
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)

    def kill_one(self, rng):
        """While all are stopped, it is known whether the victim is in a transaction."""
        for attempt in range(1 if rng.random() < 0.5 else 100):
            if attempt:
                self.go_on()
            self.stop()
            candidates = self.unfinished()
            owner = self.companion.dirty()
            inside = [w for w in candidates if owner in self.companion.slots(self.workers[w].pid)]
            if inside or not candidates:
                break
        if candidates:
            victim = inside[0] if inside and attempt else rng.choice(candidates)
            if victim in inside:
                # An earlier death was reported to this process, or, if it had no time to report that, to the
                # next one, together with its own.
                assert self.told() in (self.to_be_told - 1, self.to_be_told)
                self.to_be_told = self.told() + 1
            self.workers[victim].process.kill()
        self.go_on()
        if candidates:
            self.workers[victim].reap()
            self.workers[victim] = self.start(victim)
        return bool(candidates)

    def run(self, rng):
        kills = 0
        pause = max(1, WORKERS * self.each // KILLS)
        while self.unfinished():
            until = self.reported() + rng.randrange(1, 2 * pause)
            support.until(lambda: self.reported() >= until or not self.unfinished())
            kills += self.kill_one(rng)
        for worker in self.workers:
            assert worker.answer() == "ok"
            assert worker.answer() == "ok"
        return kills


def main(tool, each):
    support.watchdog(LIMIT)
    found = sorted(support.interpreters().items())
    pythons = [path for _, path in found] or [sys.executable]
    commands = []
    for i in range(WORKERS // 2):
        awaits = i % 2 == 1
        commands.append(support.tool_command(tool, awaits))
        commands.append(support.agent_command(pythons[i % len(pythons)], awaits))
    seed = random.randrange(1 << 32)
    print("seed", seed, flush=True)
    with support.block("count") as name:
        count = Count(name, commands, int(each))
        kills = count.run(random.Random(seed))
        last = Agent(support.tool_command(tool, False))
        last.do("open " + name)
        answer = last.ask("begin")
        words = count.words()
        told = count.told() + (answer == "owner_died")
        print("%d killed, %d of them in a transaction" % (kills, count.to_be_told))
        assert told == count.to_be_told, (told, count.to_be_told)
        assert list(words[1:9]) == [int(each)] * WORKERS
        assert answer == "owner_died" or words[0] == WORKERS * int(each), words[0]
        last.do("end")
        last.finish()
        for worker in count.workers:
            worker.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
