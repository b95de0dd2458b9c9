#!/usr/bin/env python3
"""examples/python/belfry_watch alone, and its companion compared with that of C++.

module.py WATCH_TOOL
"""

import asyncio
import errno
import mmap
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
import unittest
import unittest.mock

from multiprocessing.shared_memory import SharedMemory

import support
import belfry_watch
from belfry_watch import Watch, layout
from support import Agent

TOOL = None


def write_and_read(name, end):
    """Runs in a process of its own."""
    block = SharedMemory(name)
    numbers = memoryview(block.buf).cast("Q")
    watch = Watch(name)
    with watch.txn():
        for i in range(10):
            numbers[i] = i
        if end == "kill within":
            os.kill(os.getpid(), signal.SIGKILL)
    with watch.txn():
        assert numbers.tolist() == list(range(10))
    numbers.release()
    block.close()
    if end == "forgotten":
        write_and_read.watch = watch
    elif end == "os._exit":
        os._exit(0)
    elif end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


class Alone(unittest.TestCase):
    def setUp(self):
        block = support.block(self.id().rpartition(".")[2])
        self.name = block.__enter__()
        self.addCleanup(block.__exit__, None, None, None)

    def companion(self):
        return (support.SHM / (self.name + ".watch")).read_bytes()

    def test_the_companion_is_the_one_that_cpp_makes(self):
        with Watch(self.name):
            ours = self.companion()
        agent = Agent(support.tool_command(TOOL, True))
        agent.do("open " + self.name)
        theirs = self.companion()
        agent.do("close")
        agent.finish()
        self.assertEqual(len(ours), len(theirs))
        own = [  # differences: the segment's id; the only slot's pid, bell descriptor, bell inode, time and program;
            range(24, 40),  # and the version, which is the time
            range(180, 208),  # the creator's pid, the time, the creator's name
            range(8 * (layout.ROSTER + layout.PID), 8 * (layout.ROSTER + layout.BELL + 1)),
            range(8 * (layout.ROSTER + layout.SINCE), 8 * (layout.ROSTER + layout.PROGRAM + 2)),
            range(8 * layout.CHANGES, 8 * layout.CHANGES + 8),
            range(8 * layout.WHOLE, 8 * layout.WHOLE + 8),
        ]
        differing = {i for i in range(len(ours)) if ours[i] != theirs[i]}
        self.assertEqual(differing - {i for r in own for i in r}, set())
        self.assertNotEqual(ours[24:40], theirs[24:40])
        for companion in ours, theirs:
            words = memoryview(companion).cast("Q")
            self.assertEqual(words[layout.CHANGES], words[layout.WHOLE])
            self.assertLess(abs(words[layout.CHANGES] - time.time_ns()), 3600 * 10**9)

    def test_a_version_of_an_earlier_companion(self):
        with Watch(self.name) as watch:
            watch.notify()
            seen = watch.version()
            self.assertEqual(watch.wait(seen, 1, timeout=0), seen)
        with Watch(self.name) as watch:
            self.assertGreater(watch.wait(seen, 1), seen)
            self.assertGreater(watch.version(), seen)
            watch.wait(watch.version() + 1000, 1)  # as if the clock had been set back

    def test_a_notifier_counts_the_others_behind_a_fence(self):
        """x86 shows this fault once in millions of rounds; so the test checks the order of the calls."""
        steps = []

        class Words:
            def __init__(self, words):
                self.words = words

            def __getitem__(self, i):
                return self.words[i]

            def __setitem__(self, i, value):
                if i == layout.CHANGES:
                    steps.append("count")
                elif i == layout.WHOLE:
                    steps.append("stamp")
                self.words[i] = value

        with Watch(self.name) as watch:
            state = layout.State(watch._member.words)
            sum_of = state.version
            state.words = Words(state.words)
            state.version = lambda: steps.append("sum") or sum_of()
            fence, layout.fence = layout.fence, lambda: steps.append("fence")
            try:
                state.change(0)
            finally:
                layout.fence = fence
        self.assertEqual(steps, ["count", "fence", "sum", "stamp"])

    def test_nothing_is_left_of_the_tutorials_program(self):
        """A parent creates a block; two processes, one after the other, write into it in transactions."""
        support.watchdog(600)
        for end in "return", "forgotten", "os._exit", "kill", "kill within":
            for method in multiprocessing.get_all_start_methods():
                with self.subTest(end, method=method):
                    block = SharedMemory(create=True, size=80)
                    context = multiprocessing.get_context(method)
                    for _ in range(2):
                        p = context.Process(target=write_and_read, args=(block.name, end))
                        p.start()
                        p.join()
                        self.assertEqual(p.exitcode, -signal.SIGKILL if end.startswith("kill") else 0)
                    if end in ("return", "forgotten"):
                        self.assertEqual(support.files_of(block.name), [block.name])
                    block.close()
                    belfry_watch.unlink(block)
                    self.assertEqual(support.files_of(block.name), [])

    def test_the_last_one_alive_removes_the_companion_of_a_block_that_has_gone(self):
        block = SharedMemory(create=True, size=80)
        watch = Watch(block.name)
        p = multiprocessing.get_context("fork").Process(
            target=write_and_read, args=(block.name, "kill within")
        )
        p.start()
        p.join()
        block.close()
        belfry_watch.unlink(block)
        self.assertNotEqual(support.files_of(block.name), [])  # Python has one
        watch.close()
        self.assertEqual(support.files_of(block.name), [])

    def test_long_names(self):
        name = support.unique_name("long")
        for length in 240, 241, 255:
            path = support.SHM / (name + "x" * (length - len(name)))
            path.write_bytes(bytes(64))
            try:
                if length == 240:
                    with Watch(path.name) as watch, watch.txn():
                        pass
                else:
                    with self.assertRaisesRegex(OSError, "companion.* 240 bytes") as caught:
                        Watch(path.name)
                    self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)
            finally:
                path.unlink()

    def test_modes(self):
        with Watch(self.name):
            for file in support.files_of(self.name + ".watch"):
                self.assertEqual((support.SHM / file).stat().st_mode & 0o777, 0o600)

    @unittest.skipUnless(os.geteuid() == 0, "only root may become another user")
    def test_the_companion_is_for_the_users_of_the_block(self):
        alice, bob, friends = 54321, 54322, 54323
        path = support.SHM / self.name

        def as_user(user, action):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.setgroups([friends] if user else [])
                    os.setgid(user)
                    os.setuid(user)
                    action()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            return pid

        def take_turns(me):
            support.watchdog(600)
            with path.open("r+b") as f, Watch(self.name) as watch:
                words = memoryview(mmap.mmap(f.fileno(), 0)).cast("Q")
                while True:
                    seen = watch.version()
                    turn = words[0]
                    if turn == 20:
                        break
                    if turn % 2 == me:
                        with watch.txn():
                            words[0] += 1
                    else:
                        watch.wait(seen)

        cases = [(0o660, friends, alice, bob), (0o660, friends, bob, alice), (0o666, alice, bob, alice),
                 (0o600, alice, 0, alice), (0o664, friends, alice, bob)]  # fmt: skip
        for mode, group, first, second in cases:
            with self.subTest(mode=oct(mode), first=first, second=second):
                path.write_bytes(bytes(4096))
                os.chown(path, alice, group)
                path.chmod(mode)
                children = [as_user(first, lambda: take_turns(0))]
                support.until(lambda: support.Companion(self.name).path.exists())
                status = support.Companion(self.name).path.stat()
                self.assertEqual(status.st_mode & 0o777, mode & ~0o004 if mode == 0o664 else mode)
                if mode != 0o666:  # otherwise the group does not matter
                    self.assertEqual(status.st_gid, group)
                if first == 0:
                    self.assertEqual(status.st_uid, alice)
                children.append(as_user(second, lambda: take_turns(1)))
                for child in children:
                    self.assertEqual(os.waitpid(child, 0)[1], 0)
                # Only its owner could remove it, and need not have left last.
                belfry_watch.roster.remove_companion_if_over(self.name)
                self.assertEqual(support.files_of(self.name), [self.name])

    def test_leaving_among_several_users_waits_a_moment_for_the_lock(self):
        (support.SHM / self.name).chmod(0o666)
        watch = Watch(self.name)
        fd = os.open(support.SHM / (self.name + ".watch"), os.O_RDWR | os.O_CLOEXEC)
        self.addCleanup(os.close, fd)
        self.assertTrue(belfry_watch.system.lock(fd, layout.ROSTER_LOCK))
        with unittest.mock.patch("time.sleep", lambda seconds: belfry_watch.system.unlock(fd, layout.ROSTER_LOCK)):
            watch.close()
        self.assertEqual(support.files_of(self.name), [self.name])

    @unittest.skipUnless(os.geteuid() == 0, "only root may give a file away")
    def test_another_user_has_made_the_companion(self):
        with Watch(self.name):
            file = support.SHM / (self.name + ".watch")
            os.chown(file, 54321, -1)
            with self.assertRaisesRegex(PermissionError, "user 54321"):
                Watch(self.name)
            os.chown(support.SHM / self.name, 54321, -1)
            Watch(self.name).close()  # it belongs to the block's owner

    @unittest.skipUnless(os.geteuid() == 0, "only root may become another user")
    def test_the_bell_of_another_users_dead_process_keeps_only_its_own_place(self):
        alice, bob = 54321, 54322
        path = support.SHM / self.name
        path.chmod(0o666)

        def as_user(user, action):
            pid = os.fork()
            if pid == 0:
                try:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                    action()
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            return pid

        def wait_to_be_killed():
            with Watch(self.name) as watch:
                watch.wait(watch.version())

        def take_part():
            with Watch(self.name) as watch:
                watch.notify()

        dead = as_user(alice, wait_to_be_killed)
        bell = support.SHM / (self.name + ".watch.bell.0")
        support.until(bell.exists)
        os.kill(dead, signal.SIGKILL)
        os.waitpid(dead, 0)
        self.assertEqual(os.waitpid(as_user(bob, take_part), 0)[1], 0)
        belfry_watch.roster.remove_companion_if_over(self.name)
        bell.unlink(missing_ok=True)

    def test_a_failed_setup_leaves_nothing(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        held = [os.open("/dev/null", os.O_RDONLY)]
        while held[-1] <= highest:  # no number is left below
            held.append(os.open("/dev/null", os.O_RDONLY))
        before = os.listdir("/proc/self/fd")
        first = held[-1] + 1
        failed = 0
        for more in range(20):  # fails at every descriptor that it takes
            resource.setrlimit(resource.RLIMIT_NOFILE, (first + more, limits[1]))
            try:
                Watch(self.name).close()
            except OSError as e:
                self.assertEqual(e.errno, errno.EMFILE)
                failed += 1
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            self.assertEqual(support.files_of(self.name), [self.name])
            self.assertEqual(os.listdir("/proc/self/fd"), before)
        self.assertGreater(failed, 3)
        for fd in held:
            os.close(fd)

    def test_something_else_has_the_name(self):
        (support.SHM / (self.name + ".watch")).write_bytes(bytes(layout.SIZE))
        with self.assertRaisesRegex(ValueError, "magic"):
            Watch(self.name)
        (support.SHM / (self.name + ".watch")).write_bytes(b"x")
        with self.assertRaisesRegex(ValueError, "not the companion"):
            Watch(self.name)
        (support.SHM / (self.name + ".watch")).unlink()
        self.assertRaises(FileNotFoundError, Watch, self.name + "-none")
        self.assertRaises(ValueError, Watch, "a/b")

    def test_64_watches(self):
        watches = [Watch(self.name) for _ in range(layout.SLOTS)]
        with self.assertRaises(OSError) as caught:
            Watch(self.name)
        self.assertEqual(caught.exception.errno, errno.EUSERS)
        watches.pop(17).close()
        watches.append(Watch(self.name))
        seen = watches[0].version()
        watches[-1].notify()
        self.assertEqual(watches[0].wait(seen), seen + 1)
        for watch in watches:
            watch.close()

    def test_no_descriptor_is_left(self):
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with Watch(self.name) as a, Watch(self.name) as b:
                a.notify()
                b.wait(b.version(), timeout=0)
            del a, b  # they keep the mapping
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)

    def test_a_watch_that_is_dropped_has_left(self):
        watch = Watch(self.name)
        del watch
        self.assertEqual(support.files_of(self.name), [self.name])

    def test_closed(self):
        watch = Watch(self.name)
        watch.close()
        watch.close()
        self.assertRaises(ValueError, watch.notify)
        self.assertRaises(ValueError, watch.wait, watch.version())
        with self.assertRaises(ValueError), watch.txn():
            pass

    def test_closed_within_a_transaction(self):
        with Watch(self.name) as other:
            with Watch(self.name) as watch, watch.txn():
                watch.close()
            with other.txn(0) as t:
                self.assertFalse(t.owner_died)

    def test_transactions_exclude_and_end(self):
        with Watch(self.name) as a, Watch(self.name) as b:
            with self.assertRaises(KeyError), a.txn():
                with self.assertRaises(RuntimeError), a.txn():
                    pass
                with self.assertRaises(TimeoutError), b.txn(0.001):
                    pass
                raise KeyError
            seen = a.version()
            with b.txn(0) as t:
                self.assertFalse(t.owner_died)
            self.assertEqual(a.version(), seen + 1)

    def test_no_signal_of_a_broken_bell(self):
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGPIPE, before)
        agent = Agent(support.tool_command(TOOL, True))
        with Watch(self.name) as watch:
            agent.do("open " + self.name)
            agent.tell("changed %d" % watch.version())
            companion = support.Companion(self.name)
            support.until(lambda: companion.sleeps(agent.pid))
            watch._member._reach(companion.slots(agent.pid)[0])  # opened while it lives
            agent.kill()
            watch.notify()
            self.assertEqual(companion.slots(agent.pid), [])
        self.assertNotIn(signal.SIGPIPE, signal.sigpending())

    def lingering_holder(self):
        """Dies in a transaction, but the kernel has not closed the file with the lock yet:
        a copy of the descriptor stands for that file, until it is closed."""
        holder = Watch(self.name)
        holder.txn().__enter__()
        copy = os.dup(holder._member.block)
        holder._member.abandon()  # as if it had been killed
        return copy

    def test_a_lock_that_outlives_its_holder(self):
        for waits_before in True, False:
            copy = self.lingering_holder()
            with Watch(self.name) as watch:
                if waits_before:
                    with self.assertRaises(TimeoutError), watch.txn(0.1):
                        pass
                threading.Timer(0.1, os.close, (copy,)).start()
                with watch.txn() as t:
                    self.assertTrue(t.owner_died)

    def test_an_event_loop_goes_on_while_a_lock_outlives_its_holder(self):
        async def begin(watch):
            async with watch.txn() as t:
                return t.owner_died

        async def main():
            copy = self.lingering_holder()
            with Watch(self.name) as watch:
                waiting = asyncio.ensure_future(begin(watch))
                await asyncio.sleep(0.3)
                self.assertFalse(waiting.done())
                os.close(copy)
                self.assertTrue(await waiting)

        def sleep(seconds):
            self.fail("the loop sleeps")

        self.addCleanup(setattr, time, "sleep", time.sleep)
        time.sleep = sleep
        self.run_async(main)

    def test_an_interrupt_ends_what_blocks_and_leaves_nothing(self):
        """Ctrl-C at any moment: the next participant gets the transaction, and is told of no death."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, signal.default_int_handler))
        main = threading.get_ident()
        companion = support.Companion(self.name)

        def interrupt_when_asleep():
            support.until(lambda: companion.sleeps(os.getpid()))
            signal.pthread_kill(main, signal.SIGUSR1)

        with Watch(self.name) as holder, Watch(self.name) as watch, Watch(self.name) as third:
            for _ in range(3):
                interrupter = threading.Thread(target=interrupt_when_asleep)
                interrupter.start()
                with holder.txn(), self.assertRaises(KeyboardInterrupt), watch.txn():
                    pass
                interrupter.join()
                with third.txn(0) as t:
                    self.assertFalse(t.owner_died)
                interrupter = threading.Thread(target=interrupt_when_asleep)
                interrupter.start()
                with self.assertRaises(KeyboardInterrupt):
                    watch.wait(watch.version())
                interrupter.join()

    def test_an_interrupt_at_every_line_of_a_transaction(self):
        code = {f.__code__ for f in (Watch._try_begin, layout.State.set_dirty, layout.State.take_ticket)}
        with Watch(self.name) as watch, Watch(self.name) as other:
            for lines in range(100):
                left = lines

                def trace(frame, event, _):
                    nonlocal left
                    if frame.f_code not in code:
                        return None
                    left -= event == "line"
                    if event == "line" and left < 0:
                        raise KeyboardInterrupt
                    return trace

                sys.settrace(trace)
                try:
                    with watch.txn():
                        pass
                except KeyboardInterrupt:
                    interrupted = True
                else:
                    interrupted = False
                finally:
                    sys.settrace(None)
                with other.txn(0) as t:
                    self.assertFalse(t.owner_died, lines)
                if not interrupted:
                    break
            self.assertGreater(lines, 5)
            self.assertLess(lines, 50)

    # ---- in asyncio

    def run_async(self, main):
        asyncio.run(asyncio.wait_for(main(), 60))

    def test_awaited_together(self):
        async def main():
            with Watch(self.name) as watch, Watch(self.name) as other:
                seen = watch.version()
                all_of_them = [asyncio.ensure_future(watch.changed(seen)) for _ in range(5)]
                await asyncio.sleep(0)
                self.assertFalse(any(f.done() for f in all_of_them))
                other.notify()
                self.assertEqual(await asyncio.gather(*all_of_them), [seen + 1] * 5)
                own = asyncio.ensure_future(watch.changed(seen + 1))
                await asyncio.sleep(0)
                watch.notify()
                self.assertEqual(await own, seen + 2)

        self.run_async(main)

    def test_a_cancelled_wait_leaves_the_others(self):
        async def main():
            with Watch(self.name) as watch, Watch(self.name) as other:
                seen = watch.version()
                first = asyncio.ensure_future(watch.changed(seen))
                second = asyncio.ensure_future(watch.changed(seen))
                await asyncio.sleep(0)
                first.cancel()
                await asyncio.wait([first])
                self.assertTrue(first.cancelled())
                other.notify()
                self.assertEqual(await second, seen + 1)

        self.run_async(main)

    def test_a_cancelled_transaction_holds_nothing(self):
        async def begin(watch):
            async with watch.txn():
                pass

        async def main():
            with Watch(self.name) as a, Watch(self.name) as b, Watch(self.name) as c:
                async with a.txn():
                    waiting = asyncio.ensure_future(begin(b))
                    after = asyncio.ensure_future(begin(c))
                    await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    with self.assertRaises(TimeoutError):
                        async with b.txn(0.001):
                            pass
                await after
                async with b.txn(0):
                    pass

        self.run_async(main)

    def test_tasks_of_one_watch_exclude_each_other(self):
        inside = []

        async def enter(watch):
            async with watch.txn():
                inside.append(1)
                self.assertEqual(sum(inside), 1)
                await asyncio.sleep(0)
                inside.pop()

        async def main():
            with Watch(self.name) as watch:
                await asyncio.gather(*(enter(watch) for _ in range(5)))

        self.run_async(main)

    def test_blocking_beside_sleeping(self):
        async def main():
            with Watch(self.name) as watch, Watch(self.name) as other:
                seen = watch.version()
                sleeping = asyncio.ensure_future(watch.changed(seen, 3))
                await asyncio.sleep(0)
                watch.wait(seen, timeout=0.001)  # drains the bell of both
                await asyncio.sleep(0)
                other.notify()
                self.assertEqual(await sleeping, seen + 1)

        self.run_async(main)

    def test_one_loop_after_the_other(self):
        with Watch(self.name) as watch, Watch(self.name) as other:
            for _ in range(3):
                seen = watch.version()

                async def main():
                    sleeping = asyncio.ensure_future(watch.changed(seen))
                    await asyncio.sleep(0)
                    other.notify()
                    self.assertEqual(await sleeping, seen + 1)

                self.run_async(main)

    def test_closed_while_asleep(self):
        async def main():
            watch = Watch(self.name)
            sleeping = asyncio.ensure_future(watch.changed(watch.version()))
            await asyncio.sleep(0)
            watch.close()
            with self.assertRaises(ValueError):
                await sleeping

        self.run_async(main)


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    support.watchdog(600)
    unittest.main()
