#!/usr/bin/env python3
"""The unit of systemd: it is a correct one, and what it starts runs, and ends cleanly at SIGTERM. BELFRY_UNIT is its file."""

import shlex
import tempfile

from servers import *

INSTALLED = "/belfry bridge --json --config /etc/belfry/%i.json"


def unit_in(directory):
    """The unit, with the program that was built, as an instance `plant`; and its command."""
    with open(os.environ["BELFRY_UNIT"]) as f:
        lines = f.read().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("ExecStart="))
    check(lines[start].endswith(INSTALLED), f"{lines[start]} is what the manual says")
    command = TOOL + INSTALLED.removeprefix("/belfry")
    lines[start] = "ExecStart=" + command
    path = os.path.join(directory, "belfry-bridge@plant.service")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path, command.replace("/etc/belfry/%i.json", os.path.join(directory, "plant.json"))


def verify():
    if shutil.which("systemd-analyze") is None:
        print("no systemd-analyze", end="; ")
        return
    with tempfile.TemporaryDirectory() as d:
        path, _ = unit_in(d)
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
        about = [line for line in (p.stdout + p.stderr).splitlines() if "belfry" in line]
        check(p.returncode == 0 and not about, f"status {p.returncode}: {p.stdout + p.stderr}")
        # It does look: a wrong line is told.
        with open(path, "a") as f:
            f.write("Belfry=yes\n")
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
        check("Belfry" in p.stdout + p.stderr, "a wrong line is told")


class Started(Bridge):
    """By the command of the unit."""

    def __init__(self, command):
        self.command = command
        super().__init__()

    def start(self):
        self.arguments = shlex.split(self.command)
        super().start()


def starts_and_ends():
    with Stage() as stage, tempfile.TemporaryDirectory() as d:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        command = unit_in(d)[1]
        with open(os.path.join(d, "plant.json"), "w") as f:
            json.dump({"servers": [server.url], "exports": [{"channel": here, "subject": "plant.values"}],
                       "imports": [{"subject": "plant.other", "channel": there}]}, f)
        tx = stage.add(Peer("send", "spsc", here, 0, 1000))
        bridge = stage.add(Started(command))
        bridge.await_event("running", 'to the stream "plant-values"')
        tx.wait()
        await_(lambda: server.stream("plant-values")["state"]["messages"] == 1000, "all values are in the stream")
        check(bridge.stop() == 0, f"exit status {bridge.process.returncode}")
        check(sum(e["event"] == "drained" for e in bridge.events) == 2, f"both have ended: {bridge.events}")


def restarts_only_on_failure():
    """A file with a mistake ends it with another status than 0: then systemd starts it again."""
    with tempfile.TemporaryDirectory() as d:
        command = unit_in(d)[1]
        p = subprocess.run(shlex.split(command), capture_output=True, text=True)
        check(p.returncode == 1 and "plant.json: No such file" in p.stderr, f"a missing file: {p}")
        with open(os.path.join(d, "plant.json"), "w") as f:
            f.write("{}")
        p = subprocess.run(shlex.split(command), capture_output=True, text=True)
        check(p.returncode == 2 and "nothing to do" in p.stderr, f"an empty one: {p}")


if __name__ == "__main__":
    run([verify, starts_and_ends, restarts_only_on_failure])
