"""Real servers, bridges and their users, as processes of a test."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PEER = os.environ.get("BELFRY_NATS_PEER")
CALLER = os.environ.get("BELFRY_NATS_CALLER")
BRIDGE = os.environ.get("BELFRY_BRIDGE")
TOOL = os.environ.get("BELFRY")
SHM = pathlib.Path("/dev/shm")

_names = itertools.count()


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def reserved_port():
    """A socket with a port that nobody else is given. A server that sets SO_REUSEADDR can listen at it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


def unique(what):
    return f"belfry-test-nats-{os.getpid()}-{next(_names)}-{what}"


def await_(condition, what, seconds=120):
    """Waits for a condition; the limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"timed out: {what}")
        time.sleep(0.02)


class Server:
    """nats-server with JetStream, in a directory of its own. It can be killed and started again."""

    def __init__(self, extra=""):
        self.directory = tempfile.mkdtemp(prefix="belfry-test-nats-")
        self.reserved = reserved_port()
        self.port = self.reserved.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.config = os.path.join(self.directory, "server.conf")
        with open(self.config, "w") as f:
            f.write(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.directory}/store" }}\n{extra}\n')
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nats-server", "-c", self.config], stdout=self.log, stderr=self.log)
        await_(self.answers, "the server starts")

    def answers(self):
        check(self.process.poll() is None, "nats-server has ended, see " + self.directory)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                return s.recv(4) == b"INFO"
        except OSError:
            return False

    def ask(self, subject, data=None):
        """A request, and its answer: a client of NATS in a few lines. JetStream's answers are JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rwb") as f:
            payload = b"" if data is None else json.dumps(data).encode()
            f.write(b'CONNECT {"verbose":false}\r\nSUB answer 1\r\n')
            f.write(f"PUB {subject} answer {len(payload)}\r\n".encode() + payload + b"\r\n")
            f.flush()
            for line in f:
                word = line.split()
                if word[:1] == [b"PING"]:
                    f.write(b"PONG\r\n")
                    f.flush()
                elif word[:1] == [b"MSG"]:
                    return json.loads(f.read(int(word[-1])))
                elif word[:1] == [b"-ERR"]:
                    raise Failed(f"the server refuses {subject}: {line}")
        raise Failed(f"no answer from {subject}")

    def has_responders(self, subject):
        """Whether a client listens at the subject. Sends it an empty request, if so."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rwb") as f:
            f.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB answer 1\r\n')
            f.write(f"PUB {subject} answer 0\r\n\r\nPING\r\n".encode())
            f.flush()
            for line in f:
                if line.startswith(b"HMSG"):
                    return b"503" not in f.readline()
                if line.startswith(b"PONG"):
                    return True
        raise Failed(f"no answer from the server about {subject}")

    def publish(self, subject, data, headers):
        """A message with headers, which JetStream has stored when this returns."""
        head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rwb") as f:
            f.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB answer 1\r\n')
            f.write(f"HPUB {subject} answer {len(head)} {len(head) + len(data)}\r\n{head}".encode() + data + b"\r\n")
            f.flush()
            for line in f:
                word = line.split()
                if word[:1] == [b"MSG"]:
                    answer = json.loads(f.read(int(word[-1])))
                    check("error" not in answer, f"the server refuses a message: {answer}")
                    return
                check(word[:1] != [b"-ERR"], f"the server refuses {subject}: {line}")
        raise Failed(f"no answer from {subject}")

    def stream(self, name):
        return self.ask("$JS.API.STREAM.INFO." + name)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is not None and self.process.returncode != -9:
            print(f"nats-server has ended by itself, status {self.process.returncode}:")
            print("".join(open(os.path.join(self.directory, "log")).readlines()[-40:]))
        self.kill()
        self.reserved.close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Bridge:
    """belfry bridge --json; its events are in a list."""

    def __init__(self, *arguments, on=(), reconnect_wait=0.1):
        self.arguments = [*on, BRIDGE, "--json", "--reconnect-wait", str(reconnect_wait), *arguments]
        self.events = []
        self.statistics = {}
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()

    def _read(self, process):
        for line in process.stdout:
            said = json.loads(line)
            if "event" in said:
                self.events.append(said)
            else:
                self.statistics[said["statistics"], said["direction"]] = said

    def said(self, event, text=""):
        return any(e["event"] == event and text in e["text"] for e in self.events)

    def await_event(self, event, text="", seconds=120):
        def there():
            return self.said(event, text) or self.process.poll() is not None
        try:
            await_(there, f"{event} {text}", seconds)
        except Failed as e:
            raise Failed(f"{e}; there were {self.events}") from None
        self.settle()
        check(self.said(event, text), f"no {event} {text}; there were {self.events}")

    def settle(self):
        if self.process.poll() is not None:
            self.reader.join(5)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(5)

    def stop(self, seconds=120):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.reader.join(5)
        return status

    def stops_cleanly(self):
        status = self.stop()
        check(status == 0, f"{' '.join(self.arguments)} ends cleanly, not with {status}: {self.events[-3:]}")

    def close(self):
        if self.process.poll() is None:
            self.kill()


class Peer:
    """See peer.cpp. A consumer has joined its channel when this returns."""

    program = PEER
    ready = ("check", "work")

    def __init__(self, *arguments, on=()):
        self.process = subprocess.Popen([*on, self.program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.what = " ".join(map(str, (os.path.basename(self.program), *arguments)))
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if arguments[0] in self.ready:
            await_(lambda: self.lines or not self.running(), f"{self.what} is ready")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def tell(self, number=None):
        """The end of its standard input, with a number before it."""
        if number is not None:
            self.process.stdin.write(f"{number}\n")
        self.process.stdin.close()

    def wait(self, seconds=300):
        """Its last line."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"timed out: {self.what}, at {self.lines[-1:]}") from None
        self.reader.join(10)
        check(self.process.returncode == 0, f"{self.what}: {self.process.stderr.read().strip()}")
        return self.lines[-1] if self.lines else ""

    def await_line(self, line, seconds=120):
        await_(lambda: line in self.lines or not self.running(), f"{self.what} says \"{line}\"", seconds)
        self.reader.join(0 if self.running() else 10)
        check(line in self.lines, f"{self.what} says \"{line}\"; it has said {self.lines}")

    def running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.running():
            self.kill()


class Caller(Peer):
    """See caller.cpp. A server has joined its channel when this returns, and a client is about to call."""

    program = CALLER
    ready = ("serve", "ask", "other")


class Stage:
    """Ends everything, and removes what is left in shared memory."""

    def __init__(self):
        self.things = []
        self.names = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for thing in reversed(self.things):
            thing.close()
        for name in self.names:
            for path in SHM.glob(name + "*"):
                path.unlink(missing_ok=True)

    def add(self, thing):
        self.things.append(thing)
        return thing

    def name(self, what):
        self.names.append(unique(what))
        return self.names[-1]


def run(tests):
    """Runs the functions, or those of the names given; exit status 77 if there is no server."""
    if shutil.which("nats-server") is None:
        print("no nats-server")
        sys.exit(77)
    chosen = [a for a in sys.argv[1:] if not a.startswith("-")]
    failed = 0
    for test in tests:
        if chosen and test.__name__ not in chosen:
            continue
        begin = time.monotonic()
        try:
            test()
            print(f"ok      {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Failed as e:
            failed += 1
            print(f"FAILED  {test.__name__}: {e}", flush=True)
    sys.exit(1 if failed else 0)
