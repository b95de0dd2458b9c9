#!/usr/bin/env python3
"""The server is away, or does not answer, while a producer has much to send; `--long`: for ten minutes of its time."""

import signal
import sys

from servers import *

SECONDS = 600 if "--long" in sys.argv else 60  # of the load: 2000 values each, in 5 ms
MOST_HELD = 16 << 10  # values: the ring, and what an export has outstanding
MOST_BYTES = 16 << 20  # that a bridge may grow by


def resident(bridge):
    with open(f"/proc/{bridge.process.pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmRSS"))


class Load(Peer):
    def __init__(self, ring, name):
        super().__init__("load", ring, name)
        self.answers = 0

    def does(self, what, count):
        """How many values it has sent so far, and how many were refused now."""
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        await_(lambda: len(self.lines) > self.answers or not self.running(), f"{what} {count}", 600)
        check(self.running(), f"the producer has ended: {what} {count}")
        self.answers += 1
        return map(int, self.lines[self.answers - 1].split())


def away(ring, how, leave, come):
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Load(ring, here))
        out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
        back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}", "--ack-wait", "2"))
        back.await_event("running")
        rx = stage.add(Peer(how, ring, there, 0))
        before = tx.does("send", 2000)
        await_(lambda: rx.lines[-1] == "2000" or not rx.running(), "values pass")
        sizes = [(bridge, resident(bridge)) for bridge in (out, back)]

        sent, _ = before
        leave(server)
        now, refused = tx.does("offer", SECONDS)
        check(now - sent <= MOST_HELD, f"{now - sent} values were taken while the server was away")
        check(refused == SECONDS * 2000 - (now - sent), "all others were refused")
        for bridge, size in sizes:
            grown = resident(bridge) - size
            check(grown <= MOST_BYTES, f"{' '.join(bridge.arguments)} has grown by {grown >> 20} MiB")
        check(rx.running(), "the consumer waits")

        come(server)
        sent, _ = tx.does("send", 10000)  # and waits for room
        check(sent == now + 10000, "the producer goes on")
        rx.tell(sent)
        rx.wait()
        out.stops_cleanly()
        back.stops_cleanly()


def killed(ring, how):
    away(ring, how, Server.kill, Server.start)


def stopped(ring, how):
    """It keeps its connections, and does not read."""
    away(ring, how, lambda server: server.process.send_signal(signal.SIGSTOP),
         lambda server: server.process.send_signal(signal.SIGCONT))


def killed_spsc():
    killed("spsc", "check")


def killed_byte():
    killed("byte", "check")


def killed_work():
    killed("work", "work")


def stopped_byte():
    stopped("byte", "check")


def stopped_byte_work():
    stopped("tasks", "work")


if __name__ == "__main__":
    run([killed_spsc, killed_byte, killed_work, stopped_byte, stopped_byte_work])
