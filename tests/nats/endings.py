#!/usr/bin/env python3
"""How a bridge ends in its own process; see endings.cpp."""
import os
import socket
import subprocess

from servers import *

ENDINGS = os.environ["BELFRY_NATS_ENDINGS"]


def ends(what, url):
    done = subprocess.run([ENDINGS, what, url], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{what}: exit status {done.returncode}: {done.stderr[-3000:]}")


def late_callback():
    with Stage() as stage:
        ends("late", stage.add(Server()).url)


def while_it_connects():
    """The server accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ends("connecting", f"nats://127.0.0.1:{mute.getsockname()[1]}")


run([late_callback, while_it_connects])
