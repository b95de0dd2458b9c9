#!/usr/bin/env python3
"""Calls to servers on other machines, and how they end. BELFRY_BRIDGE and BELFRY_NATS_CALLER are the programs; `--long`:
more kills."""

import random
import sys

from servers import *

KILLS = 50 if "--long" in sys.argv else 5


# A server that does not answer for three of them, as on a starved machine, is lost, and its calls with it.
PATIENT = ("--ping-interval", "60")


class Calls:
    """A channel of calls here, which goes on there."""

    def __init__(self, stage, ring="calls", extra="", drain=10):
        self.stage = stage
        self.ring = ring
        self.server = stage.add(Server(extra))
        self.here, self.there = stage.name("here"), stage.name("there")
        options = (*PATIENT, "--drain", str(drain), "--server", self.server.url)
        self.out = stage.add(Bridge(*options, "--export", f"{self.here}=plant.calls"))
        self.back = stage.add(Bridge(*options, "--import", f"plant.calls={self.there}"))

    def serve(self, how="answer", *more, name=None):
        return self.stage.add(Caller("serve", self.ring, name or self.there, how, *more))

    def ask(self, number=7, milliseconds=0, *option):
        return self.stage.add(Caller("ask", self.ring, self.here, number, milliseconds, *option))

    def warm_up(self):
        """A call is answered; so everything is joined."""
        check(self.ask(1).wait() == "answered", "a call is answered")

    def hold(self):
        """A server that answers no call. Everything is joined when this returns."""
        held = self.serve("hold")
        first = self.ask(1)
        held.await_line("accepted 1")
        first.kill()
        held.await_line("cancelled 1")
        return held


def ends(asked, how, seconds=60):
    said = asked.wait(seconds)
    check(said == how, f"the call ends as \"{how}\"; it has ended as \"{said}\"")


def answered(ring):
    with Stage() as stage:
        c = Calls(stage, ring)
        first = c.ask(7)  # before there is a server, or even the channel there
        c.back.await_event("waiting", "no server has joined")
        c.serve()
        ends(first, "answered")
        c.out.await_event("running")
        for n in range(20):
            ends(c.ask(n, 20_000 if n % 2 else 0), "answered")
        await_(lambda: c.out.statistics.get((c.here, "export"), {}).get("messages", 0) == 21, "they are counted")
        c.out.stops_cleanly()
        c.back.stops_cleanly()


def calls():
    answered("calls")


def pages():
    answered("pages")


def refused():
    with Stage() as stage:
        c = Calls(stage)
        c.serve("refuse")
        ends(c.ask(), "refused: No space left on device")


def many_machines():
    with Stage() as stage:
        c = Calls(stage)
        another = stage.name("another")
        stage.add(Bridge("--server", c.server.url, "--import", f"plant.calls={another}")).await_event("waiting")
        c.ask(1).kill()  # makes the channel
        servers = [c.serve("refuse"), c.serve("refuse", name=another)]
        n = 1
        while not all(any(line.startswith("accepted") for line in s.lines) for s in servers):
            n += 1
            check(n < 200, "the calls go to both machines")
            check(c.ask(n).wait().startswith("refused"), "a call is refused")


def deadline():
    with Stage() as stage:
        c = Calls(stage)
        held = c.hold()
        asked = c.ask(7, 6000)
        held.await_line("accepted 7")
        ends(asked, "deadline_exceeded")
        held.await_line("cancelled 7")


def cancelled():
    with Stage() as stage:
        c = Calls(stage)
        held = c.serve("hold")
        asked = c.ask()
        held.await_line("accepted 7")
        time.sleep(random.choice([0, 0.5]))
        asked.kill()  # its calls are cancelled
        held.await_line("cancelled 7")


def no_server():
    with Stage() as stage:
        c = Calls(stage)
        ends(c.ask(7, 500), "not_started")
        ends(c.ask(7, 0, "impatient"), "no_server")
        server = c.serve()
        c.warm_up()
        server.kill()
        ends(c.ask(7, 0, "impatient"), "no_server")
        ends(c.ask(7, 500), "not_started")
        c.serve()
        c.warm_up()
        c.back.kill()  # nobody listens at the subject
        await_(lambda: not c.server.has_responders("plant.calls"), "the server has noticed it")
        ends(c.ask(7, 0, "impatient"), "no_server")
        ends(c.ask(7, 500), "not_started")
        asked = c.ask()
        c.back.start()
        ends(asked, "answered")


def server_killed():
    with Stage() as stage:
        c = Calls(stage)
        held = c.serve("hold")
        asked = c.ask()
        held.await_line("accepted 7")
        held.kill()
        ends(asked, "maybe_executed")
        # One that may be executed twice goes to the next one.
        held = c.serve("hold")
        asked = c.ask(8, 0, "again")
        held.await_line("accepted 8")
        held.kill()
        c.serve()
        ends(asked, "answered")


def importer_killed():
    with Stage() as stage:
        c = Calls(stage)
        held = c.serve("hold")
        for pause in (0, 1):  # before, and after it has said that it has the call
            asked = c.ask()
            held.await_line("accepted 7")
            time.sleep(pause)
            c.back.kill()
            ends(asked, "maybe_executed")
            held.await_line("cancelled 7")
            held.lines.clear()
            c.back.start()


def exporter_killed():
    with Stage() as stage:
        c = Calls(stage)
        held = c.serve("hold")
        asked = c.ask()
        held.await_line("accepted 7")
        c.out.kill()
        ends(asked, "maybe_executed")
        held.await_line("cancelled 7")
        c.out.start()
        again = c.ask(8, 0, "again")
        held.await_line("accepted 8")
        held.lines.clear()
        c.out.kill()
        c.out.start()
        held.await_line("accepted 8")
        check(again.running(), "the call goes on")


def server_away():
    with Stage() as stage:
        c = Calls(stage)
        held = c.serve("hold")
        asked = c.ask()
        held.await_line("accepted 7")
        c.server.kill()
        ends(asked, "maybe_executed")
        held.await_line("cancelled 7")
        ends(c.ask(8, 300), "not_started")
        ends(c.ask(8, 0, "impatient"), "no_server")
        held.kill()
        c.serve()
        asked = c.ask(9)
        c.server.start()
        ends(asked, "answered")


def stopped():
    """Bridges that end cleanly wait for the calls that they have, and take no others."""
    with Stage() as stage:
        c = Calls(stage, drain=60)
        held = c.hold()
        asked = c.ask(7, 6000)
        held.await_line("accepted 7")
        check(c.back.stop() == 0, "the import ends")
        check(c.back.said("drained"), "and says so")
        ends(asked, "deadline_exceeded")
        waits = c.ask(8)
        time.sleep(0.5)
        check(c.out.stop() == 0, "the export ends")
        check(waits.running(), "the call was given back")


def another_type():
    with Stage() as stage:
        c = Calls(stage)
        stage.add(Caller("other", c.there))
        c.ask().kill()
        c.back.await_event("failed", "value size")
        check(c.back.said("failed", "request"), f"the field is named: {c.back.events}")
        check(c.back.process.wait(120) == 1, "exit status 1")


def too_large():
    with Stage() as stage:
        c = Calls(stage, "pages", "max_payload: 4096")
        c.serve()
        c.warm_up()
        said = c.ask(7, 0, "large").wait()
        check(said.startswith("refused"), f"a request that is too large is refused: {said}")
        c.out.await_event("refused", "max_payload")
        c.warm_up()  # and others are not


def loop():
    with Stage() as stage:
        c = Calls(stage)
        server = c.serve()
        c.warm_up()
        c.back.kill()
        # here > plant.calls > there > plant.more > here
        both = stage.add(Bridge("--server", c.server.url, "--import", f"plant.calls={c.there}",
                                "--export", f"{c.there}=plant.more"))
        last = stage.add(Bridge("--server", c.server.url, "--import", f"plant.more={c.here}"))
        await_(lambda: all(any(e["event"] == "running" and e.get("direction") == way for e in both.events)
                           for way in ("import", "export")), "everything is joined")
        server.kill()  # now there are bridges only
        said = c.ask(7, 20_000).wait()
        last.await_event("failed", "a loop")
        check(said.startswith("refused"), f"the call is refused: {said}")


def two_channels():
    """In one pair of bridges: their replies, cancellations and signs of life do not mix."""
    with Stage() as stage:
        server = stage.add(Server())
        here = [stage.name("here-a"), stage.name("here-b")]
        there = [stage.name("there-a"), stage.name("there-b")]
        exports = [f"--export={here[i]}=plant.{i}" for i in (0, 1)]
        imports = [f"--import=plant.{i}={there[i]}" for i in (0, 1)]
        stage.add(Bridge("--server", server.url, *exports))
        stage.add(Bridge("--server", server.url, *imports))

        def ask(which, number):
            return stage.add(Caller("ask", "pages", here[which], number, 0))

        asked = [ask(0, 7), ask(1, 8)]
        held = [stage.add(Caller("serve", "pages", there[i], "hold")) for i in (0, 1)]
        held[0].await_line("accepted 7")
        held[1].await_line("accepted 8")
        time.sleep(1.5)  # both have been told to be there
        asked[0].kill()
        held[0].await_line("cancelled 7")
        time.sleep(0.5)
        check(asked[1].running() and "cancelled 8" not in held[1].lines, "the other call goes on")
        asked[1].kill()
        held[1].await_line("cancelled 8")
        for h in held:
            h.kill()
        for name in there:
            stage.add(Caller("serve", "pages", name, "answer"))
        for n in range(10):
            both = [ask(0, 2 * n), ask(1, 2 * n + 1)]
            for each in both:
                ends(each, "answered")


def stream_beside():
    """A stream that takes the subject, too, answers each request."""
    with Stage() as stage:
        c = Calls(stage, "pages")
        c.server.ask("$JS.API.STREAM.CREATE.AUDIT", {"name": "AUDIT", "subjects": ["plant.>"], "storage": "memory"})
        c.serve()
        for n in range(5):
            ends(c.ask(n), "answered")
        check(c.server.stream("AUDIT")["state"]["messages"] >= 5, "the stream has the requests")


def kills():
    """Whatever is killed, each call has an outcome that is true, and none is executed twice."""
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    with Stage() as stage:
        c = Calls(stage)
        ledger = stage.name("ledger")
        storm = stage.add(Caller("storm", c.here, ledger))
        things = {"out": c.out, "in": c.back, "server": c.server, "served": None}
        served = [c.serve("answer", ledger), c.serve("answer", ledger)]
        try:
            await_(lambda: storm.lines, "calls are answered")
            for victim in rng.sample(list(things) * KILLS, len(things) * KILLS):
                if rng.random() < 0.5:
                    at = storm.lines[-1]
                    await_(lambda: storm.lines[-1] != at or not storm.running(), f"calls are answered, after {at}", 120)
                time.sleep(rng.uniform(0, 0.2))
                if victim == "served":
                    served.pop(0).kill()
                    served.append(c.serve("answer", ledger))
                else:
                    things[victim].kill()
                    time.sleep(rng.uniform(0, 0.05))
                    things[victim].start()
                if not storm.running():
                    break
            storm.tell()
            print(storm.wait(), end=" ")
        except Failed as e:
            raise Failed(f"{e} (seed {seed})") from None


if __name__ == "__main__":
    run([calls, pages, refused, many_machines, deadline, cancelled, no_server, server_killed, importer_killed,
         exporter_killed, server_away, stopped, another_type, too_large, loop, two_channels,
         stream_beside, kills])
