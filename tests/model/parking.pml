/*
 * Parking: how a participant goes to sleep, and how notifiers wake it.
 *
 *   waiter    finds nothing in the ring, then
 *             (0) drains the bell if it was notified, and watches the peers that it sees live
 *             (1) word = next epoch, parked   (2) own bit in the summary, fence
 *             (3) looks again at ring and roster; if there is something: awake, bit cleared, continues
 *             (4) waits for its bell or the death of a peer
 *             (5) may drain the bell; exchanges the word for awake, bit cleared; reaps if there was a death;
 *             looks
 *   notifier  (1) changes the ring   (2) fence
 *             (3) reads the summary, then the words of the slots in it; notifies the bell of a parked waiter,
 *                 and then compares and swaps that same word to rung
 *
 * What is modelled
 *   One consumer (slot 0) and PRODUCERS producers (slots 1, 2, …), each with a park word
 *   `epoch << 2 | state` and a bell; per role a summary, the set of its parked slots; the roster and
 *   its lock. The consumer parks on an empty ring, a producer on a full one, and each notifies all
 *   parked participants of the other role: parking works in both directions at once.
 *   The kernel kills up to KILLS of the participants in the mask KILLABLE, between any two steps,
 *   releases what they had locked and shows the death to their watchers. A killed consumer is
 *   followed by a new one, LIVES in all, which joins in the same slot. A producer that has sent its
 *   MESSAGES leaves, or stays and does nothing more.
 *   COMPETING: the consumer wakes one producer for the room that it has made, not all of them; up to CANCELS
 *   producers give up while they wait for room. A producer that was woken and gives up wakes another one.
 *
 * What is checked
 *   When nothing in the whole system can move any more (`timeout`), every participant that sleeps
 *   has missed nothing: no message (room, for a producer), no death, no join, no leave. No
 *   death is counted twice. A participant that hangs elsewhere is an invalid end state.
 *
 *   With ELSEWHERE a consumer that has received something may wait for something else from then on,
 *   without end, with messages in the ring.
 *   With NO_ROOM_FENCE the consumer has no (2): what it has taken may become visible after its (3). A
 *   producer has a barrier in all processes between its (2) and (3) instead.
 *
 * What is abstracted
 *   The ring is a number that changes in one step. A bell is empty or not; it is drained as a whole.
 *   A summary is read in one step.
 *   A death event lasts only until the slot is locked anew: the weakest guarantee of a FIFO.
 *   Memory is sequentially consistent, which stands in for the two fences; without one of them, the
 *   store before it becomes visible after the load that follows it.
 *
 * Variants that must fail, each with a step left out or reordered
 *   TORN_UNPARK      waiter: a load and a store instead of the exchange. A mark between them is lost, and
 *                    with it the fact that this waiter was woken and must wake another one
 *   NO_HAND_OFF      waiter: gives up and wakes no other waiter though it was woken
 *   NO_FENCE         notifier: changes the ring after its read of the summary
 *   NO_WAITER_FENCE  waiter: looks at the ring the second time before its word and its bit are visible
 *   NO_BARRIER       producer: leaves out its barrier, with NO_ROOM_FENCE
 *   LATE_ROOM        consumer: notifies of room only when it next waits for messages, with ELSEWHERE
 *   NO_SECOND_LOOK   waiter: does not look at the ring the second time
 *   LATE_DRAIN       waiter: drains the bell after it has begun to watch, and so loses a notification before (1)
 *   NO_EPOCH         a slow notifier marks a later parking as rung without notifying its bell
 *   EPOCH_RESTARTS   the same across two lives of a slot: a join must not reset the epoch
 *   STALE_BELL       notifier: marks though the notification failed, at the bell of the slot's former owner
 *   SILENT_JOIN      join: does not notify all, so that sleepers do not watch the newcomer
 *   SILENT_LEAVE     leave: does not notify all
 *   TORN_REAP        reap: frees the slot and counts the death in two steps, and dies in between
 *   WATCH_ONE        waiter: watches one live peer only, and leaves the others to participants that
 *                    may be busy or idle
 *   NO_DEATH_EVENT   deaths wake no participant
 *   MARK_FIRST       notifier: marks, and dies before it notifies. A death event makes up for it; where there
 *                    is none, the waiter misses even the survivors' notifications (SURVIVORS_ONLY), which
 *                    wake it if the notifier notifies before it marks.
 *   With WAKE_UPS_ONLY, only messages and room count as missed.
 */

#include "roster.pml"

#ifndef MESSAGES
#define MESSAGES 2 /* of each producer */
#endif
#ifndef CANCELS
#define CANCELS 0 /* producers that give up while they wait, with COMPETING */
#endif
#ifndef CAPACITY
#define CAPACITY (PRODUCERS * MESSAGES)
#endif

#ifndef OLD
#define OLD 0               /* messages that were in the ring before */
#endif
byte ring = OLD;            /* messages published and not yet received */
byte cancels = CANCELS;

/* For the assertions only. */
bool lost_wake_up, untold_death, unseen_change;
byte sent = OLD, received;
#ifdef SURVIVORS_ONLY
byte last[SLOTS];           /* the value of `sent` at the slot's last publish */
#endif

#ifdef NO_ROOM_FENCE
bool stored;                /* the consumer has taken a message, which no other processor sees yet */
inline become_visible() {
    atomic { if :: stored -> stored = false; ring--; received++ :: else fi }
}
#endif

/* ---- the notifier --------------------------------------------------------------------------- */

/* After (1), the change of the ring, and (2), the fence. */
inline notify(to) {
    if                                                               /* 3: the summary, … */
    :: summary[to] == 0
    :: atomic { summary[to] != 0 -> seen = summary[to] }; notify_seen()
    fi
}

inline notify_seen() {
    do                                                               /* … the words, … */
    :: atomic { seen && !w -> first_of(seen); w = word[t]; if :: state(w) == PARKED :: else -> w = 0 fi }
#ifdef MARK_FIRST
    :: w -> mark(); ring_bell(); w = 0
#else
    :: w -> ring_bell();                                             /* … notify, … */
        if
        :: rang -> mark()                                            /* … and then mark */
        :: !rang -> bury()
        fi;
        w = 0
#endif
    :: atomic { !seen && !w -> t = 0; rang = false; break }
    od
}

#ifdef COMPETING
#define one_is_enough if :: t != CONSUMER -> seen = 0 :: else fi
#else
#define one_is_enough skip
#endif

inline mark() {
    if
    :: atomic { word[t] == w -> word[t] = with_state(w, RUNG); one_is_enough }
    :: word[t] != w
    fi
}

/* The bell has no reader: reaps, unless another participant does. Only a consumer's bell shows this. */
inline bury() {
    if
    :: atomic { lock == 0 -> lock = me + 1 }; reap_and_tell()
    :: lock != 0
    fi
}

/* ---- the waiter ----------------------------------------------------------------------------- */

inline park(something) {
    if                                                               /* 0 */
    :: atomic { heard -> bell[me] = false; heard = false }
    :: !heard
    fi;
    view = live & peers(me);                                         /* the peers to watch */
#ifdef LATE_DRAIN
    bell[me] = false;
#endif
#ifdef NO_WAITER_FENCE
    found = something;
#endif
    word[me] = with_state(word[me] + NEXT_EPOCH, PARKED);            /* 1 */
    summary[role(me)] = summary[role(me)] | bit_of(me);              /* 2 */
#if defined(NO_ROOM_FENCE) && !defined(NO_BARRIER)
    become_visible();                                                /* the barrier in all processes */
#endif
#if !defined(NO_WAITER_FENCE) && !defined(NO_SECOND_LOOK)
    found = (something);                                             /* 3: ring and … */
#endif
    found = found || told != deaths[other_role(me)];                 /* … roster */
    if                                                               /* 4, and the drain of 5 */
    :: found
    :: atomic { !found && bell[me] -> bell[me] = false; rung = true }
    :: atomic { !found && bell[me] -> heard = true; rung = true }
    :: atomic { !found && death_event -> bell[me] = false; died = true }
    :: atomic { !found && death_event -> died = true }
    :: atomic { !found && me != CONSUMER && cancels > 0 -> cancels--; cancelled = true }
    :: atomic { !found && timeout -> at_rest(something); goto asleep }
    fi;
#ifdef TORN_UNPARK                                                   /* 5 */
    rung = rung || state(word[me]) == RUNG; word[me] = with_state(word[me], AWAKE);
#else
    atomic { rung = rung || state(word[me]) == RUNG; word[me] = with_state(word[me], AWAKE) };
#endif
    summary[role(me)] = summary[role(me)] & ~bit_of(me);
    if
    :: atomic { died && lock == 0 -> lock = me + 1 }; reap_and_tell(); look_again()
    :: atomic { !died -> look_again() }
    fi
}

/* A producer that was woken for room and gives up. */
inline hand_off() {
    if
#ifndef NO_HAND_OFF
    :: atomic { cancelled && rung && ring < CAPACITY -> cancelled = false; n = MESSAGES }; notify(PRODUCING)
    :: atomic { cancelled && !(rung && ring < CAPACITY) -> cancelled = false; n = MESSAGES }
#else
    :: atomic { cancelled -> cancelled = false; n = MESSAGES }
#endif
    :: !cancelled
    fi;
    rung = false
}

inline look_again() { atomic { told = deaths[other_role(me)]; found = false; died = false; view = 0 } }

/* The whole system is at rest, and this participant sleeps. */
inline at_rest(something) {
#ifdef SURVIVORS_ONLY
    t = 1;
    do
    :: t < SLOTS -> lost_wake_up = lost_wake_up || ((running & bit_of(t)) && received < last[t]); t++
    :: else -> break
    od;
#else
    lost_wake_up = something;
#ifndef WAKE_UPS_ONLY
    untold_death = told != deaths[other_role(me)] || (live & announced & ~held & peers(me));
    unseen_change = view != (live & held & peers(me));
#endif
#endif
    assert(!lost_wake_up);
    assert(!untold_death);
    assert(!unseen_change);
    assert(sent == received + ring)
}

/* ---- the participants ------------------------------------------------------------------------- */

proctype producer(byte me) {
    byte n, seen, w, t, view, told, handle;
    bool rang, reaped, found, died, heard, rung, cancelled;
    {
        do
#ifdef NO_FENCE
        :: n < MESSAGES && ring < CAPACITY ->
            seen = summary[CONSUMERS]; atomic { ring++; sent++; n++ }; notify_seen()
#else
        :: atomic { n < MESSAGES && ring < CAPACITY -> ring++; sent++; n++;  /* 1 */
#ifdef SURVIVORS_ONLY
            last[me] = sent
#endif
            };
            notify(CONSUMERS)
#endif
        :: n < MESSAGES && ring == CAPACITY -> park(ring < CAPACITY); hand_off()
        :: n == MESSAGES -> leave(); break
        :: n == MESSAGES -> break
        od;
asleep:
end_idle: false
    } unless { atomic { kill[me]?_ -> clean_up(); heard = false; rung = false; cancelled = false; n = 0 } }
}

proctype consumer(byte me) {
    byte lives = LIVES, seen, w, t, view, told, handle;
    bool rang, reaped, found, died, heard, rung, cancelled;
next_life:
    {
        if
        :: held & bit_of(me)
        :: else -> join()
        fi;
        do
#ifdef NO_FENCE
        :: ring > 0 -> seen = summary[PRODUCING]; atomic { ring--; received++ }; notify_seen()
#elif defined(NO_ROOM_FENCE)
        :: atomic { ring > 0 -> stored = true };                            /* 1, not visible yet */
            seen = summary[PRODUCING]; become_visible(); notify_seen()
#elif defined(LATE_ROOM)
        :: atomic { ring > 0 -> ring--; received++ }
#else
        :: atomic { ring > 0 -> ring--; received++ }; notify(PRODUCING)     /* 1 */
#endif
#ifdef LATE_ROOM
        :: ring == 0 -> notify(PRODUCING); park(ring > 0); rung = false
#else
        :: ring == 0 -> park(ring > 0); rung = false
#endif
#ifdef ELSEWHERE
        :: received > 0 -> break
#endif
        od;
asleep:
end_idle: false
    } unless { atomic { kill[me]?_ -> clean_up(); heard = false; rung = false; lives-- } };
    if
    :: atomic { lives > 0 -> running = running | bit_of(me) }; goto next_life
    :: true
    fi
}

init {
    atomic {
        byte p = 1;
        if
        :: KILLS > 0 -> run kernel()
        :: else
        fi;
        run consumer(CONSUMER);
        do
        :: p < SLOTS -> run producer(p); p++
        :: else -> break
        od
    }
}
