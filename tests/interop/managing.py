#!/usr/bin/env python3
"""Managers: unmodified servers and clients of CPython with clients and servers of Belfry. Also
counterparts of CPython's own tests (in Lib/test/_test_multiprocessing.py), with the same names. Tests
of C++ alone are in tests/blocks/cpython.cpp.

managing.py BELFRY MANAGER_TOOL          for every CPython from 3.8 on of this machine
managing.py BELFRY MANAGER_TOOL --one    for the interpreter that runs this
"""

import hmac
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError, connection, resource_tracker
from multiprocessing.managers import RemoteError, SharedMemoryManager, dispatch
from multiprocessing.shared_memory import ShareableList, SharedMemory

import support

BELFRY = TOOL = None
MD5_ONLY = sys.version_info < (3, 12)
SAME_LISTS = sys.version_info >= (3, 9)
KEY = b"supadupasecretkey"
WRONG = b"another key"
# Every byte except NUL, including a newline, and longer than a block of any digest.
KEYS = {"usual": KEY, "empty": b"", "long": bytes(range(1, 256)) + bytes(range(1, 46))}
FAMILIES = ["path", "abstract", "ip"]
DIGESTS = ["md5", "sha256", "sha384", "sha3_256", "sha3_384"]
REFUSED = "error belfry authentication failed"
MADE = [1, "two", 3]


def for_python(address):
    if address[0] == "@":
        return "\0" + address[1:]
    if address[0] == "/":
        return address
    host, _, port = address.rpartition(":")
    return host, int(port)


def from_python(address):
    if isinstance(address, tuple):
        return "%s:%d" % address
    return os.fsdecode(address).replace("\0", "@")


def bytes_of(text):
    return text.hex() or "-"


# ---- clients: each answers "ok", or what was wrong


class Ours:
    """manager_tool.cpp, in one process for all tests."""

    def __init__(self, awaits):
        self.tool = support.Agent(support.tool_command(TOOL, awaits))

    def connect(self, address, key, md5=""):
        return self.tool.ask("connect %s %s %s" % (address, bytes_of(key), md5))

    def block(self, size):
        return self.tool.ask("block %d" % size)

    def list(self, values):
        return self.tool.ask("list " + " ".join(map(str, values)))

    def segments(self):
        return self.tool.ask("segments").split()

    def release(self, name):
        return self.tool.ask("release " + name)

    def shutdown(self):
        return self.tool.ask("shutdown")

    def read(self, name, i):
        return int(self.tool.ask("peek %s %d" % (name, i)))

    def write(self, name, i, byte):
        self.tool.do("poke %s %d %d" % (name, i, byte))

    def values(self, name):
        words = self.tool.ask("values " + name).split()
        return [int(w) if w.isdigit() else w for w in words]

    def set(self, name, i, v):
        self.tool.do("set %s %d %s" % (name, i, v))


class Theirs:
    """CPython's client, in this process."""

    def connect(self, address, key, md5=""):
        self.manager = SharedMemoryManager(for_python(address), key)
        try:
            self.manager.connect()
        except AuthenticationError:
            return REFUSED
        return "ok"

    def ask(self, method, *args):
        m = self.manager
        with m._Client(m._address, authkey=m._authkey) as c:
            return dispatch(c, None, method, args)

    def block(self, size):
        made = self.manager.SharedMemory(size)
        made.close()
        return made.name

    def list(self, values):
        made = self.manager.ShareableList(values)
        made.shm.close()
        return made.shm.name

    def segments(self):
        return self.ask("list_segments")

    def release(self, name):
        try:
            self.ask("release_segment", name)
        except RemoteError as e:
            assert "ValueError: list.remove(x): x not in list" in str(e), e
            return "error generic No such file or directory"
        return "ok"

    def shutdown(self):
        self.ask("shutdown")
        return "ok"

    def read(self, name, i):
        shm = SharedMemory(name)
        byte = shm.buf[i]
        shm.close()
        return byte

    def write(self, name, i, byte):
        shm = SharedMemory(name)
        shm.buf[i] = byte
        shm.close()

    def values(self, name):
        theirs = ShareableList(name=name)
        values = list(theirs)
        theirs.shm.close()
        return values

    def set(self, name, i, v):
        theirs = ShareableList(name=name)
        theirs[i] = v
        theirs.shm.close()


# ---- servers


class OurServer:
    """`belfry serve`, with a run directory of its own."""

    def __init__(self, folder, address, key, *options):
        self.directory = tempfile.mkdtemp(dir=folder)
        command = [BELFRY, "serve", "--address", address, "--run-directory", self.directory, *options]
        # The key is given in a different way each time.
        environment = dict(os.environ)
        file = os.path.join(folder, "key")
        if key == KEYS["usual"]:
            environment["BELFRY_AUTHKEY"] = os.fsdecode(key)
        else:
            with open(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as f:
                f.write(key)
        if key == KEYS["empty"]:
            command += ["--authkey-file", file]
        if key == KEYS["long"]:
            command += ["--authkey-fd", "0"]
        with open(file if key == KEYS["long"] else os.devnull, "rb") as stdin:
            self.process = subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, env=environment, text=True
            )
        self.address = self.process.stdout.readline().rstrip("\n")
        assert self.address, "the server did not start: %s" % command

    def ended(self):
        assert self.process.wait(60) == 0, self.process.returncode
        assert os.listdir(self.directory) == [], os.listdir(self.directory)
        if self.address[0] == "/":
            assert not os.path.exists(self.address)

    def clean_up(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class TheirServer:
    """The server that SharedMemoryManager.start() starts."""

    def __init__(self, folder, address, key):
        self.manager = SharedMemoryManager(for_python(address), key)
        self.manager.start()
        self.process = self.manager._process
        self.address = from_python(self.manager.address)

    def ended(self):
        self.process.join(60)
        assert self.process.exitcode == 0, self.process.exitcode

    def clean_up(self):
        self.process.kill()
        self.manager.shutdown()


class Managing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ours = [Ours(False), Ours(True)]
        cls.theirs = Theirs()
        cls.all = [cls.theirs, *cls.ours]

    @classmethod
    def tearDownClass(cls):
        for client in cls.ours:
            client.tool.finish()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="belfry-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def serve(self, kind, address, key=KEY, *options):
        server = kind(self.folder, address, key, *options)
        self.addCleanup(server.clean_up)
        return server

    def address(self, family):
        name = support.unique_name("manager")
        path = "%s/%s" % (self.folder, name)
        return {"path": path, "abstract": "@" + name, "ip": "127.0.0.1:0"}[family]

    def check_gone(self, names):
        self.assertEqual([n for n in names if (support.SHM / n).exists()], [])

    def end(self, server, client, names):
        self.assertEqual(client.shutdown(), "ok")
        server.ended()
        self.check_gone(names)

    # ---- all clients with all servers

    def use(self, server, key, md5, turn):
        for client in self.all:
            for wrong in [WRONG] + [b""] * (key != b""):
                self.assertEqual(client.connect(server.address, wrong, md5), REFUSED)
            self.assertEqual(client.connect(server.address, key, md5), "ok")
        names = []
        for maker, user in zip(self.all, self.all[1:] + self.all[:1]):
            block = maker.block(100)
            user.write(block, 99, 200)
            self.assertEqual(maker.read(block, 99), 200)
            maker.write(block, 0, 17)
            self.assertEqual(user.read(block, 0), 17)
            made = maker.list(MADE)
            if SAME_LISTS or self.theirs not in (maker, user):
                self.assertEqual(user.values(made), MADE)
                user.set(made, 1, "2nd")
                self.assertEqual(maker.values(made), [1, "2nd", 3])
            elif maker is self.theirs:
                self.assertIn("error", user.tool.ask("values " + made))
            names += [block, made]
        for i, client in enumerate(self.all):
            self.assertEqual(client.segments(), names[i:])
            self.assertEqual(client.release(names[i]), "ok")
            self.check_gone(names[i : i + 1])
            self.assertIn("No such file", client.release(names[i]))
        self.end(server, self.all[turn % 3], names)

    def test_ours(self):
        turn = 0
        for family in FAMILIES:
            needs_md5 = MD5_ONLY and family == "ip"
            for what, key in KEYS.items():
                with self.subTest(family=family, key=what):
                    server = self.serve(OurServer, self.address(family), key, *["--md5"] * needs_md5)
                    self.use(server, key, "", turn)
                turn += 1

    def test_theirs(self):
        turn = 0
        for family in FAMILIES:
            needs_md5 = MD5_ONLY and family == "ip"
            for what, key in KEYS.items():
                with self.subTest(family=family, key=what):
                    server = self.serve(TheirServer, self.address(family), key)
                    self.use(server, key, "md5" * needs_md5, turn)
                turn += 1

    # ---- MD5: which peers a server accepts, and which a client

    def test_md5_of_their_client(self):
        refused_if_old = REFUSED if MD5_ONLY else "ok"
        for family, option in [("ip", []), ("ip", ["--no-md5"]), ("path", ["--no-md5"])]:
            server = self.serve(OurServer, self.address(family), KEY, *option)
            self.assertEqual(self.theirs.connect(server.address, KEY), refused_if_old)
            client = self.ours[family == "ip"]
            self.assertEqual(client.connect(server.address, KEY), "ok")
            self.end(server, client, [])

    def test_md5_of_their_server(self):
        refused_if_old = REFUSED if MD5_ONLY else "ok"
        for family, option in [("ip", ""), ("path", "no-md5")]:
            server = self.serve(TheirServer, self.address(family))
            for client in self.ours:
                self.assertEqual(client.connect(server.address, KEY, option), refused_if_old)
                self.assertEqual(client.connect(server.address, KEY, "md5"), "ok")
            self.end(server, self.ours[0], [])

    # ---- requests

    def test_requests_that_ours_does_not_carry_out(self):
        server = self.serve(OurServer, self.address("path"))
        self.assertEqual(self.theirs.connect(server.address, KEY), "ok")
        kept = self.theirs.block(10)
        for method, args, text in [
            ("create", ("dict",), "'create' unrecognized"),
            ("get_methods", ("0",), "'get_methods' unrecognized"),
            ("incref", ("7f0000000000",), "'incref' unrecognized"),
            ("decref", ("7f0000000000",), "'decref' unrecognized"),
            ("accept_connection", ("MainThread",), "'accept_connection' unrecognized"),
            ("no such method", (), "'no such method' unrecognized"),
            ("sm\u00f6rg\u00e5s", (), "'sm\u00f6rg\u00e5s' unrecognized"),
            ("track_segment", (), "TypeError"),
            ("track_segment", (5,), "TypeError"),
            ("track_segment", ("a/b",), "OSError"),
            ("track_segment", ("",), "OSError"),
            ("track_segment", ("x" * 256,), "OSError"),
            ("release_segment", ("untracked",), "ValueError: list.remove(x): x not in list"),
            ("list_segments", ("too", "many"), "TypeError"),
        ]:
            with self.subTest(method=method, args=args):
                with self.assertRaises(RemoteError) as caught:
                    self.theirs.ask(method, *args)
                self.assertIn(text, str(caught.exception))
                self.assertEqual(self.theirs.segments(), [kept])
        self.assertEqual(self.theirs.manager._number_of_objects(), 0)
        self.assertEqual(self.theirs.manager._debug_info(), "")
        self.assertFalse(hasattr(self.theirs.manager, "shutdown"))
        self.end(server, self.theirs, [kept])

    def test_shutdown_that_fails_for_python(self):
        """CPython's server stops at the first block that is gone, and continues to serve."""
        for client in self.ours:
            server = self.serve(TheirServer, self.address("path"))
            self.assertEqual(self.theirs.connect(server.address, KEY), "ok")
            self.assertEqual(client.connect(server.address, KEY), "ok")
            names = [client.block(10) for _ in range(6)]
            for i in (0, 1, 2, 4):
                (support.SHM / names[i]).unlink()
            with self.assertRaises(RemoteError) as caught:
                self.theirs.shutdown()
            self.assertIn("FileNotFoundError", str(caught.exception))
            self.assertEqual(self.theirs.segments(), names[1:])
            self.end(server, client, names)

    def test_blocks_of_a_program_that_has_ended(self):
        """The client's tracker removes the blocks, and warns; the server can cope with that."""
        server = self.serve(OurServer, self.address("path"))
        program = (
            "import sys; from multiprocessing.managers import SharedMemoryManager\n"
            "m = SharedMemoryManager(sys.argv[1], bytes.fromhex(sys.argv[2])); m.connect()\n"
            "print(m.SharedMemory(10).name, m.ShareableList(range(10)).shm.name)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, server.address, KEY.hex()],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 leaked shared_memory objects", done.stderr)
        names = done.stdout.split()
        self.check_gone(names)
        for client in self.all:
            self.assertEqual(client.connect(server.address, KEY), "ok")
            self.assertEqual(client.segments(), names)
        self.assertEqual(self.ours[0].release(names[0]), "ok")
        # The new block of the same name is not the server's.
        (support.SHM / names[1]).touch()
        self.end(server, self.theirs, names[:1])
        (support.SHM / names[1]).unlink()

    # ---- CPython's own tests of managers

    def test_shared_memory_SharedMemoryServer_ignores_sigint(self):
        """No difference; in a terminal `belfry serve` ends normally."""
        for client in self.ours:
            self.assertEqual(client.tool.ask("start " + self.folder), "ok")
            address = client.tool.ask("address")
            with open("/proc/%d/task/%d/children" % (client.tool.pid, client.tool.pid)) as f:
                [pid] = map(int, f.read().split())
            key = bytes.fromhex(client.tool.ask("key"))
            self.assertEqual(self.theirs.connect(address, key), "ok")
            names = [client.list(range(10)), self.theirs.list(range(10))]
            os.kill(pid, signal.SIGINT)
            names += [client.list(range(10)), self.theirs.list(range(10))]
            self.assertEqual(self.theirs.segments(), names)
            self.assertEqual(client.shutdown(), "ok")
            self.check_gone(names)
            self.assertFalse(os.path.exists("/proc/%d" % pid))
            self.assertEqual(os.listdir(self.folder), [])
        server = self.serve(OurServer, self.address("path"))
        self.theirs.connect(server.address, KEY)
        names = [self.theirs.list(range(10))]
        server.process.send_signal(signal.SIGINT)
        server.ended()
        self.check_gone(names)

    def test_shared_memory_SharedMemoryManager_reuses_resource_tracker(self):
        """C++ has no tracker, and the tracker of Python's server does not complain about blocks of C++."""
        program = (
            "import sys; from multiprocessing.managers import SharedMemoryManager\n"
            "server = SharedMemoryManager(sys.argv[1], bytes.fromhex(sys.argv[2])).get_server()\n"
            "print(flush=True); server.serve_forever()"
        )
        for client in self.ours:
            address = self.address("path")
            server = support.Agent(
                [sys.executable, "-c", program, address, KEY.hex()], stderr=subprocess.PIPE
            )
            server.answer()
            self.assertEqual(client.connect(address, KEY), "ok")
            names = [client.list(range(10)), client.block(10)]
            self.assertEqual(client.segments(), names)
            self.assertEqual(client.shutdown(), "ok")
            self.assertEqual(server.process.stderr.read(), "")
            server.process.stderr.close()
            self.assertEqual(server.reap(), 0)
            self.check_gone(names)

    def test_shared_memory_SharedMemoryManager_basics(self):
        """No difference, with lists and blocks of both languages."""
        server = self.serve(OurServer, self.address("path"))
        for client in self.all:
            client.connect(server.address, KEY)
        names = []
        for i in range(5, 10):
            for client in self.all:
                names += [client.list(range(i)), client.block(16 * i)]
        self.assertEqual(self.theirs.segments(), names)
        if SAME_LISTS:
            for client in self.all:
                self.assertEqual(client.values(names[2]), list(range(5)))
        doppelganger = SharedMemory(names[1])
        self.assertGreaterEqual(len(doppelganger.buf), 80)
        doppelganger.buf[79] = 1
        self.end(server, self.ours[0], names)
        self.assertEqual(doppelganger.buf[79], 1)
        doppelganger.close()
        self.assertRaises(FileNotFoundError, SharedMemory, names[1])
        for client in self.ours:  # at the end of their scope
            directory = tempfile.mkdtemp(dir=self.folder)
            self.assertEqual(client.tool.ask("start " + directory), "ok")
            names = [client.list(["howdy"]), client.block(128)]
            client.tool.do("drop")
            self.check_gone(names)
            self.assertEqual(os.listdir(directory), [])

    # ---- CPython's own tests of authentication

    def stranger(self, server):
        c = connection.Client(for_python(server.address))
        self.addCleanup(c.close)
        return c

    def test_deliver_challenge_auth_failure(self):
        """The same for Belfry's server, which only reports that it failed."""
        server = self.serve(OurServer, self.address("path"))
        raw_md5, sha256 = b"x" * 16, b"{sha256}" + b"x" * 32
        for bogus in [b"something bogus", b"", b"#WELCOME#", raw_md5, b"{md5}", sha256]:
            c = self.stranger(server)
            self.assertRegex(c.recv_bytes(256), rb"(?s)#CHALLENGE#\{sha256\}.{40}\Z")
            c.send_bytes(bogus)
            self.assertEqual(c.recv_bytes(), b"#FAILURE#")
            self.assertRaises(EOFError, c.recv_bytes)
        self.assertEqual(self.ours[0].connect(server.address, KEY), "ok")
        self.end(server, self.ours[0], [])

    def test_answer_challenge_auth_failure(self):
        """The same for Belfry's client, and then for Belfry's server."""
        challenge = b"#CHALLENGE#{sha256}" + os.urandom(40)
        with connection.Listener(self.address("path"), backlog=1) as listener:
            for client in self.ours:
                for first, expected in [
                    (b"#CHALLENGE#", "error belfry protocol error"),
                    (b"something bogus", "error belfry protocol error"),
                    (challenge, REFUSED),
                ]:
                    line = "connect %s %s" % (listener.address, bytes_of(KEY))
                    client.tool.tell(line)
                    with listener.accept() as c:
                        c.send_bytes(first)
                        if first == challenge:
                            c.recv_bytes(256)
                            c.send_bytes(b"something bogus")
                        self.assertEqual(client.tool.answer(), expected)
        server = self.serve(OurServer, self.address("path"))
        for bogus in [b"something bogus", b"#CHALLENGE#", b"#CHALLENGE#{sha1}" + bytes(40), b""]:
            c = self.stranger(server)
            connection.answer_challenge(c, KEY)
            c.send_bytes(bogus)
            self.assertRaises(EOFError, c.recv_bytes)
        self.assertEqual(self.ours[0].connect(server.address, KEY), "ok")
        self.end(server, self.ours[0], [])

    def mac(self, message, digest):
        return b"{%s}" % digest.encode() + hmac.new(KEY, message, digest).digest()

    def test_challengeresponse(self):
        """Every digest of CPython from 3.12 on, to and from Belfry's server, and to Belfry's client."""
        server = self.serve(OurServer, self.address("path"))
        for digest in DIGESTS:
            with self.subTest(digest=digest):
                c = self.stranger(server)
                message = c.recv_bytes(256)[len(b"#CHALLENGE#") :]
                c.send_bytes(self.mac(message, digest))
                self.assertEqual(c.recv_bytes(256), b"#WELCOME#")
                message = b"{%s}" % digest.encode() + os.urandom(40)
                c.send_bytes(b"#CHALLENGE#" + message)
                self.assertEqual(c.recv_bytes(256), self.mac(message, digest))
                c.send_bytes(b"#WELCOME#")
                c.send((None, "dummy", (), {}))
                self.assertEqual(c.recv(), ("#RETURN", None))
        self.ours[1].connect(server.address, KEY)
        self.end(server, self.ours[1], [])

        digests = [()] if MD5_ONLY else [(d,) for d in DIGESTS]
        with connection.Listener(self.address("path"), backlog=1) as listener:
            for client in self.ours:
                for digest in digests:
                    client.tool.tell("connect %s %s" % (listener.address, bytes_of(KEY)))
                    for method, reply in [
                        ("belfry", ("#TRACEBACK", "AssertionError: 'belfry' unrecognized")),
                        ("dummy", ("#RETURN", None)),
                    ]:
                        with listener.accept() as c:
                            connection.deliver_challenge(c, KEY, *digest)
                            connection.answer_challenge(c, KEY)
                            self.assertEqual(c.recv(), (None, method, (), {}))
                            c.send(reply)
                    self.assertEqual(client.tool.answer(), "ok")

    def test_rapid_restart(self):
        """A server of one language at the address of a server of the other that has just ended."""
        address = "127.0.0.1:0"
        options = ["--md5"] * MD5_ONLY
        for kind, client in [
            (OurServer, self.ours[0]),
            (TheirServer, self.theirs),
            (OurServer, self.theirs),
            (OurServer, self.ours[1]),
        ]:
            server = self.serve(kind, address, KEY, *options * (kind is OurServer))
            if address[-2:] != ":0":
                self.assertEqual(server.address, address)
            address = server.address
            names = []
            for c in self.all:
                self.assertEqual(c.connect(address, KEY, "md5"), "ok")
                names.append(c.list(["hello world"]))
            self.assertEqual(client.segments(), names)
            self.end(server, client, names)


def start_tracker():
    """The tracker does not know that others remove blocks, and would warn about each."""
    terminal = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    resource_tracker.ensure_running()
    os.dup2(terminal, 2)
    os.close(terminal)
    os.close(null)


def main(*tools):
    support.watchdog(1200)
    found = support.interpreters(8)
    if not found:
        print("skipped: no CPython >= 3.8 with shared memory")
        return 77

    def run(path):
        command = [path, __file__, *tools, "--one"]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    failed = False
    versions = sorted(found)
    with ThreadPoolExecutor(4) as pool:  # they mostly wait for each other
        for version, done in zip(versions, pool.map(run, [found[v] for v in versions])):
            failed = failed or done.returncode != 0
            print("CPython 3.%d.%d: %s" % (*version, "failed" if done.returncode else "ok"))
            if done.returncode:
                print(done.stdout, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if "--one" in sys.argv:
        BELFRY, TOOL = sys.argv[1:3]
        os.environ["BELFRY_EXECUTABLE"] = BELFRY
        support.watchdog(600)
        start_tracker()
        unittest.main(argv=sys.argv[:1] + sys.argv[4:])
    sys.exit(main(*sys.argv[1:]))
