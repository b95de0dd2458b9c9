#!/usr/bin/env python3
"""Many clients of `belfry serve` at a time: 180 honest and 20 hostile ones.

crowd.py BELFRY
"""

import asyncio
import hashlib
import hmac
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import support

BELFRY = None
KEY = b"a key"
HONEST = 180
BLOCKS = 4  # for each honest client
HOSTILE = 2  # of each kind
TIMEOUT = 5000  # milliseconds
SLOW = "BELFRY_TEST_ONE_PYTHON" in os.environ  # sanitizers keep memory back


def mac(key, message):
    return b"{sha256}" + hmac.new(key, message, hashlib.sha256).digest()


class Peer:
    """A connection; raises EOFError when the server has closed it."""

    @classmethod
    async def at(cls, address):
        peer = cls()
        peer.reader, peer.writer = await asyncio.open_unix_connection(address)
        return peer

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def hear(self):
        try:
            (length,) = struct.unpack("!i", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None

    def send(self, data):
        self.writer.write(data)

    def say(self, message):
        self.send(struct.pack("!i", len(message)) + message)

    async def challenge(self):
        message = await self.hear()
        assert message.startswith(b"#CHALLENGE#{sha256}"), message
        return message[len(b"#CHALLENGE#") :]

    async def authenticate(self):
        self.say(mac(KEY, await self.challenge()))
        assert await self.hear() == b"#WELCOME#"
        challenge = b"{sha256}" + os.urandom(40)
        self.say(b"#CHALLENGE#" + challenge)
        assert await self.hear() == mac(KEY, challenge)
        self.say(b"#WELCOME#")

    async def ask(self, method, *args):
        self.say(pickle.dumps((None, method, args, {}), 4))
        kind, value = pickle.loads(await self.hear())
        assert kind == "#RETURN", value
        return value

    async def sent_away(self):
        """Reads everything until the end of the connection."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass


# ---- honest clients


async def honest(address, number):
    """Half of them behave like CPython: one connection per request."""
    peer = None

    async def ask(*request):
        nonlocal peer
        if peer is None:
            peer = await Peer.at(address)
            await peer.authenticate()
        value = await peer.ask(*request)
        if number % 2 == 0:
            peer.writer.close()
            peer = None
        return value

    names = []
    for i in range(BLOCKS):
        name = support.unique_name("crowd-%d-%d" % (number, i))
        with open(support.SHM / name, "xb") as block:
            block.write(name.encode())
        await ask("track_segment", name)
        names.append(name)
        listed = await ask("list_segments")
        assert [n for n in listed if n in names] == names, (listed, names)
    for name in names[1:]:
        assert (support.SHM / name).read_bytes() == name.encode()
        await ask("release_segment", name)
        assert not (support.SHM / name).exists()
    if peer:
        peer.writer.close()
    return names[0]


# ---- hostile clients: one attempt each, after which the server has closed the connection


async def half_an_answer(peer):
    answer = mac(KEY, await peer.challenge())
    peer.send(struct.pack("!i", len(answer)) + answer[: random.randrange(len(answer))])


async def half_a_handshake(peer):
    peer.say(mac(KEY, await peer.challenge()))
    await peer.hear()


async def no_challenge(peer):
    peer.say(mac(KEY, await peer.challenge()))
    await peer.hear()
    peer.say(random.choice([b"#CHALLENGE#", b"#CHALLENGE#{sha1}" + bytes(40), b"#WELCOME#", b""]))


async def long_length(peer):
    peer.send(struct.pack("!i", random.choice([2**31 - 1, 257, 1 << 20])) + os.urandom(1000))


async def longest_length(peer):
    peer.send(struct.pack("!iQ", -1, random.choice([1 << 63, 2**64 - 1, 1 << 40])) + os.urandom(1000))


async def negative_length(peer):
    peer.send(struct.pack("!i", random.choice([-2, -(2**31)])))


async def slow_drip(peer):
    for byte in struct.pack("!i", 256) + bytes(256):
        peer.send(bytes([byte]))
        await asyncio.sleep(0.05)
        if peer.reader.at_eof() or peer.writer.is_closing():
            return
    raise AssertionError("the server listens without end")


async def silence(peer):
    pass


async def wrong_keys(peer):
    peer.say(mac(b"the wrong one", await peer.challenge()))
    assert await peer.hear() == b"#FAILURE#"


async def hanging_up(peer):
    """Closes at a random point, so that the server's next write fails."""
    peer.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    where = random.randrange(5)
    if where > 0:
        challenge = await peer.challenge()
    if where > 1:
        peer.say(mac(KEY, challenge)[: 30 + 10 * random.randrange(2)])
    if where > 2:
        peer.say(b"#CHALLENGE#{sha256}" + os.urandom(40))
    if where > 3:
        peer.send(b"\0\0")
    peer.writer.transport.abort()


class Harm:
    """Sends a pickle that would run code, with GLOBAL or STACK_GLOBAL, and REDUCE."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (self.file,)


HARM = str(Path(tempfile.gettempdir()) / support.unique_name("harm"))


async def pickles(peer):
    await peer.authenticate()
    peer.say(
        random.choice(
            [
                pickle.dumps(Harm(HARM), random.randrange(6)),
                pickle.dumps((None, "dummy", (Harm(HARM),), {}), 4),
                pickle.dumps((None, "dummy", (), {"a": Harm(HARM)}), 4),
                pickle.dumps((None, "dummy", (), {"a": 1}), 4),
                b"\x80\x04cos\nmkdir\n\x8c%c%s\x85R." % (len(HARM), HARM.encode()),
                b"\x80\x04" + b"(" * 60000 + b".",
                b"\x80\x04" + b"]" + b"\x85" * 60000 + b".",
                b"\x80\x04]" + b"\x94h\x00a" * 10000 + b".",
                b"\x80\x04X\xff\xff\xff\xffx.",
                b"\x80\x04\x8c\x03\xed\xa0\x80.",  # half of a surrogate pair
                b"",
            ]
        )
    )


async def a_request_too_long(peer):
    await peer.authenticate()
    peer.send(struct.pack("!i", 2**31 - 1) + os.urandom(1000))


async def half_a_request(peer):
    await peer.authenticate()
    request = pickle.dumps((None, "list_segments", (), {}), 4)
    peer.send(struct.pack("!i", len(request)) + request[:10])


async def not_listening(peer):
    """Sends requests, and does not read the replies, until the server can send no more."""
    await peer.authenticate()
    peer.writer.transport.pause_reading()
    request = pickle.dumps((None, "no such method" * 1000, (), {}), 4)
    for _ in range(40):
        peer.say(request)
    while not peer.writer.is_closing():  # the server has closed the connection: the rest cannot be sent
        await asyncio.sleep(0.05)


KINDS = [half_an_answer, half_a_handshake, no_challenge, long_length, longest_length, negative_length,
         slow_drip, silence, wrong_keys, hanging_up, pickles, a_request_too_long, half_a_request,
         not_listening]  # fmt: skip


async def hostile(address, kind, over):
    attempts = 0
    while True:
        async with await Peer.at(address) as peer:
            try:
                await kind(peer)
                await peer.sent_away()
            except (EOFError, ConnectionError):
                pass
        attempts += 1
        if over.is_set():
            return attempts


# ---- the server


class Server:
    def __init__(self, folder, *options):
        self.folder = folder
        self.process = subprocess.Popen(
            [BELFRY, "serve", "--address", folder + "/socket", "--run-directory", folder, *options],
            env=dict(os.environ, BELFRY_AUTHKEY=KEY.decode()),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().rstrip("\n")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def memory(self):
        """Its private memory in megabytes."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:")) / 1024

    def ended(self):
        assert self.process.wait() == 0
        assert os.listdir(self.folder) == [], os.listdir(self.folder)


async def served(test, folder):
    server = Server(folder, *OPTIONS[test])
    try:
        await test(server)
        server.ended()
    finally:
        server.process.terminate()  # after a failed test; removes the tracked blocks
        server.process.wait()
        server.process.stdout.close()


async def crowd(server):
    """The kinds that are left, and how often each has tried."""
    over = asyncio.Event()
    attackers = {}
    for kind in KINDS * HOSTILE:
        task = asyncio.ensure_future(hostile(server.address, kind, over))
        attackers.setdefault(kind.__name__, []).append(task)
    await asyncio.sleep(0.1)
    left = await asyncio.gather(*(honest(server.address, i) for i in range(HONEST)))
    over.set()
    attempts = {}
    for kind, tasks in attackers.items():
        done, pending = await asyncio.wait(tasks, timeout=10 * TIMEOUT / 1000)
        assert not pending, "the server tolerates %s without end" % kind
        attempts[kind] = sum(task.result() for task in done)
    assert not os.path.exists(HARM)
    return left, attempts


async def everybody(server):
    async with await Peer.at(server.address) as peer:
        await peer.authenticate()
        assert await peer.ask("list_segments") == []
    alone = server.descriptors() - 1  # without this connection
    memory = []
    names = []
    for _ in range(2):
        left, attempts = await crowd(server)
        names += left
        while server.descriptors() != alone:  # the server notices closed connections a moment later
            await asyncio.sleep(0.01)
        memory.append(server.memory())
        print("%.1f MB; attempts: %s" % (memory[-1], attempts), flush=True)
    assert SLOW or memory[1] < memory[0] + 4, memory
    async with await Peer.at(server.address) as peer:
        await peer.authenticate()
        assert sorted(await peer.ask("list_segments")) == sorted(names)
        await peer.ask("shutdown")
    assert [n for n in names if (support.SHM / n).exists()] == []


async def strangers(server):
    """The timeout is so long that a client that had to wait for it would meet the watchdog."""
    async with await Peer.at(server.address) as known:
        await known.authenticate()
        silent = []
        for _ in range(64):
            silent.append(await Peer.at(server.address))
            await silent[-1].challenge()
        for _ in range(100):
            async with await Peer.at(server.address) as peer:
                await peer.authenticate()
                assert await peer.ask("dummy") is None
        assert await known.ask("dummy") is None
        await asyncio.gather(*(peer.sent_away() for peer in silent[:33]))
        for peer in silent:
            peer.writer.close()
        await known.ask("shutdown")


OPTIONS = {
    everybody: ["--timeout", str(TIMEOUT)],
    strangers: ["--connections", "32", "--timeout", "3600000"],
}


def main(belfry):
    global BELFRY
    BELFRY = belfry
    support.watchdog(600)
    for test in everybody, strangers:
        with tempfile.TemporaryDirectory(prefix="belfry-test-") as folder:
            asyncio.run(served(test, folder))


if __name__ == "__main__":
    main(sys.argv[1])
