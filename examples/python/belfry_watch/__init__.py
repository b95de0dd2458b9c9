"""Await changes in a block of shared memory, and have it to oneself, together with C++ programs that
use Belfry's `watch` and `txn`. Standard library only, CPython 3.9 or later, Linux on x86-64.

    import asyncio, belfry_watch
    from multiprocessing.shared_memory import ShareableList

    limits = ShareableList([10, 20, 30], name="limits")      # or attach to what C++ has created

    with belfry_watch.Watch("limits") as watch:
        with watch.txn() as t:                 # exclusive among processes; its end notifies
            if t.owner_died:
                ...                            # the holder before was killed: put the data right
            limits[0] += 1

        limits[1] = 25
        watch.notify()                         # the same without exclusion

        async def reload():
            seen = watch.version()
            while True:
                seen = await watch.changed(seen)
                print(list(limits))

        asyncio.run(reload())

The format is that of include/belfry/detail/layout/layout.hpp; the names here are those there. How nobody
misses a wake-up is in detail/segment/parking.hpp, how the dead are noticed in detail/segment/roster.hpp.

A Watch is not thread-safe. In the child of a fork it is closed. What other participants write into the
companion is trusted.
"""

from .roster import remove_companion_if_over
from .watch import Transaction, Watch

__all__ = ["Transaction", "Watch", "keep", "unlink"]


def keep(shm):
    """To be called with what was attached to and is somebody else's: without it Python's resource
    tracker unlinks the block when this program ends."""
    from multiprocessing import resource_tracker

    if getattr(shm, "_track", True):
        resource_tracker.unregister("/" + shm.name, "shared_memory")
        shm._track = False


def unlink(shm):
    """In place of shm.unlink(): removes also what is left of the companion, if the programs that had a
    watch of the block were killed, or ended by os._exit(). A watch that is open removes it at its end."""
    from multiprocessing import resource_tracker

    # Before 3.13 its own unlink() tells the tracker, which must know it then.
    if not getattr(shm, "_track", True) and not hasattr(type(shm), "_track"):
        resource_tracker.register("/" + shm.name, "shared_memory")
    shm.unlink()
    remove_companion_if_over(shm.name)
