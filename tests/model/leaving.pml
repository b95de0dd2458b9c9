/*
 * Leaving: the last participant removes the segment, and nothing of a participant is left, though none waits for the
 * roster's lock.
 *
 *   leaver   (1) sets its slot to going (its own store)   (2) gives up the slot's lock   (3) tries the roster's lock;
 *            if another participant has it, ends
 *            (4) of every slot: (a) looks whether it is taken (b) looks whether its lock is held (c) if not, looks once
 *            more at the slot: a live one would be a death; frees it. If no slot is live, removes the segment
 *            (5) gives up the lock   (6) if a slot is going and not locked: back to (3)
 *   stayer   takes the roster's lock once, as for a reap, and then leaves as well
 *
 * What is checked
 *   No participant that leaves is taken for dead. When all have left, every slot is free, and the segment is removed.
 *
 * What is abstracted
 *   Deaths: a participant that dies meanwhile is reaped by the living ones; if all participants of a segment die,
 *   nothing is promised. Memory is sequentially consistent: (2) and (3), (5) and (6) are system calls on one
 *   inode's locks, which order what comes before and after them.
 *
 * Variants that must fail, each with a step left out or reordered
 *   NO_SECOND_LOOK   (6) is left out
 *   LATE_UNLOCK      (2) comes after (3)
 *   LOOK_INSIDE      (6) comes before (5)
 *   LOOK_ONCE        (c) relies on what (a) saw
 */

#ifndef LEAVERS
#define LEAVERS 3
#endif
#ifndef STAYERS
#define STAYERS 1
#endif
#define SLOTS (LEAVERS + STAYERS)

#define FREE 0
#define LIVE 1
#define GOING 2

byte slot[SLOTS];
bool locked[SLOTS];         /* the slots' locks */
bool lock;                  /* the roster's */
bool removed;
byte left;
bool left_behind;           /* these two for the assertions only */
bool mistaken;

inline clear_up() {
    i = 0;
    do
    :: atomic { i < SLOTS && (slot[i] == FREE || (i == me && slot[i] == LIVE)) -> i++ }      /* a */
    :: atomic { i < SLOTS && slot[i] != FREE && !(i == me && slot[i] == LIVE) -> seen = slot[i] };
        if
        :: atomic { locked[i] -> i++ }                                       /* b */
        :: !locked[i] ->
#ifdef LOOK_ONCE
            atomic { mistaken = seen == LIVE; assert(!mistaken); slot[i] = FREE; i++ }
#else
            atomic { mistaken = slot[i] == LIVE; assert(!mistaken); slot[i] = FREE; i++ }   /* c */
#endif
        fi
    :: i == SLOTS -> break
    od;
    /* A slot that was live when it was looked at may be going by now. */
    i = 0; alone = true;
    do
    :: atomic { i < SLOTS -> alone = alone && slot[i] != LIVE; i++ }
    :: i == SLOTS -> break
    od;
    if
    :: alone -> removed = true
    :: else
    fi
}

/* One at a time, as the slots are. */
inline look_again() {
    i = 0; again = false;
    do
    :: atomic { i < SLOTS -> again = again || (slot[i] == GOING && !locked[i]); i++ }
    :: i == SLOTS -> break
    od
}

inline leave() {
    slot[me] = GOING;                                                /* 1 */
#ifndef LATE_UNLOCK
    locked[me] = false;                                              /* 2 */
#endif
    again = true;
    do
    :: again ->
        if
        :: atomic { !lock -> lock = true };                          /* 3 */
#ifdef LATE_UNLOCK
            locked[me] = false;
#endif
            clear_up();                                              /* 4 */
#ifdef LOOK_INSIDE
            look_again(); lock = false
#else
            lock = false;                                            /* 5 */
#ifdef NO_SECOND_LOOK
            again = false
#else
            look_again()                                             /* 6 */
#endif
#endif
        :: atomic { lock -> again = false }
        fi
    :: !again -> break
    od;
#ifdef LATE_UNLOCK
    locked[me] = false;
#endif
    atomic { left++; check() }
}

inline check() {
    if
    :: left == SLOTS ->
        i = 0;
        left_behind = !removed;
        do
        :: i < SLOTS -> left_behind = left_behind || slot[i] != FREE; i++
        :: else -> break
        od;
        i = 0;
        assert(!left_behind)
    :: else
    fi
}

proctype participant(byte me; bool stays) {
    byte i;
    byte seen;
    bool again, alone;
    if
    :: stays -> atomic { !lock -> lock = true }; clear_up(); lock = false
    :: else
    fi;
    leave()
}

init {
    atomic {
        byte p = 0;
        do
        :: p < SLOTS -> slot[p] = LIVE; locked[p] = true; run participant(p, p >= LEAVERS); p++
        :: else -> break
        od
    }
}
