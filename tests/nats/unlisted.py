#!/usr/bin/env python3
"""A server of a cluster keeps a consumer that the cluster does not list any more: its files are given back to it. The work
queue then refuses every consumer with another name, until the importing bridge has made the server remove it. A server of
NATS 2.9 keeps it only if its log of the metadata does not tell of the removal once more: this says which it was."""

from servers import *

STREAM = "plant-values"


class Member(Server):
    def __init__(self, name, port, ports):
        routes = ", ".join(f'"nats://127.0.0.1:{p}"' for p in ports)
        super().__init__(f'server_name: {name}\ncluster {{ name: plant, listen: "127.0.0.1:{port}", routes: [{routes}] }}')

    def consumers(self):
        """Those in its files."""
        return list(pathlib.Path(self.directory).glob(f"store/jetstream/$G/streams/{STREAM}/obs/*"))


def ask(server, what, data=None):
    """Without a leader there is no answer: then an error."""
    try:
        return server.ask("$JS.API." + what, data)
    except OSError:
        return {"error": {}}


def names(server):
    return ask(server, "CONSUMER.NAMES." + STREAM).get("consumers")


def are_current(server):
    """All servers have the stream."""
    replicas = ask(server, "STREAM.INFO." + STREAM).get("cluster", {}).get("replicas", [])
    return len(replicas) == 2 and all(r.get("current") for r in replicas)


def refuses(server):
    """Other consumers; not each time, when the other servers answer first."""
    for i in range(10):
        config = {"durable_name": f"another-{i}", "ack_policy": "explicit", "filter_subject": "plant.values"}
        made = ask(server, f"CONSUMER.DURABLE.CREATE.{STREAM}.another-{i}", {"stream_name": STREAM, "config": config})
        ask(server, f"CONSUMER.DELETE.{STREAM}.another-{i}")
        if made.get("error", {}).get("err_code") == 10100:
            return True
    return False


def unlisted():
    with Stage() as stage:
        reserved = [reserved_port() for _ in range(3)]
        ports = [s.getsockname()[1] for s in reserved]
        servers = [stage.add(Member(name, port, ports)) for name, port in zip("abc", ports)]
        asked, damaged = servers[0], servers[2]
        here, there = stage.name("here"), stage.name("there")
        stage.add(Bridge("--server", asked.url, "--export", f"{here}=plant.values", "--replicas", "3"))
        tx = stage.add(Peer("send", "spsc", here, 0, 1000))
        back = stage.add(Bridge("--server", asked.url, "--import", f"plant.values={there}"))
        back.await_event("running", seconds=300)
        await_(lambda: len(damaged.consumers()) == 1 and are_current(asked), "all servers have the consumer")
        back.kill()

        damaged.kill()
        files = damaged.consumers()[0]
        kept = os.path.join(damaged.directory, "kept")
        shutil.copytree(files, kept)
        damaged.start()
        await_(lambda: are_current(asked), "all servers have the stream")

        def removed():
            ask(asked, f"CONSUMER.DELETE.{STREAM}.{files.name}")
            return not damaged.consumers()
        await_(removed, "the consumer is removed")
        damaged.kill()
        shutil.copytree(kept, files)
        damaged.start()
        await_(lambda: are_current(asked), "all servers have the stream")
        await_(lambda: names(asked) == [], "no consumer is listed")

        if not refuses(asked):
            print("the server did not keep it", end="; ")

        back.start()
        await_(lambda: len(back.events) and back.events[-1]["event"] == "running", "the import runs again", 300)
        rx = stage.add(Peer("check", "spsc", there, 1000))
        rx.wait()
        tx.wait()
        await_(lambda: len(names(asked) or []) == 1 and [f.name for f in damaged.consumers()] == names(asked),
               "all servers have the one consumer")
        check(names(asked) != [files.name], "it is not the old one")
        back.stops_cleanly()


if __name__ == "__main__":
    run([unlisted])
