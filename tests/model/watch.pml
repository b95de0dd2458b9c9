/*
 * The versions of a block: what a watcher learns of concurrent notifications.
 *
 *   notifier  writes its element of the block, then
 *             (1) busy = 1; ++its counter   (2) fence
 *             (3) v = the sum of all counters
 *             (4) `whole`, or the element's entry, = v   (5) busy = 0; notifies the parked
 *   watcher   (1) version = the sum of all counters   (2) fence
 *             (3) reads the block
 *             (4) waits until the element's entry, or `whole` of any notifier, is more than its version
 *
 * What is modelled
 *   Two notifiers, each of which notifies MESSAGES times, of its own element or of the whole block; a
 *   watcher of one of the elements. A sum is read counter by counter. The kernel kills up to
 *   KILLS of the notifiers, between any two steps; a reaper notifies the whole block for a notifier that was
 *   busy.
 *
 * What is checked
 *   When nothing in the whole system can move any more (`timeout`) the watcher, which sleeps, has read
 *   the last value written to its element, except one written by a notifier that died before (1).
 *
 * What is abstracted
 *   How the watcher sleeps and is woken: parking.pml. Here it sees at once that an entry has changed.
 *   Memory is sequentially consistent, which stands in for the fences; without one of them, the store
 *   before it becomes visible after the load that follows it.
 *
 * Variants that must fail
 *   NO_FENCE         notifier: reads the counters of the others before its own is visible
 *   NO_READER_FENCE  watcher: reads the block before the counters
 *   NO_BUSY          reap: does not notify for a notifier that was busy
 */

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef KILLS
#define KILLS 0
#endif

byte block[2];      /* what has been written to each element */
byte counter[2];    /* watch_state::changes */
byte entry[2];      /* watch_state::elements */
byte whole[2];
bool busy[2];

chan kill_it[2] = [0] of { bit };
byte notified[2];   /* for the assertion: what of `block` was, or will be, notified */
bool lost;

inline count() { atomic { busy[me] = true; counter[me]++; notified[me] = n + 1 } }

proctype notifier(byte me) {
    byte n, v;
    {
        do
        :: n < MESSAGES ->
#ifdef NO_FENCE
            v = counter[0];
            v = v + counter[1] + 1;                                  /* it knows its own */
            block[me] = n + 1;
            count();
#else
            block[me] = n + 1;
            count();                                                 /* 1 */
            v = counter[0];                                          /* 3 */
            v = v + counter[1];
#endif
            if                                                       /* 4 */
            :: atomic { v > entry[me] -> entry[me] = v; v = 0 }
            :: atomic { whole[me] = v; v = 0 }
            fi;
            atomic { busy[me] = false; n++ }                         /* 5 */
        :: n == MESSAGES -> break
        od;
end_idle: false
    } unless { kill_it[me]?_ };
    if                                                               /* its reaper, at any later time */
#ifdef NO_BUSY
    :: busy[me] -> busy[me] = false
#else
    :: busy[me] -> counter[me]++; v = counter[0]; v = v + counter[1]; whole[me] = v; busy[me] = false
#endif
    :: !busy[me]
    fi
}

proctype watcher(byte element) {
    byte seen, shown;
    do
#ifdef NO_READER_FENCE
    :: shown = block[element];
        seen = counter[0];
        seen = seen + counter[1];
#else
    :: seen = counter[0];                                            /* 1 */
        seen = seen + counter[1];
        shown = block[element];                                      /* 3 */
#endif
        if                                                           /* 4 */
        :: atomic { entry[element] > seen || whole[0] > seen || whole[1] > seen -> seen = 0; shown = 0 }
        :: atomic { timeout -> lost = shown < notified[element]; assert(!lost); break }
        fi
    od
}

proctype kernel() {
    byte kills = KILLS;
    do
    :: kills > 0 -> kills--;
        if
        :: kill_it[0]!1
        :: kill_it[1]!1
        :: true
        fi
    :: kills == 0 -> break
    od
}

init {
    atomic {
        if
        :: KILLS > 0 -> run kernel()
        :: else
        fi;
        run notifier(0);
        run notifier(1);
        if
        :: run watcher(0)
        :: run watcher(1)
        fi
    }
}
