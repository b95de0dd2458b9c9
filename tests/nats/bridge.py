#!/usr/bin/env python3
"""What a bridge carries, and what it says. BELFRY_BRIDGE and BELFRY_NATS_PEER are the programs."""

import os
import pty
import re
import select
import signal
import tempfile
import time

from servers import *


def pair(stage, server, here, there, subject, *more, imports=()):
    out = stage.add(Bridge("--server", server.url, "--export", f"{here}={subject}", *more))
    back = stage.add(Bridge("--server", server.url, "--import", f"{subject}={there}", *imports))
    return out, back


def carries_in_order(ring):
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", ring, here, 0, 5000))
        out, back = pair(stage, server, here, there, "plant.values")
        back.await_event("running")
        rx = stage.add(Peer("check", ring, there, 5000))
        tx.wait()
        rx.wait()
        check(out.stop() == 0, "the export ends cleanly")
        check(back.stop() == 0, "the import ends cleanly")
        check(out.said("drained") and back.said("drained"), "both say that they have ended")


def spsc():
    carries_in_order("spsc")


def byte():
    carries_in_order("byte")


def carries_work(ring):
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", ring, here, 0, 5000))
        out, back = pair(stage, server, here, there, "plant.jobs")
        back.await_event("running")
        rx = stage.add(Peer("work", ring, there, 5000))
        tx.wait()
        again = rx.wait()
        # On a machine so busy that a connection was given up, some may.
        check(again == "0 again" or out.said("disconnected") or back.said("disconnected"), f"nothing comes twice: {again}")


def work():
    carries_work("work")


def byte_work():
    carries_work("tasks")


def latest():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "latest", here, 1, 20000, 1000))
        pair(stage, server, here, there, "plant.state")[1].await_event("running")
        rx = stage.add(Peer("newest", there, 20000))
        tx.wait()
        rx.wait()
        bucket = server.stream("KV_plant-state")
        check(bucket["config"]["max_msgs_per_subject"] == 1, "it is a key-value bucket")
        check(server.ask("$JS.API.STREAM.MSG.GET.KV_plant-state", {"last_by_subj": "$KV.plant-state.plant.state"})
              ["message"]["data"], "in which the subject is the key")


def carries_kept(ring):
    """A broadcast in a stream: what was sent while no bridge was there to import it comes nevertheless, in order."""
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        stays = stage.add(Peer("check", ring, here, 1000))  # so that the channel is there before its first value
        out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.news", "--keep"))
        out.await_event("running")
        stage.add(Peer("send", ring, here, 0, 1000)).wait()
        stays.wait()
        rx = stage.add(Peer("check", ring, there, 1000))
        back = stage.add(Bridge("--server", server.url, "--import", f"plant.news={there}", "--oldest"))
        rx.wait()
        back.stops_cleanly()
        out.stops_cleanly()


def broadcast_kept():
    carries_kept("news")


def byte_broadcast_kept():
    carries_kept("video")


def broadcast():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        stage.add(Peer("send", "news", here, 0, 100000, 20000))
        back = pair(stage, server, here, there, "plant.news")[1]
        back.await_event("running")
        await_(lambda: back.statistics.get((there, "import"), {}).get("messages", 0) >= 100, "messages come")


def another_type():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        stage.add(Peer("other", there))
        stage.add(Peer("send", "spsc", here, 0, 10))
        back = pair(stage, server, here, there, "plant.values")[1]
        back.await_event("failed", "type fingerprint")
        check(back.said("failed", "price") or back.said("failed", "number"), f"the field is named: {back.events}")
        check(back.process.wait(120) == 1, "exit status 1")
        await_(lambda: server.stream("plant-values").get("state", {}).get("last_seq") == 10, "the values are there")
        check(server.stream("plant-values")["state"]["messages"] == 10, "nothing is acknowledged")


def mark_of_another_user():
    if os.geteuid() != 0:
        return  # only root can give a file away
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        mark = f"/dev/shm/{there}.nats"
        with open(mark, "wb") as f:
            f.write(bytes(4096))
        os.chmod(mark, 0o666)
        os.chown(mark, 65534, -1)
        stage.add(Peer("send", "spsc", here, 0, 10))
        back = pair(stage, server, here, there, "plant.values")[1]
        back.await_event("waiting", "belongs to user 65534")
        os.unlink(mark)
        back.await_event("running")


def wrong_credentials():
    with Stage() as stage:
        server = stage.add(Server('authorization { user: "plant", password: "secret" }'))
        bridge = stage.add(Bridge("--server", server.url, "--user", "plant", "--export", "nothing=plant.x"))
        bridge.await_event("refused")
        check(bridge.process.wait(120) == 1, "exit status 1")
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("secret\n")
            f.flush()
            bridge = stage.add(Bridge("--server", server.url, "--user", "plant", "--password-file", f.name,
                                      "--export", "nothing=plant.x"))
            bridge.await_event("connected")


def no_permission():
    with Stage() as stage:
        server = stage.add(Server('authorization { users: [ { user: "plant", password: "p", permissions: '
                                  '{ publish: { deny: ["plant.secret"] } } } ] }'))
        here = stage.name("here")
        stage.add(Peer("send", "spsc", here, 0, 10))
        url = server.url.replace("nats://", "nats://plant:p@")
        bridge = stage.add(Bridge("--server", url, "--export", f"{here}=plant.secret"))
        bridge.await_event("refused", "Permissions Violation for Publish to \"plant.secret\"")
        bridge.kill()
        stage.add(Peer("check", "spsc", here, 10)).wait()  # nothing has left the ring


def no_permission_to_import():
    with Stage() as stage:
        server = stage.add(Server('authorization { users: [ { user: "plant", password: "p" }, { user: "guest", '
                                  'password: "g", permissions: { subscribe: { deny: ["plant.news"] } } } ] }'))
        here, there = stage.name("here"), stage.name("there")
        stage.add(Peer("send", "news", here, 0, 100000, 20000))
        as_user = lambda name: server.url.replace("nats://", f"nats://{name}:{name[0]}@")
        stage.add(Bridge("--server", as_user("plant"), "--export", f"{here}=plant.news")).await_event("running")
        guest = stage.add(Bridge("--server", as_user("guest"), "--import", f"plant.news={there}"))
        guest.await_event("refused", "Permissions Violation for Subscription to \"plant.news\"")


def taken_over():
    """A second import of the same values takes over, and the first one ends; one consumer is left."""
    with Stage() as stage:
        server = stage.add(Server())
        here, there, elsewhere = stage.name("here"), stage.name("there"), stage.name("elsewhere")
        stage.add(Peer("send", "spsc", here, 0, 10))
        stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
        first = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}"))
        first.await_event("running")
        second = stage.add(Bridge("--server", server.url, "--import", f"plant.values={elsewhere}"))
        second.await_event("running")
        first.await_event("failed", 'another bridge imports plant.values as "belfry" now')
        names = server.ask("$JS.API.CONSUMER.NAMES.plant-values")["consumers"]
        check(len(names) == 1 and re.fullmatch("belfry-[0-9a-f]", names[0]), f"the consumers are {names}")
        second.stops_cleanly()


def missing_stream():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        stage.add(Peer("send", "spsc", here, 0, 10))
        out, back = pair(stage, server, here, there, "plant.values", "--no-create")
        out.await_event("waiting", 'there is no stream "plant-values"')
        back.await_event("waiting", 'there is no stream "plant-values"')
        out.kill()
        stage.add(Peer("check", "spsc", here, 10)).wait()  # nothing has left the ring


def too_large():
    with Stage() as stage:
        server = stage.add(Server("max_payload: 4096"))
        here = stage.name("here")
        stage.add(Peer("send", "large", here))
        bridge = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
        bridge.await_event("failed", "max_payload")
        check(bridge.process.wait(120) == 1, "exit status 1")
        check(server.stream("plant-values")["state"]["messages"] == 0, "nothing was sent")
        stage.add(Peer("large", here)).wait()  # and nothing has left the ring
        work = stage.name("work")
        stage.add(Peer("send", "bigtasks", work, 1, 1))
        bridge = stage.add(Bridge("--server", server.url, "--export", f"{work}=plant.work", "--split"))
        bridge.await_event("failed", "only messages of an spsc_ring or byte_ring")
        check(server.stream("plant-work")["state"]["messages"] == 0, "no work was sent")


def larger_than_stream():
    """What the stream could never have is an error; it stays in the ring."""
    with Stage() as stage:
        server = stage.add(Server("max_payload: 4096"))
        for limit, says in ("--max-bytes=50000", "50000 in all (max_bytes)"), ("--max-messages=20", "20 in all (max_msgs)"):
            here = stage.name("here")
            tx = stage.add(Peer("send", "large", here, 0, 100_000))
            bridge = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values", "--split", limit))
            bridge.await_event("failed", says)
            check(bridge.process.wait(120) == 1, "exit status 1")
            check(server.stream("plant-values")["state"]["messages"] == 0, "nothing was sent")
            stage.add(Peer("large", here, 100_000)).wait()
            tx.wait()
            check("error" not in server.ask("$JS.API.STREAM.DELETE.plant-values"), "the stream is deleted")


def split():
    """A message that is larger than the server takes, in 2000 parts; either end, and the server, is killed between two of them."""
    with Stage() as stage:
        server = stage.add(Server("max_payload: 4096"))
        here, there = stage.name("here"), stage.name("there")
        size = 8_000_000
        tx = stage.add(Peer("send", "large", here, 0, size))
        out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values", "--split"))

        def stored():
            return server.stream("plant-values").get("state", {}).get("messages", 0)
        for victim in out, server:
            before = stored()
            await_(lambda: stored() > before + 3 or stored() >= size / 4096, "parts are stored")
            victim.kill()
            victim.start()
        await_(lambda: stored() >= size / 4096, "the message is there")
        back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}"))
        back.await_event("running")
        for victim in back, server:
            time.sleep(0.02)
            victim.kill()
            victim.start()
        stage.add(Peer("large", there, size)).wait()
        tx.wait()
        await_(lambda: stored() == 0, "the message is acknowledged")
        out.stops_cleanly()
        back.stops_cleanly()


def bad_parts():
    """Parts that do not follow each other, or are of a message that is too large, end the import; the stream keeps them."""
    for text, parts in (
            ("next part of position 0 is missing", [("0/3/6", 0), ("2/3/6", 0)]),
            ("next part of position 0 is missing", [("0/3/6", 0), ("1/2/6", 0)]),
            ("next part of position 0 is missing", [("0/3/6", 0), ("1/3/7", 0)]),
            ("next part of position 0 is missing", [("0/3/6", 0), ("1/3/6", 0), ("0/1/2", 16)]),
            ("next part of position 0 is missing", [("0/2/5", 0), ("1/2/5", 0)]),  # 4 bytes of 5
            ("next part of position 0 is missing", [("0/2/3", 0), ("1/2/3", 0)]),
            ("the channel takes at most", [("0/2/9000000000", 0)]),
            ("whose part is", [("3/3/6", 0)]),
            ("whose part is", [("0/7/6", 0)]),
            ("whose part is", [("many", 0)])):
        with Stage() as stage:
            server = stage.add(Server())
            here, there = stage.name("here"), stage.name("there")
            stage.add(Peer("send", "byte", here, 0, 1))  # makes the channel, and so the stream and its description
            out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
            out.await_event("running")
            await_(lambda: server.stream("plant-values")["state"]["messages"] == 1, "the value is stored")
            out.stops_cleanly()
            server.ask("$JS.API.STREAM.PURGE.plant-values")
            for part, position in parts:
                server.publish("plant.values", b"ab", {"Nats-Msg-Id": f"00000000000000ab-{position}/p{part.replace('/', '.')}",
                                                       "Belfry-Part": part})
            back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}"))
            back.await_event("failed", text)
            check(back.process.wait(120) == 1, "exit status 1")
            check(server.stream("plant-values")["state"]["messages"] == len(parts), f"the stream keeps {parts}")


def unfinished_parts():
    """A value whose channel is gone before all its parts were sent, or whose first parts are gone, is a gap. What is behind it
    passes."""
    for parts in (["0/3/6", "1/3/6"], ["1/3/6", "2/3/6"]):
        with Stage() as stage:
            server = stage.add(Server())
            here, there = stage.name("here"), stage.name("there")
            server.ask("$JS.API.STREAM.CREATE.plant-values",
                       {"name": "plant-values", "subjects": ["plant.values"], "retention": "workqueue"})
            for part in parts:
                server.publish("plant.values", b"ab", {"Nats-Msg-Id": f"00000000000000ab-0/p{part}", "Belfry-Part": part})
            tx = stage.add(Peer("send", "byte", here, 0, 100))
            stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
            back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}"))
            back.await_event("gap", "values are missing")
            stage.add(Peer("check", "byte", there, 100)).wait()
            tx.wait()
            await_(lambda: server.stream("plant-values")["state"]["messages"] == 0, "all is acknowledged")


def slow_consumer():
    """A value waits for room in the ring while the connection is lost, and gets it while the import begins anew."""
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "spsc", here, 0, 0))
        stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
        back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}", reconnect_wait=0.01))
        back.await_event("running")
        rx = stage.add(Peer("check", "spsc", there, 0))
        for turn in range(10):
            rx.process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)  # the ring is full
            server.kill()
            back.events.clear()
            server.start()
            back.await_event("connected")
            time.sleep(turn * 0.001)
            rx.process.send_signal(signal.SIGCONT)
            back.await_event("running")
        tx.tell()
        sent = tx.wait()
        if rx.running():
            rx.tell(sent)
        rx.wait()


def full():
    """A full stream holds the export back; it goes on when there is room, in order."""
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "spsc", here, 0, 5000))
        out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values", "--max-messages", "700"))
        out.await_event("full", "maximum messages exceeded")
        check(tx.running(), "the producer waits")
        stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}")).await_event("running")
        rx = stage.add(Peer("check", "spsc", there, 5000))
        tx.wait()
        rx.wait()


def server_away():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "spsc", here, 0, 10000, 10_000))
        out, back = pair(stage, server, here, there, "plant.values")
        back.await_event("running")
        rx = stage.add(Peer("check", "spsc", there, 10000))
        for _ in range(3):
            at = rx.lines[-1]
            await_(lambda: rx.lines[-1] != at or not rx.running(), "values pass")
            server.kill()
            time.sleep(0.3)
            server.start()
        tx.wait()
        rx.wait()
        out.await_event("disconnected")


def loop():
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "work", here, 0, 10))
        same = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.a", "--import", f"plant.a={here}"))
        check(same.process.wait(120) == 2, "refused at once")
        # here > plant.a > there > plant.b > here
        stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.a"))
        stage.add(Bridge("--server", server.url, "--import", f"plant.a={there}", "--export", f"{there}=plant.b"))
        last = stage.add(Bridge("--server", server.url, "--import", f"plant.b={here}"))
        last.await_event("failed", "a loop")
        tx.wait()
        check(last.statistics.get((here, "import"), {}).get("messages", 0) == 0, "nothing has come back")


def tool():
    """`belfry bridge` is belfry-bridge, and without that one it says so."""
    def bridge(program, *arguments, **more):
        return subprocess.run([program, "bridge", *arguments], capture_output=True, text=True, **more)

    p = bridge(TOOL, "--version")
    check(p.returncode == 0 and p.stdout.startswith("belfry "), f"{p}")
    p = bridge(TOOL, "--import", "plant")
    check(p.returncode == 2 and "SUBJECT=NAME" in p.stderr, f"{p}")
    with tempfile.TemporaryDirectory() as alone:
        shutil.copy(TOOL, alone)
        p = bridge(os.path.join(alone, "belfry"), "--version",
                   env={**os.environ, "LD_LIBRARY_PATH": str(pathlib.Path(TOOL).parent.parent)})
        check(p.returncode == 1 and "built without NATS" in p.stderr and p.stderr.count("\n") == 1, f"{p}")


def terminal():
    """On a terminal there is a line of statistics, and SIGINT ends cleanly."""
    with Stage() as stage:
        server = stage.add(Server())
        here = stage.name("here")
        stage.add(Peer("send", "spsc", here, 0, 10)).wait()
        mine, theirs = pty.openpty()
        process = subprocess.Popen([BRIDGE, "--server", server.url, "--export", f"{here}=plant.values"], stdin=theirs,
                                   stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while b"1 of 1 running, " not in seen:
                check(select.select([mine], [], [], 60)[0], f"a line of statistics; there was {seen}")
                seen += os.read(mine, 4096)
            check(b"> plant.values: running" in seen, f"what it does: {seen}")
            process.send_signal(signal.SIGINT)
            check(process.wait(120) == 0, "exit status 0")
        finally:
            process.kill()
            process.wait()
            os.close(mine)


def configuration():
    def told(text):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            f.write(text)
            f.flush()
            p = subprocess.run([BRIDGE, "--config", f.name], capture_output=True, text=True)
            check(p.returncode == 2, f"exit status {p.returncode}: {p.stderr}")
            return p.stderr

    check("exports[0].replicas: 0 is not between 1 and 5" in
          told('{"exports": [{"channel": "a", "subject": "b", "replicas": 0}]}'), "a number")
    check("exports[0].subject: is missing" in told('{"exports": [{"channel": "a"}]}'), "a missing key")
    check("server: is not known; known are" in told('{"server": "x"}'), "an unknown key")
    check("parse error" in told("{"), "no JSON")
    check("nothing to do" in told("{}"), "nothing")
    check("cannot be the subject" in told('{"exports": [{"channel": "a", "subject": "b.*"}]}'), "a wildcard")


if __name__ == "__main__":
    run([configuration, spsc, byte, work, byte_work, latest, broadcast, broadcast_kept, byte_broadcast_kept, another_type,
         mark_of_another_user, wrong_credentials, no_permission, no_permission_to_import, taken_over, missing_stream, too_large,
         larger_than_stream, split, bad_parts, unfinished_parts, slow_consumer, full, server_away, loop, tool, terminal])
