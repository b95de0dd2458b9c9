"""Await changes in a block of shared memory, and have it to oneself, together with C++ programs that
use Belfry's `watch` and `txn`. Standard library only, CPython 3.9 or later, Linux on x86-64.

    import asyncio, belfry_watch
    from multiprocessing.shared_memory import ShareableList

    limits = ShareableList([10, 20, 30], name="limits")      # or attach to what C++ has created

    with belfry_watch.Watch("limits") as watch:
        with watch.txn() as t:                 # exclusive among processes; notifies at its end
            if t.owner_died:
                ...                            # the previous holder was killed: repair the data
            limits[0] += 1

        limits[1] = 25
        watch.notify()                         # the same without exclusion

        async def reload():
            seen = watch.version()
            while True:
                seen = await watch.changed(seen)
                print(list(limits))

        asyncio.run(reload())

The format, and the names used here: include/belfry/detail/layout/layout.hpp. Why no wake-up
is lost: detail/segment/parking.hpp. How a death is noticed: detail/segment/roster.hpp.

A Watch is not thread-safe. In the child of a fork it is closed. What other participants write into the
companion is trusted.
"""

from .roster import remove_companion_if_over
from .watch import Transaction, Watch

__all__ = ["Transaction", "Watch", "keep", "unlink"]


def keep(shm):
    """Call this for a block that another program owns: otherwise Python's resource
    tracker unlinks the block when this program ends."""
    from multiprocessing import resource_tracker

    if getattr(shm, "_track", True):
        resource_tracker.unregister("/" + shm.name, "shared_memory")
        shm._track = False


def unlink(shm):
    """Use it instead of shm.unlink(): also removes what is left of the companion, if the programs that had a
    watch of the block were killed, or ended by os._exit(). An open watch removes it when it is closed."""
    from multiprocessing import resource_tracker

    # Before 3.13 its unlink() unregisters the block from the resource tracker, so the block must be
    # registered.
    if not getattr(shm, "_track", True) and not hasattr(type(shm), "_track"):
        resource_tracker.register("/" + shm.name, "shared_memory")
    shm.unlink()
    remove_companion_if_over(shm.name)
