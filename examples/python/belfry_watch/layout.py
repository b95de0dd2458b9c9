"""The bytes of a companion segment: include/belfry/detail/layout/layout.hpp, with the same names."""

import platform
import struct
import threading
from typing import NamedTuple

# Python has no atomics; on this architecture only a fence is needed. An element of a memoryview that was cast
# to "Q" is read and written by a memcpy of constant size 8, which is one instruction, and all of ours are
# aligned. (The struct module's "<Q" goes byte by byte.) x86 keeps the order of loads and the order of stores,
# so each store is a release and each load an acquire. Only a load may overtake an earlier store: against that
# there is fence().

if platform.machine() != "x86_64":
    raise ImportError("belfry_watch relies on the memory model of x86-64")


def fence():
    """A full fence. Acquiring a Lock that is free, like a new one, is a compare-and-swap (sem_trywait;
    since 3.14 a PyMutex): on x86 an instruction with the lock prefix, which no load and no store
    passes. A system call would not do: none is guaranteed to be a fence, nor is
    membarrier(PRIVATE_EXPEDITED) one towards other processes."""
    with threading.Lock():
        pass


# ---- offsets -----------------------------------------------------------------------------------------

DIRECTORY = "/dev/shm/"
LONGEST_NAME = 255 - len(".watch") - len(".bell.249")  # of a block with a companion, in bytes
SLOTS = 64  # watch_state::participants
ELEMENTS = 1024  # max_elements

MARKS = 512  # in bytes: control_header::parked[consumer]

# In words of 8 bytes.
JOINS, LEAVES, DEATHS = 96, 97, 98  # control_header::count
ROSTER, SLOT_WORDS = 104, 24  # an array of participant_slot ...
CONTROL, PID, BELL, PARKS, RINGS, SINCE, PROGRAM, PARK = 0, 1, 2, 3, 4, 5, 6, 8  # ... and its fields
# PID: bell_handle in the upper half. PROGRAM: two words.
STATE = ROSTER + SLOTS * SLOT_WORDS  # watch_state: arrays with an entry per slot, and other fields
CHANGES, WHOLE, BUSY, TICKET = (STATE + i * SLOTS for i in range(4))
DIRTY = STATE + 4 * SLOTS
ELEMENT = DIRTY + 1
SIZE = 8 * (ELEMENT + ELEMENTS)  # in bytes

# The identity's fields in order; None: differs between companions.
IDENTITY = struct.Struct("<8s2IQ16s2I2HI15Q2IQ16s6Q")
FIELDS = dict(
    magic=b"Belfry\r\n",
    version=3,
    header_bytes=8 * STATE,
    segment_bytes=SIZE,
    segment_id=None,
    kind=6,
    flags=None,
    producers=0,
    consumers=SLOTS,
    bell_mode=None,
    value_bytes=0,
    value_align=8,
    type_fingerprint=0,
    capacity=ELEMENTS,
    abi_fingerprint=0,
    ring_offset=8 * STATE,
    ring_bytes=SIZE - 8 * STATE,
    process_namespace=None,
    subject=None,
    **{field: 0 for field in ("places", "first", "stride", "value", "written", "read")},
    description_bytes=0,
    creator=None,
    created=None,
    program=None,
    **{"reserved%d" % i: 0 for i in range(6)},
)
FLAG_PERSISTENT = 1

FREE, JOINING, LIVE, GOING = range(4)  # slot_state
LEFT, DIED = 1, 2  # slot_end
AWAKE, PARKED = 0, 1  # park_state

# Locks on bytes: in the companion, and TXN_LOCK in the block itself.
ROSTER_LOCK, TXN_LOCK = 0, 0


def slot_lock(slot):
    return 1 + slot


class Control(NamedTuple):
    """A slot's control word."""

    generation: int
    deaths: int
    end: int
    state: int

    @classmethod
    def of(cls, word):
        return cls(word & 0xFFFFFFFF, word >> 32 & 0xFFFF, word >> 48 & 0xFF, word >> 56)

    def word(self):
        return self.generation | self.deaths << 32 | self.end << 48 | self.state << 56


class State:
    """watch_state: the versions, and the queue for transactions."""

    def __init__(self, words):
        self.words = words
        self.changes = words[CHANGES : CHANGES + SLOTS]
        self.whole = words[WHOLE : WHOLE + SLOTS]
        self.tickets = words[TICKET : TICKET + SLOTS]

    def version(self):
        return sum(self.changes.tolist()) % 2**64  # the caller reads the block after this

    def changed_since(self, seen, elements):
        version = self.version()
        if not elements:
            return version != seen
        if version < seen:  # the version of an earlier companion
            return True
        if any(v > seen for v in self.whole.tolist()):
            return True
        return any(self.words[ELEMENT + i % ELEMENTS] > seen for i in elements)

    def change(self, slot):
        self.words[BUSY + slot] = 1
        self.words[CHANGES + slot] = (self.words[CHANGES + slot] + 1) % 2**64
        fence()  # before the counters of others are read; pairs with itself in another notifier
        self.words[WHOLE + slot] = self.version()
        self.words[BUSY + slot] = 0

    def recover(self, slot):
        self.tickets[slot] = 0
        if self.words[BUSY + slot]:
            self.change(slot)

    def take_ticket(self, slot):
        if not self.tickets[slot]:
            self.tickets[slot] = max(self.tickets.tolist()) + 1

    def holder(self):
        """(slot, generation) of the participant in a transaction, which may be dead."""
        word = self.words[DIRTY]
        return (word & 0xFFFFFFFF) - 1, word >> 32

    def set_dirty(self, slot, generation):
        self.words[DIRTY] = generation << 32 | slot + 1

    def is_next(self, slot):
        """Whether no other waiter goes before this slot, with or without a ticket of its own."""
        waiting = [(ticket, i) for i, ticket in enumerate(self.tickets.tolist()) if ticket]
        return not waiting or min(waiting)[1] == slot
