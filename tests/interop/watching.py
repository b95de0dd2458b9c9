#!/usr/bin/env python3
"""Watches and transactions between C++ and Python: each wakes the other, and survives its death.

watching.py WATCH_TOOL [TURNS]      for every CPython from 3.9 on of this machine
"""

import itertools
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import support
from support import Agent, Companion

ROUNDS = 10
turns = 500
LIMIT = 100  # seconds for a scenario


class Pool:
    """Participants that survive a scenario are used again by the next one."""

    def __init__(self, tool, python):
        self.commands = {
            "C++": support.tool_command(tool, False),
            "C++ async": support.tool_command(tool, True),
            "Python": support.agent_command(python, False),
            "Python async": support.agent_command(python, True),
        }
        self.idle = {kind: [] for kind in self.commands}

    @contextmanager
    def members(self, what, *kinds):
        """A block, and participants that have it open, in this order."""
        with support.block(what) as name:
            cast = [self.idle[k].pop() if self.idle[k] else Agent(self.commands[k]) for k in kinds]
            for agent in cast:
                agent.do("open " + name)
            yield (Companion(name), *cast)
            for agent, kind in zip(cast, kinds):
                if agent.process.returncode is None:
                    agent.do("close")
                    self.idle[kind].append(agent)

    def open(self, kind, companion):
        agent = Agent(self.commands[kind])
        agent.do("open " + companion.name)
        return agent

    def close(self):
        for agent in itertools.chain(*self.idle.values()):
            agent.finish()


def asleep(companion, agent, command):
    """Gives a command that must wait."""
    agent.tell(command)
    support.until(lambda: companion.sleeps(agent.pid))


def woken(pool, a, b):
    with pool.members("woken", a, b) as (companion, watcher, notifier):
        seen = int(watcher.ask("version"))
        for i in range(ROUNDS):
            asleep(companion, watcher, "changed %d" % seen)
            notifier.do("poke 5 %d" % i)
            if i % 2:
                notifier.do("notify")
            else:
                assert notifier.ask("begin") == "held"
                notifier.do("end")
            now = int(watcher.answer())
            assert now == seen + 1, (now, seen)
            assert watcher.ask("peek 5") == str(i)
            assert notifier.ask("version") == str(now)
            seen = now
        assert watcher.ask("changed %d" % (seen - 1)) == str(seen)


def told_once(pool, a, b):
    with pool.members("once", a, b) as (companion, watcher, notifier):
        seen = int(watcher.ask("version"))
        asleep(companion, watcher, "changed %d" % seen)
        watcher.process.send_signal(signal.SIGSTOP)
        for _ in range(10):
            notifier.do("notify")
        watcher.process.send_signal(signal.SIGCONT)
        assert watcher.answer() == str(seen + 10)
        asleep(companion, watcher, "changed %d" % (seen + 10))
        notifier.do("notify")
        assert watcher.answer() == str(seen + 11)


def in_turns(pool, a, b):
    """No participant sleeps through a notification, however close it comes to parking."""
    with pool.members("turns", a, b, a) as (_, *players):
        for who, player in enumerate(players):
            player.tell("play %d %d %d" % (who, len(players), turns))
        for player in players:
            assert player.answer() == "ok"


def elements(pool, a, b):
    with pool.members("elements", a, b) as (companion, watcher, notifier):
        seen = int(watcher.ask("version"))
        asleep(companion, watcher, "changed %d 3 7" % seen)
        if b.startswith("C++"):
            before = companion.parks(watcher.pid)
            notifier.do("notify 4")
            # It has looked, and sleeps again.
            support.until(lambda: companion.parks(watcher.pid) > before)
            support.until(lambda: companion.sleeps(watcher.pid))
            notifier.do("notify 7")
            assert watcher.answer() == str(seen + 2)
        else:
            notifier.do("notify")
            assert watcher.answer() == str(seen + 1)


def watcher_killed(pool, a, b):
    with pool.members("watcher-killed", a, b) as (companion, watcher, notifier):
        asleep(companion, watcher, "changed " + watcher.ask("version"))
        watcher.kill()
        notifier.do("notify")
        another = pool.open(a, companion)  # if the notifier found no bell, that shows now
        assert not companion.slots(watcher.pid)
        seen = another.ask("version")
        asleep(companion, another, "changed " + seen)
        notifier.do("notify")
        assert int(another.answer()) == int(seen) + 1
        another.finish()


def notifier_killed(pool, a, b):
    """A sleeping watcher notices the death, and everything that was notified."""
    with pool.members("notifier-killed", a, b) as (companion, watcher, notifier):
        seen = watcher.ask("version")
        asleep(companion, watcher, "changed " + seen)
        notifier.kill()
        support.until(lambda: not companion.slots(notifier.pid))
        steps = range(1, 5) if b.startswith("Python") else []
        for step in steps:
            notifier = pool.open(b, companion)
            notifier.tell("die %d" % step)  # notifies no bell
            assert notifier.reap() == -signal.SIGKILL
            assert watcher.answer() != seen
            pool.open(b, companion).finish()  # a newcomer reaps: then the unfinished notification counts
            seen = watcher.ask("version")
            asleep(companion, watcher, "changed " + seen)
        last = pool.open(b, companion)
        last.do("notify")
        assert int(watcher.answer()) == int(seen) + 1
        last.finish()


def unlinked(pool, a, b):
    """Bells that have lost their names are reached through their owners."""
    with pool.members("unlinked", a, b) as (companion, one, other), open(companion.path) as held:
        for file in support.files_of(companion.path.name):
            (support.SHM / file).unlink()
        companion.path = Path("/proc/self/fd/%d" % held.fileno())
        seen = int(one.ask("version"))
        for watcher, notifier in (one, other), (other, one):
            asleep(companion, watcher, "changed %d" % seen)
            notifier.do("notify")
            seen += 1
            assert watcher.answer() == str(seen)
        assert one.ask("begin") == "held"
        asleep(companion, other, "begin")
        one.kill()
        assert other.answer() == "owner_died"
        other.do("end")


def holder_ends(pool, a, b):
    with pool.members("holder-ends", a, b, a) as (companion, holder, next_one, third):
        assert holder.ask("begin") == "held"
        assert next_one.ask("begin 5") == "timed_out"
        asleep(companion, next_one, "begin")
        asleep(companion, third, "begin")
        for agent, follower in (holder, next_one), (next_one, third):
            agent.do("poke 0 1")
            agent.do("end")
            assert follower.answer() == "held"  # in the order of their attempts
            assert agent.ask("begin 5") == "timed_out"
        third.do("end")


def holder_killed(pool, a, b):
    with pool.members("holder-killed", a, b, b) as (companion, holder, next_one, third):
        assert holder.ask("begin") == "held"
        asleep(companion, next_one, "begin")
        asleep(companion, third, "begin")
        holder.kill()
        assert next_one.answer() == "owner_died"
        next_one.do("end")
        assert third.answer() == "held"  # only one is told
        third.do("end")
        assert next_one.ask("begin") == "held"
        next_one.do("end")


def waiter_killed(pool, a, b):
    with pool.members("waiter-killed", a, b, a) as (companion, holder, waiter, next_one):
        assert holder.ask("begin") == "held"
        asleep(companion, waiter, "begin")
        asleep(companion, next_one, "begin")
        waiter.kill()
        holder.do("end")
        assert next_one.answer() == "held"
        next_one.do("end")


def told_later(pool, a, b):
    """A death in a transaction is remembered even if no participant is left."""
    with pool.members("later", a) as (companion, holder):
        assert holder.ask("begin") == "held"
        holder.kill()
        another = pool.open(b, companion)
        assert another.ask("begin") == "owner_died"
        another.do("end")
        assert another.ask("begin") == "held"
        another.do("end")
        another.finish()


def fork_survives(pool, a, b):
    """What a forked child inherits does not make its parent look alive."""
    if not a.startswith("Python"):
        return
    with pool.members("fork", a, b) as (companion, holder, next_one):
        assert holder.ask("begin") == "held"
        child = int(holder.ask("fork"))
        asleep(companion, next_one, "begin")
        holder.kill()
        try:
            assert next_one.answer() == "owner_died"
            # It may have found the lock free before it looked for deaths: a newcomer reaps.
            pool.open(b, companion).finish()
            assert not companion.slots(holder.pid)
        finally:
            os.kill(child, signal.SIGKILL)
        next_one.do("end")


WATCHES = [woken, told_once, in_turns, elements, watcher_killed, notifier_killed, unlinked]
TRANSACTIONS = [holder_ends, holder_killed, waiter_killed, told_later, fork_survives]


def run(tool, python, among_themselves):
    pool = Pool(tool, python)
    for a, b in itertools.product(pool.commands, repeat=2):
        same = a.split()[0] == b.split()[0]
        if same and not (among_themselves and a.startswith("Python")):
            continue
        # For a watch it makes no difference how its program waits for transactions.
        scenarios = WATCHES if "C++" not in (a, b) else []
        for scenario in scenarios + TRANSACTIONS:
            support.watchdog(LIMIT + turns // 10)
            try:
                scenario(pool, a, b)
            except BaseException:
                print("%s(%s, %s) with %s" % (scenario.__name__, a, b, python), flush=True)
                raise
    pool.close()
    support.watchdog(LIMIT)
    subprocess.run([python, str(support.HERE / "module.py"), tool], check=True)


def main(tool, wanted_turns=turns):
    global turns
    turns = int(wanted_turns)
    found = support.interpreters()
    if not found:
        print("skipped: no CPython >= 3.9 with shared memory")
        return 77
    for (minor, patch), python in sorted(found.items()):
        run(tool, python, among_themselves=(minor, patch) == sys.version_info[1:3])
        print("CPython 3.%d.%d: ok" % (minor, patch), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
