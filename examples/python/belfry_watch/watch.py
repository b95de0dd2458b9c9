"""What a program uses: include/belfry/watch.hpp and transaction.hpp."""

import asyncio
import contextlib
import errno
import multiprocessing.util
import os
import select
import time

from . import layout, system
from .layout import DIRTY, TXN_LOCK
from .roster import Gone, Member


def _earlier(deadline, pause):
    """How long to sleep (None: without limit), and whether the pause ends before the deadline."""
    left = None if deadline is None else max(0, deadline - time.monotonic())
    if pause is None or (left is not None and left <= pause):
        return left, False
    return pause, True


class Watch:
    """A block, by its name: SharedMemory.name, or ShareableList.shm.name. Up to 64 watches of a block
    may be open at a time, in all programs together."""

    def __init__(self, name):
        if "/" in name or "\0" in name:
            raise ValueError("not the name of a block: %r" % name)
        if len(os.fsencode(name)) > layout.LONGEST_NAME:
            what = "its companion, NAME.watch, leaves the name of a block %d bytes" % layout.LONGEST_NAME
            raise OSError(errno.ENAMETOOLONG, what, name)
        block = os.open(layout.DIRECTORY + name, os.O_RDWR | system.OPEN)
        try:
            self._member = None
            while self._member is None:
                with contextlib.suppress(Gone):
                    self._member = Member(layout.DIRECTORY + name + ".watch", block)
        except BaseException:
            os.close(block)
            raise
        self._state = self._member.state
        self._holder = None  # the open Transaction
        self._pause = 0  # before the next attempt to get the lock, if no notification may follow its release
        self._sleepers = set()
        # Also runs when the Watch is garbage, when the program ends, and when a process of multiprocessing
        # ends, which does not run atexit.
        self._leave = multiprocessing.util.Finalize(self, self._member.leave, exitpriority=0)

    def close(self):
        if self._holder:
            self._end()
        self._leave()
        self._rise()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _open_member(self):
        if self._member.fd is None:
            raise ValueError("the watch is closed")
        return self._member

    def version(self):
        """Grows with every notification. A program that reads the block after this sees all changes
        that the version counts."""
        return self._state.version()

    def notify(self):
        """Call it after changing the block: wakes the watchers. There is no form for a single element,
        as in C++: that needs a compare-and-swap."""
        member = self._open_member()
        self._state.change(member.slot)
        member.ring_parked()
        self._rise()

    async def changed(self, seen, *elements):
        """Waits until the version is not `seen`, or until one of these elements, or the block as a
        whole, has changed since `seen`. Gives the newest version."""
        await self._asleep(lambda: self._state.changed_since(seen, elements))
        return self.version()

    def wait(self, seen, *elements, timeout=None):
        """The same, blocking; also returns after `timeout` seconds."""
        self._sleep(lambda: self._state.changed_since(seen, elements), timeout)
        return self.version()

    def txn(self, timeout=None):
        """Exclusive access among processes, by `with` or `async with`. See Transaction."""
        return Transaction(self, timeout)

    # ---- sleeping

    def _sleep(self, ready, timeout, retry_after=lambda: None):
        """Waits until the condition holds; false if the deadline came first. `retry_after` says
        when to look again at the latest."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not ready():
            member = self._open_member()
            poll = select.poll()
            for fd in member.park():
                poll.register(fd, select.POLLIN)
            try:
                if ready():
                    return True
                left, retries = _earlier(deadline, member.retry_after(retry_after()))
                in_time = poll.poll(None if left is None else left * 1000) or retries
                member.wake()
            finally:
                self._rise()
            if not in_time:
                return ready()
        return True

    async def _asleep(self, ready, timeout=None, retry_after=lambda: None):
        """The same, while other tasks run."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not ready():
            member = self._open_member()
            woken = loop.create_future()
            self._sleepers.add(woken)
            try:
                member.listen(loop, member.park(), self._on_wake)
                if ready():
                    return True
                left, retries = _earlier(deadline, member.retry_after(retry_after()))
                done, _ = await asyncio.wait({woken}, timeout=left)
                in_time = done or retries
            finally:
                self._sleepers.discard(woken)
                if not self._sleepers:
                    self._rise()
            if not in_time:
                return ready()
        return True

    def _on_wake(self):
        self._member.wake()
        self._rise()

    def _rise(self):
        """Awake: all sleeping tasks look again."""
        if self._member.fd is not None:
            self._member.unpark()
        sleepers, self._sleepers = self._sleepers, set()
        for woken in sleepers:
            if not woken.done():
                woken.set_result(None)

    # ---- transactions

    def _try_begin(self, who):
        if self._holder:
            return False
        member = self._open_member()
        if self._state.is_next(member.slot) and system.lock(member.block, TXN_LOCK):
            who.owner_died = member.words[DIRTY] != 0
            self._state.set_dirty(member.slot, member.generation)
            self._state.tickets[member.slot] = 0
            self._holder = who
            return True
        self._state.take_ticket(member.slot)
        return False

    def _retry_after(self):
        """None, or seconds. The kernel closes the files of a dead process one after the other: we may
        learn of its death from one of them before the file with the lock is closed, and no notification
        follows. Nor does one if a program holds the lock without being a participant."""
        member = self._member
        if self._holder or not self._state.is_next(member.slot) or member.lives(*self._state.holder()):
            self._pause = 0
            return None
        self._pause = min(max(2 * self._pause, 0.0001), 0.01)
        return self._pause

    def _withdraw(self, who):
        """May also run in the middle of _try_begin(), after a KeyboardInterrupt."""
        if self._holder is who:
            return self._end()
        member = self._member
        if member.fd is None:
            return
        if not self._holder:
            if self._state.holder() == (member.slot, member.generation) and not who.owner_died:
                member.words[DIRTY] = 0
            system.unlock(member.block, TXN_LOCK)
        self._state.tickets[member.slot] = 0
        member.ring_parked()  # another waiter may be next now
        self._rise()

    def _end(self):
        member = self._member
        if member.fd is None:  # closed meanwhile, or this is the child of a fork
            self._holder = None
            return
        try:
            member.words[DIRTY] = 0
            self._state.change(member.slot)
        finally:
            system.unlock(member.block, TXN_LOCK)
            self._holder = None
        member.ring_parked()
        self._rise()


class Transaction:
    """Excludes other transactions on the block, in every process and language, and nothing else.
    First come, first served. Notifies at its end.

    `owner_died`: the previous holder was killed, and may have left the data half-written; reported once.
    Tasks that compete with each other need a Watch each: a Watch has one place in the queue."""

    owner_died = False

    def __init__(self, watch, timeout):
        self._watch = watch
        self._timeout = timeout

    def __enter__(self):
        watch = self._watch
        if watch._holder:
            raise RuntimeError("this watch has an open transaction")
        begun = False
        try:
            begun = watch._sleep(
                lambda: watch._try_begin(self), self._timeout, watch._retry_after
            )
        finally:
            if not begun:
                watch._withdraw(self)
        return self._begun(begun)

    async def __aenter__(self):
        watch = self._watch
        begun = False
        try:
            begun = await watch._asleep(
                lambda: watch._try_begin(self), self._timeout, watch._retry_after
            )
        finally:
            if not begun:
                watch._withdraw(self)
        return self._begun(begun)

    def _begun(self, begun):
        if not begun:
            raise TimeoutError(errno.ETIMEDOUT, "begin a transaction")
        return self

    def __exit__(self, *error):
        self._watch._end()

    async def __aexit__(self, *error):
        self._watch._end()
