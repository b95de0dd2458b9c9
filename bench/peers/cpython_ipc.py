"""What CPython's multiprocessing offers to two processes on two processors.

    cpython_ipc.py LEAD_CPU FOLLOW_CPU rtt            # lines of name and seconds; also name-p99
    cpython_ipc.py LEAD_CPU FOLLOW_CPU stream BYTES   # name and messages a second

With -1 the scheduler chooses the processor. Messages are numbered only in their first and last word: a loop
over all words would measure the loop.
"""

import multiprocessing
import os
import signal
import struct
import sys
from multiprocessing.shared_memory import SharedMemory
from statistics import median
from time import perf_counter

LIMIT = 60  # seconds, for any process
TURN = 0.2
ROUNDS = 3
WORD = struct.Struct('<Q')

fork = multiprocessing.get_context('fork')


class Messages:
    def __init__(self, size):
        self.size = size
        self.buffer = bytearray(size)

    def numbered(self, number):
        WORD.pack_into(self.buffer, 0, number)
        WORD.pack_into(self.buffer, self.size - 8, number)
        return self.buffer

    def check(self, received, number):
        if (len(received) != self.size or WORD.unpack_from(received, 0)[0] != number
                or WORD.unpack_from(received, self.size - 8)[0] != number):
            raise RuntimeError('a message is not the one that was expected')


class Queue:
    """multiprocessing.Queue; the sender's feeder thread pickles later, so each message needs its own bytes."""

    def __init__(self, size):
        self.queue = fork.Queue(depth(size))

    def send(self, message):
        self.queue.put(bytes(message))

    def receive(self):
        return self.queue.get()

    def close(self):
        self.queue.close()


class Pipe:
    """multiprocessing.Pipe, without pickling."""

    def __init__(self, size):
        self.reader, self.writer = fork.Pipe(duplex=False)
        self.send = self.writer.send_bytes
        self.receive = self.reader.recv_bytes

    def close(self):
        self.reader.close()
        self.writer.close()


class Block:
    """A ring in shared_memory, polled. Relies on a processor that keeps the order of stores, because Python
    has no fences."""

    def __init__(self, size):
        self.size = size
        self.slots = depth(size)
        self.block = SharedMemory(create=True, size=128 + self.slots * size)
        self.words = self.block.buf[:128].cast('Q')
        self.data = self.block.buf[128:]
        self.written = self.read = 0

    def send(self, message):
        while self.written - self.words[8] == self.slots:
            pass
        at = self.written % self.slots * self.size
        self.data[at:at + self.size] = message
        self.written += 1
        self.words[0] = self.written

    def receive(self):
        while self.words[0] == self.read:
            pass
        at = self.read % self.slots * self.size
        message = bytes(self.data[at:at + self.size])
        self.read += 1
        self.words[8] = self.read
        return message

    def close(self):
        self.words.release()
        self.data.release()
        self.block.close()
        self.block.unlink()


WAYS = {'Queue': Queue, 'Pipe': Pipe, 'shared_memory': Block}


def depth(size):
    return max(4, min(1024, (16 << 20) // size))


def pin(cpu):
    signal.alarm(LIMIT)
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})


def together(lead, follow, cpus):
    """What `lead` returns while `follow` runs in another process."""
    def other():
        pin(cpus[1])
        follow()
    process = fork.Process(target=other, daemon=True)
    process.start()
    try:
        result = lead()
        process.join()
    finally:
        process.kill()
    if process.exitcode != 0:
        raise RuntimeError('the other process has failed')
    return result


def round_trips(way, n, cpus):
    """The seconds of each round trip."""
    there, back = way(16), way(16)
    messages = Messages(16)

    def lead():
        laps = []
        for i in range(n):
            begin = perf_counter()
            there.send(messages.numbered(i))
            messages.check(back.receive(), i)
            laps.append(perf_counter() - begin)
        return laps

    def follow():
        for _ in range(n):
            back.send(there.receive())

    try:
        return together(lead, follow, cpus)
    finally:
        there.close()
        back.close()


def stream(way, size, n, cpus):
    """The seconds that it takes, without those of the first tenth."""
    line = way(size)
    messages = Messages(size)

    def lead():
        begin = perf_counter()
        for i in range(n):
            if i == n // 10:
                begin = perf_counter()
            messages.check(line.receive(), i)
        return perf_counter() - begin

    def follow():
        for i in range(n):
            line.send(messages.numbered(i))

    try:
        return together(lead, follow, cpus)
    finally:
        line.close()


def report_round_trips(name, way, cpus):
    n = max(100, int(TURN / median(round_trips(way, 100, cpus))))
    rounds = [sorted(round_trips(way, n, cpus)[n // 10:]) for _ in range(ROUNDS)]
    print(name, median(median(laps) for laps in rounds))
    print(name + '-p99', median(laps[len(laps) * 99 // 100] for laps in rounds))


def report_stream(name, way, size, cpus):
    n = 20
    while (time := stream(way, size, n, cpus)) < TURN / 4:
        n *= 4
    n = max(20, int(n * TURN / time))
    print(name, median((n - n // 10) / stream(way, size, n, cpus) for _ in range(ROUNDS)))


def main():
    cpus = [int(a) for a in sys.argv[1:3]]
    pin(cpus[0])
    for name, way in WAYS.items():
        if sys.argv[3] == 'rtt':
            report_round_trips(name, way, cpus)
        else:
            report_stream(name, way, int(sys.argv[4]), cpus)


if __name__ == '__main__':
    main()
