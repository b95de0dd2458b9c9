#!/usr/bin/env python3
"""Numbered values pass while a bridge, or the server, is killed at random moments; `--long`: a hundred times each."""

import random
import sys

from servers import *

KILLS = 100 if "--long" in sys.argv else 10


def kills(ring, how, extra="", *more):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    with Stage() as stage:
        server = stage.add(Server(extra))
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", ring, here, 0, 0, 20_000))
        things = {
            "out": stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values", *more)),
            "in": stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}", "--ack-wait", "2")),
            "server": server,
        }
        things["in"].await_event("running")
        rx = stage.add(Peer(how, ring, there, 0))
        try:
            for victim in rng.sample(list(things) * KILLS, len(things) * KILLS):
                if rng.random() < 0.5:  # while values pass; else perhaps while it starts
                    at = rx.lines[-1]
                    await_(lambda: rx.lines[-1] != at or not rx.running(), f"values pass, after {at}", 300)
                time.sleep(rng.uniform(0, 0.2))
                things[victim].kill()
                time.sleep(rng.uniform(0, 0.05))
                things[victim].start()
                if not rx.running():
                    rx.wait()
                    raise Failed("the consumer has ended")
            tx.tell()
            sent = tx.wait()
            rx.tell(sent)
            print(sent, "sent,", rx.wait(1800), end="; ")
        except Failed as e:
            raise Failed(f"{e} (seed {seed})") from None


def spsc():
    kills("spsc", "check")


def byte():
    kills("byte", "check")


def work():
    kills("work", "work")


def byte_work():
    kills("tasks", "work")


def split():
    kills("big", "check", "max_payload: 4096", "--split")


def split_values():
    kills("frames", "check", "max_payload: 4096", "--split")


if __name__ == "__main__":
    run([spsc, byte, work, byte_work, split, split_values])
