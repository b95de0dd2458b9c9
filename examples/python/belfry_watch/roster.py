"""The participants of a block's companion: how they join, wake each other, and reap the dead. The C++ side:
include/belfry/detail/segment/roster.hpp."""

import contextlib
import errno
import mmap
import os
import select
import struct
import time
import weakref

from . import layout, system
from .layout import AWAKE, DIED, FREE, GOING, JOINING, LEFT, LIVE, PARKED
from .layout import BELL, CONTROL, DEATHS, DIRTY, JOINS, LEAVES, MARKS, PARK, PARKS, PID, PROGRAM, RINGS, ROSTER, SINCE
from .layout import FLAG_PERSISTENT, ROSTER_LOCK, SIZE, SLOT_WORDS, SLOTS, STATE
from .layout import Control, State, fence, slot_lock

_members = weakref.WeakSet()


class Gone(Exception):
    """The companion has lost its name: its last participant was just leaving."""


class Deserted(Exception):
    """A bell without a reader: the owner of its slot is dead."""


class Member:
    """One participant. Its locks belong to the file descriptions `fd` and `block`; the mapping has
    another one, because a mapping would keep the locks alive in the child of a fork."""

    def __init__(self, path, block):
        self.path = path
        self.block = block
        self.slot = None
        self.bell = None
        self.peers = {}  # slot: (generation, writing end of the bell)
        self.readers = {}  # descriptor: the event loop that watches it
        self.known_dead = {}  # slot: generation whose bell has no reader
        self.reap_due = False  # the roster's lock was held by another participant, so reaping is still to be done
        self.fd = system.open_or_create(path, block)
        try:
            system.check_owner(self.fd, block, path)
            identity = system.identity(self.fd, path)
            self.persistent = identity["flags"] & FLAG_PERSISTENT
            self.bell_mode = identity["bell_mode"] & 0o777
            mapped = os.open("/proc/thread-self/fd/%d" % self.fd, os.O_RDWR | os.O_CLOEXEC)
            try:
                memory = memoryview(mmap.mmap(mapped, SIZE))
            finally:
                os.close(mapped)
            self.words = memory.cast("Q")
            self.controls = self.words[ROSTER + CONTROL : STATE : SLOT_WORDS]
            self.marks = memory[MARKS : MARKS + SLOTS]
            self.state = State(self.words)
            self._join(outdated=identity["subject"] != os.fstat(block).st_ino)
        except BaseException as e:
            for fd in (self.fd, *(fd for _, fd in self.peers.values())):
                os.close(fd)
            if not isinstance(e, Gone):
                remove_companion_if_over(name_of_block(path))  # it may have been made for this one
            raise
        _members.add(self)
        self.ring_everyone()

    def _join(self, outdated):
        with self._roster(wait=True):
            if os.fstat(self.fd).st_nlink == 0:
                raise Gone
            self._reap_locked()
            if outdated:  # its block has lost its name to ours; its participants continue
                if not os.path.samestat(os.stat(layout.DIRECTORY + name_of_block(self.path)), os.fstat(self.block)):
                    raise FileNotFoundError(errno.ENOENT, "another block has this name now", self.path)
                self._unlink()
                if os.fstat(self.fd).st_nlink:
                    raise PermissionError(errno.EPERM, "another user's companion, of an earlier block", self.path)
                raise Gone
            self._meet()
            unusable = set()
            while self.slot is None:
                slot = self._lock_free_slot(unusable)
                try:
                    self._settle_in(slot)
                except FileExistsError:
                    # In a sticky directory this process cannot remove the bell of another user's dead process.
                    # Then it takes the next slot.
                    system.unlock(self.fd, slot_lock(slot))
                    unusable.add(slot)

    def _settle_in(self, slot):
        self._put(slot, BELL, 0)
        # The generation, and the end that the slot tells, are the former owner's until this one is live.
        control = self.control(slot)._replace(state=JOINING)
        self.set_control(slot, control)
        self._put(slot, PID, os.getpid())
        try:
            self._put(slot, SINCE, time.time_ns())
            for i, word in enumerate(struct.unpack("<2Q", system.program_name())):
                self._put(slot, PROGRAM + i, word)
            self.bell = system.make_bell(self._bell_path(slot), self.fd, self.bell_mode)
        except BaseException:
            self.set_control(slot, control._replace(state=FREE))
            raise
        self._put(slot, BELL, os.fstat(self.bell).st_ino)
        self._put(slot, PID, os.getpid() | self.bell << 32)
        # Continue from the previous owner's epoch.
        self._put(slot, PARK, ((self._get(slot, PARK) >> 2) + 1) << 2 | AWAKE)
        generation = (control.generation + 1) % 2**32
        self.set_control(slot, control._replace(generation=generation, state=LIVE, end=0))
        self.words[JOINS] += 1  # only now: a notifier that sees the count sees a live newcomer
        self.slot, self.generation = slot, generation

    def _lock_free_slot(self, unusable):
        """If the slot was freed by other evidence, the kernel may not have dropped the lock yet."""
        for attempt in range(200):
            free = [i for i in range(SLOTS) if self.control(i).state == FREE and i not in unusable]
            for i in free:
                if system.lock(self.fd, slot_lock(i)):
                    return i
            if not free:
                break
            time.sleep(0.001)
        raise OSError(errno.EUSERS, "64 watches of this block are open already", self.path)

    def leave(self):
        if self.fd is None:
            return
        self.unpark()
        self.state.tickets[self.slot] = 0
        # While its lock is held, only the owner changes the word of a slot; so this needs no roster lock.
        self.set_control(self.slot, self.control(self.slot)._replace(state=GOING, end=LEFT))
        with self._roster_for_leaving() as locked:
            if locked:  # in a sticky directory only a bell's owner can remove it
                self._remove_bell(self.slot)
        system.unlock(self.fd, slot_lock(self.slot))
        self.slot = None
        self._clear_up()
        self.ring_everyone()
        self.abandon()

    def _clear_up(self):
        """If another participant holds the roster's lock, that one does this: when it leaves, or at once if it is
        leaving."""
        while True:
            with self._roster_for_leaving() as locked:
                if not locked:
                    return
                self._reap_locked()
                over = not self.words[DIRTY] or os.fstat(self.block).st_nlink == 0
                if over and not self._live() and not self.persistent:
                    self._unlink()
            if not any(self._is_going(i) for i in range(SLOTS)):
                return

    def _is_going(self, slot):
        state = self.control(slot).state
        return state == GOING and not system.is_locked_by_another(self.fd, slot_lock(slot))

    def _unlink(self):
        """Only if the name still belongs to this companion. In a sticky directory another user's stays."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if os.path.samestat(os.fstat(self.fd), os.lstat(self.path)):
                os.unlink(self.path)

    def abandon(self):
        """Closes the descriptors only: after a fork the slot belongs to the parent, and so do the
        reactors that watch them."""
        self.readers.clear()
        for fd in (self.fd, self.block, self.bell, *(fd for _, fd in self.peers.values())):
            os.close(fd)
        self.peers.clear()
        self.fd = self.block = self.bell = None

    def _put(self, slot, field, value):
        self.words[ROSTER + slot * SLOT_WORDS + field] = value

    def _get(self, slot, field):
        return self.words[ROSTER + slot * SLOT_WORDS + field]

    def control(self, slot):
        return Control.of(self.controls[slot])

    def set_control(self, slot, control):
        self.controls[slot] = control.word()

    def lives(self, slot, generation):
        """Whether this owner of the slot still participates, as far as is known."""
        control = self.control(slot) if 0 <= slot < SLOTS else Control(0, 0, 0, FREE)
        return control.state == LIVE and control.generation == generation

    def _live(self):
        """The slots of the other live participants."""
        controls = enumerate(self.controls.tolist())
        return [i for i, word in controls if word >> 56 == LIVE and i != self.slot]

    def _roster_for_leaving(self):
        """In a sticky directory no other user can remove the bell of this one. So where several users may participate,
        leaving waits some tenths of a second for the lock; only a holder that is stopped takes longer."""
        return self._roster(tries=1000 if self.bell_mode & 0o066 else 1)

    @contextlib.contextmanager
    def _roster(self, wait=False, tries=1):
        while not (locked := system.lock(self.fd, ROSTER_LOCK, wait)) and (tries := tries - 1):
            time.sleep(0.0001)
        try:
            yield locked
        finally:
            if locked:
                system.unlock(self.fd, ROSTER_LOCK)

    # ---- reaping

    def _reap_locked(self):
        """Frees the slots of dead owners (their lock is free, or their bell has no reader), and of owners
        that have left."""
        reaped = False
        for i in range(SLOTS):
            control = self.control(i)
            if i == self.slot or control.state == FREE:
                continue
            known_dead = self.known_dead.get(i) == control.generation
            if not known_dead and system.is_locked_by_another(self.fd, slot_lock(i)):
                continue
            control = self.control(i)  # an owner that leaves says so before it gives up the lock, perhaps just now
            if control.state != GOING:
                self.state.recover(i)
            if control.state == LIVE:
                deaths = (control.deaths + 1) % 2**16
                control = control._replace(deaths=deaths, end=DIED, state=GOING)
                self.words[DEATHS] += 1
                self.set_control(i, control)  # counted in the same store
            elif control.state == GOING and control.end == LEFT:
                self.words[LEAVES] += 1
            self._remove_bell(i)
            self.marks[i] = 0
            self.set_control(i, control._replace(state=FREE))
            reaped = True
        return reaped

    def _found_dead(self, slot, generation):
        self.known_dead[slot] = generation
        self._reap()

    def _reap(self):
        """Reaps at once, or later if another participant holds the roster's lock."""
        reaped = False
        with self._roster() as locked:
            self.reap_due = not locked
            if locked:
                reaped = self._reap_locked()
        if reaped:
            self.ring_everyone()

    def retry_after(self, seconds):
        """When to look again at the latest: no notification follows when the roster's lock is released."""
        return min(seconds or 0.05, 0.05) if self.reap_due else seconds

    def _remove_bell(self, slot):
        path, known = self._bell_path(slot), self._get(slot, BELL)
        found = system.inode_of_bell(path)
        ours = known == found if known else os.fstat(self.fd).st_nlink != 0
        if found and ours:
            with contextlib.suppress(OSError):
                os.unlink(path)

    # ---- waking others

    def _bell_path(self, slot):
        return "%s.bell.%d" % (self.path, slot)

    def _meet(self):
        """Before joining, under the roster's lock: all participants must be notified."""
        for slot in self._live():
            try:
                self._reach(slot)
            except Deserted:
                self.known_dead[slot] = self.control(slot).generation
        self._reap_locked()

    def _reach(self, slot):
        """The writing end of the bell of the slot's owner; None if the owner has just gone. Raises
        OSError if the owner exists and its bell cannot be opened."""
        generation = self.control(slot).generation
        if slot in self.peers:
            if self.peers[slot][0] == generation:
                return self.peers[slot][1]
            self._drop(slot)
        path, made = self._bell_path(slot), self._get(slot, BELL)
        fd = None
        try:
            fd = system.open_bell(path, made)
        except FileNotFoundError:
            pass
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            if system.inode_of_bell(path) == made:
                raise Deserted from None
        if fd is None:  # the name is gone, or belongs to another FIFO: the companion was unlinked
            pid, handle = self._get(slot, PID) & 0xFFFFFFFF, self._get(slot, PID) >> 32
            with contextlib.suppress(OSError):
                fd = system.open_bell("/proc/%d/fd/%d" % (pid, handle), made, follow=True)
        if fd is not None:
            self.peers[slot] = (generation, fd)
        elif slot in self._live() and system.is_locked_by_another(self.fd, slot_lock(slot)):
            raise FileNotFoundError(errno.ENOENT, "the bell of another participant", path)
        return fd

    def _drop(self, slot):
        fd = self.peers.pop(slot)[1]
        self._stop_listening(fd)
        os.close(fd)

    def _ring(self, slot):
        """False if its owner is dead."""
        try:
            fd = self._reach(slot)
        except Deserted:
            return False
        if fd is None or system.ring(fd):
            return True
        self._drop(slot)
        return False

    def ring_parked(self):
        """After a publish. It does not mark the woken as `rung`: that needs a compare-and-swap, and is optional:
        a slow participant is notified twice. Raises OSError, after all others are notified, if one could
        not be reached."""
        fence()  # pairs with the fence in park()
        failed = None
        for i, mark in enumerate(bytes(self.marks)):
            if not mark or i == self.slot or self._get(i, PARK) & 3 != PARKED:
                continue
            generation = self.control(i).generation
            try:
                rang = self._ring(i)
            except OSError as e:
                failed = e
                continue
            if rang:
                self._put(self.slot, RINGS, self._get(self.slot, RINGS) + 1)
            else:
                self._found_dead(i, generation)
        if failed:
            raise failed

    def ring_everyone(self):
        """Notifies others of something that they would notice anyway, but later."""
        for i in self._live():
            with contextlib.suppress(OSError):
                self._ring(i)

    # ---- parking

    def park(self):
        """The caller looks once more, waits until one of these is ready, and passes the ready ones to
        wake(): the bell, and a descriptor for each peer that has an error when it dies."""
        if self.reap_due:
            self._reap()
        live = self._live()
        for i in live:
            generation = self.control(i).generation
            try:
                self._reach(i)
            except Deserted:
                self._found_dead(i, generation)
        for i in [i for i in self.peers if i not in live]:
            self._drop(i)
        epoch = (self._get(self.slot, PARK) >> 2) + 1
        self._put(self.slot, PARK, epoch << 2 | PARKED)
        self._put(self.slot, PARKS, self._get(self.slot, PARKS) + 1)
        self.marks[self.slot] = 1
        fence()  # pairs with the fence in the notifier's publish_fence()
        return [self.bell, *(fd for _, fd in self.peers.values())]

    def wake(self):
        """Drains the bell, and frees the slots of dead participants."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.bell, 4096)) == 4096:
                pass
        poll = select.poll()
        for _, fd in self.peers.values():
            poll.register(fd, 0)  # errors are always reported
        silent = {fd for fd, _ in poll.poll(0)}
        dead = [(slot, peer) for slot, peer in self.peers.items() if peer[1] in silent]
        for slot, peer in dead:
            if self.peers.get(slot) == peer:
                self._drop(slot)
            self._found_dead(slot, peer[0])

    def unpark(self):
        self._put(self.slot, PARK, self._get(self.slot, PARK) >> 2 << 2 | AWAKE)
        self.marks[self.slot] = 0
        for fd in list(self.readers):
            self._stop_listening(fd)

    def listen(self, loop, fds, callback):
        for fd in fds:
            self.readers[fd] = loop
            loop.add_reader(fd, callback)

    def _stop_listening(self, fd):
        loop = self.readers.pop(fd, None)
        if loop is not None and not loop.is_closed():
            loop.remove_reader(fd)


def name_of_block(companion):
    return os.path.basename(companion)[: -len(".watch")]


def remove_companion_if_over(name):
    """Removes the companion of a block, and dead participants' bells, if no participant lives, and the block has
    lost its name, or no holder of a transaction has died."""
    block = layout.DIRECTORY + name
    path = block + ".watch"
    try:
        fd = os.open(path, os.O_RDWR | system.OPEN)
    except OSError:
        return
    try:
        while _remove_if_over(fd, path, block) and not _has_participants(fd):
            pass
    except (FileNotFoundError, PermissionError, ValueError):
        pass  # another process was faster; or it belongs to another user, or is not a companion
    finally:
        os.close(fd)


def _remove_if_over(fd, path, block):
    """True if there are participants. The last one to leave meanwhile leaves the removal to us."""
    subject = system.identity(fd, path)["subject"]
    # If a participant that joins, leaves or reaps holds the lock, the companion is in use.
    if not system.lock(fd, ROSTER_LOCK):
        return False
    try:
        gone = not os.path.exists(block) or os.stat(block).st_ino != subject
        dirty = any(os.pread(fd, 8, 8 * DIRTY))
        in_use = _has_participants(fd)
        if in_use or (dirty and not gone) or not os.path.samestat(os.fstat(fd), os.lstat(path)):
            return in_use
        for i in range(SLOTS):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # another user's, in a sticky directory
                os.unlink("%s.bell.%d" % (path, i))
        os.unlink(path)
        return False
    finally:
        system.unlock(fd, ROSTER_LOCK)


def _has_participants(fd):
    return any(system.is_locked_by_another(fd, slot_lock(i)) for i in range(SLOTS))


def _after_fork():
    for member in list(_members):
        if member.fd is not None:
            member.abandon()


os.register_at_fork(after_in_child=_after_fork)
