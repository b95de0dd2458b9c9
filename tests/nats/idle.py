#!/usr/bin/env python3
"""A bridge with nothing to do sleeps."""

from servers import *


def used(bridge):
    """How often its threads have gone to sleep, and seconds of processor time."""
    sleeps = 0
    for task in pathlib.Path(f"/proc/{bridge.process.pid}/task").iterdir():
        try:
            with open(task / "status") as f:
                sleeps += next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    with open(f"/proc/{bridge.process.pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return sleeps, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle():
    """Both ends are connected, and their channels are empty. A busy machine lets them wake less often, not more."""
    with Stage() as stage:
        server = stage.add(Server())
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "spsc", here, 0, 0, 1))
        out = stage.add(Bridge("--server", server.url, "--export", f"{here}=plant.values"))
        back = stage.add(Bridge("--server", server.url, "--import", f"plant.values={there}"))
        back.await_event("running")
        rx = stage.add(Peer("check", "spsc", there, 0))
        tx.tell()
        sent = tx.wait()
        rx.tell(sent)
        rx.wait()
        begin, before = time.monotonic(), [used(b) for b in (out, back)]
        time.sleep(10)
        seconds = time.monotonic() - begin
        for bridge, (sleeps, cpu) in zip((out, back), before):
            now_sleeps, now_cpu = used(bridge)
            print(f"{(now_sleeps - sleeps) / seconds:.1f} times a second, {(now_cpu - cpu) / seconds:.2%}", end="; ")
            check(now_sleeps - sleeps <= 50 * seconds, f"it wakes {(now_sleeps - sleeps) / seconds:.0f} times a second")
            check(now_cpu - cpu <= 0.1 * seconds, f"it uses {(now_cpu - cpu) / seconds:.0%} of a processor")


if __name__ == "__main__":
    run([idle])
