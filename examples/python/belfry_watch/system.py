"""Files, locks and bells: src/platform/linux/."""

import contextlib
import errno
import fcntl
import os
import signal
import stat
import struct
import sys
import time

from . import layout

# ---- locks on single bytes, which belong to open file descriptions --------------------------------------

_flock = struct.Struct("hhqqi4x")  # struct flock


def lock(fd, byte, wait=False):
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(fd, command, _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    return True


def unlock(fd, byte):
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))


def is_locked_by_another(fd, byte):
    probe = _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    return _flock.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, probe))[0] != fcntl.F_UNLCK


# ---- blocks and bells --------------------------------------------------------------------------------

OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_or_create(path, block):
    """Builds the companion without a name, so that no process sees an unfinished one."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | OPEN)
        fd = os.open(layout.DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        mode = mode_for_users(block)
        try:
            give_to_users(fd, block, mode)
            os.posix_fallocate(fd, 0, layout.SIZE)  # a full memory is an error now, not a SIGBUS later
            header = dict(
                layout.FIELDS,
                segment_id=os.urandom(16),
                flags=0,
                bell_mode=mode,
                process_namespace=os.stat("/proc/thread-self/ns/pid").st_ino,
                subject=os.fstat(block).st_ino,
                creator=os.getpid(),
                created=time.time_ns(),
                program=program_name(),
            )
            os.pwrite(fd, layout.IDENTITY.pack(*header.values()), 0)
            first = struct.pack("<Q", time.time_ns())  # higher than the versions of an earlier companion
            os.pwrite(fd, first, 8 * layout.CHANGES)
            os.pwrite(fd, first, 8 * layout.WHOLE)
            # Any src_dir_fd makes Python call linkat(2), which can follow the link.
            os.link("/proc/thread-self/fd/%d" % fd, path, src_dir_fd=fd, follow_symlinks=True)
            return fd
        except FileExistsError:
            os.close(fd)  # another process was faster
        except BaseException:
            os.close(fd)
            raise


def program_name():
    """As in the header and in the slots: cut off, padded with zeros."""
    return os.fsencode(os.path.basename((sys.argv or [""])[0]))[:16].ljust(16, b"\0")


def mode_for_users(block):
    """The permission bits of a companion: owner, group and others may participate if they may read and write
    the block."""
    mode = os.fstat(block).st_mode & 0o777
    return 0o600 | sum(mode & 7 << shift for shift in (6, 3, 0) if mode >> shift & 6 == 6)


def give_to_users(fd, block, mode):
    """Gives a file that belongs to a block or companion its group, and, if made by root, its owner."""
    own, of = os.fstat(fd), os.fstat(block)
    user = of.st_uid if own.st_uid == 0 else -1
    needed = user > 0 or (own.st_gid != of.st_gid and mode & 0o060 and not mode & 0o006)
    try:
        os.fchown(fd, user, of.st_gid)
    except PermissionError:
        if needed:
            raise
    os.fchmod(fd, mode)


def check_owner(fd, block, path):
    """Another user may have made the file first. Accepts this user's, root's, the block owner's, or that of
    a user that the block's mode lets in."""
    status, mode = os.fstat(fd), mode_for_users(block)
    in_group = mode & 0o060 and status.st_gid in {os.getegid(), *os.getgroups()}
    if status.st_uid in (os.geteuid(), 0, os.fstat(block).st_uid) or mode & 0o006 or in_group:
        return
    raise PermissionError(errno.EACCES, "it belongs to user %d" % status.st_uid, path)


def identity(fd, path):
    """The fields of the header, if it is a companion's."""
    if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_size != layout.SIZE:
        raise ValueError(path + " is not the companion of a block")
    header = layout.IDENTITY.unpack(os.pread(fd, layout.IDENTITY.size, 0))
    found = dict(zip(layout.FIELDS, header))
    for field, value in layout.FIELDS.items():
        if value is not None and found[field] != value:
            raise ValueError("%s: %s is %r, expected %r" % (path, field, found[field], value))
    return found


def inode_of_bell(path):
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        if stat.S_ISFIFO(status.st_mode):
            return status.st_ino
    return 0


def make_bell(path, companion, mode):
    """The owner's end. An existing FIFO is a dead owner's, because the caller holds the slot. FileExistsError if it
    cannot be removed."""
    if inode_of_bell(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
    os.mkfifo(path, 0o600)
    bell = None
    try:
        # Opened for both directions, a FIFO never reports a hang-up to its owner when peers come and go. As
        # the owner is the only reader, its death still shows at the other end.
        bell = os.open(path, os.O_RDWR | OPEN)
        give_to_users(bell, companion, mode)
    except BaseException:
        os.unlink(path)
        if bell is not None:
            os.close(bell)
        raise
    return bell


def open_bell(path, inode, follow=False):
    """The writing end; None if the path is not this bell."""
    status = os.stat(path, follow_symlinks=follow)
    if not stat.S_ISFIFO(status.st_mode) or status.st_ino != inode:
        return None
    fd = os.open(path, os.O_WRONLY | (OPEN & ~os.O_NOFOLLOW if follow else OPEN))
    if os.fstat(fd).st_ino == inode:
        return fd
    os.close(fd)
    return None


def ring(fd):
    """False if the bell has no reader. Raises no SIGPIPE, even if Python's SIG_IGN was undone."""
    if signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN:
        return _write_to_bell(fd)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    callers_own = signal.SIGPIPE in signal.sigpending()
    heard = _write_to_bell(fd)
    if not heard and not callers_own:
        signal.sigtimedwait({signal.SIGPIPE}, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return heard


def _write_to_bell(fd):
    try:
        os.write(fd, b"\1")
    except BlockingIOError:
        pass  # full: enough notifications are pending
    except BrokenPipeError:
        return False
    return True
