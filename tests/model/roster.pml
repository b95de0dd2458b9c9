/*
 * The participants: slots, the roster and its lock, bells, and the kernel that kills. A model includes it
 * and adds what its participants do, each inside
 *
 *   { … } unless { atomic { kill[me]?_ -> clean_up() } }
 *
 * The inlines use the variables of the process that calls them:
 *   me            its slot
 *   view, told    the peers it saw live, and the deaths it was told of, when it last looked
 *   handle        the generation of the consumer's bell that it has open
 *   seen, t, w    remaining slots, the current slot, and its park word
 *   rang, reaped, found, died
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef KILLABLE
#define KILLABLE PRODUCER_SLOTS
#endif
#ifndef LIVES
#define LIVES 1 /* of the consumer */
#endif

#define SLOTS (PRODUCERS + 1)
#define CONSUMER 0
#define CONSUMER_SLOT 1
#define PRODUCER_SLOTS ((1 << SLOTS) - 2)
#define ALL_SLOTS ((1 << SLOTS) - 1)
#define bit_of(slot) (1 << (slot))

#define CONSUMERS 0 /* the roles */
#define PRODUCING 1
#define role(slot) ((slot) == CONSUMER -> CONSUMERS : PRODUCING)
#define other_role(slot) ((slot) == CONSUMER -> PRODUCING : CONSUMERS)
#define peers(slot) ((slot) == CONSUMER -> PRODUCER_SLOTS : CONSUMER_SLOT)

#define AWAKE 0
#define PARKED 1
#define RUNG 2
#define state(word) ((word) & 3)
#define with_state(word, state) ((word) - ((word) & 3) + (state))
#ifdef NO_EPOCH
#define NEXT_EPOCH 0
#else
#define NEXT_EPOCH 4
#endif

/* Shared memory. */
byte word[SLOTS];           /* park words */
byte summary[2];            /* per role: its parked slots */
byte live = ALL_SLOTS;      /* roster: slots in use */
byte deaths[2];             /* roster: deaths counted, per role */

/* The kernel's. */
byte running = ALL_SLOTS;   /* processes that were not killed */
byte held = ALL_SLOTS;      /* liveness locks */
byte lock;                  /* roster lock: its holder's slot + 1, or 0 */
bool bell[SLOTS];           /* whether it was notified */
byte generation;            /* of the consumer's bell: each consumer that joins makes a new one */
chan kill[SLOTS] = [0] of { bool };

/* For the assertions only. */
byte killed[2];             /* per role: killed while live */
byte announced = ALL_SLOTS; /* live, and all were notified of it */

#ifdef WATCH_ONE
#define watched(view) ((view) & -(view))
#else
#define watched(view) (view)
#endif
#ifdef NO_DEATH_EVENT
#define death_event false
#else
#define death_event ((watched(view) & ~held) != 0)
#endif

/* Takes the lowest slot out of `set`, as `t`. */
inline first_of(set) {
    t = 0;
    do
    :: set & bit_of(t) -> break
    :: else -> t++
    od;
    set = set & ~bit_of(t)
}

/* ---- bells ---------------------------------------------------------------------------------- */

/* A producer has the consumer's bell open as `handle`, and opens it anew when it sees that the slot has
 * another owner. The write fails if the bell has no reader; `rang` says whether it had one. */
#define has_reader (handle == generation && (held & CONSUMER_SLOT))

inline ring_bell() {
    if
    :: atomic { t != CONSUMER -> bell[t] = true; rang = true }
#if defined(STALE_BELL)
    :: atomic { t == CONSUMER && has_reader -> bell[CONSUMER] = true; rang = true }
    :: atomic { t == CONSUMER && !has_reader -> rang = true }
#elif LIVES == 1
    :: atomic { t == CONSUMER && has_reader -> bell[CONSUMER] = true; rang = true }
    :: atomic { t == CONSUMER && !has_reader -> rang = false }
#else
    :: atomic { t == CONSUMER -> handle = generation };
        if
        :: atomic { has_reader -> bell[CONSUMER] = true; rang = true }
        :: atomic { !has_reader -> rang = false }
        fi
#endif
    fi
}

inline ring_everyone() {
    seen = live & ~bit_of(me);
    do
    :: atomic { seen -> first_of(seen) }; ring_bell()
    :: atomic { !seen -> t = 0; rang = false; break }
    od
}

/* ---- roster --------------------------------------------------------------------------------- */

/* With the lock held. A reaper may be killed half-way: the next one finishes. */
inline reap() {
    do
    :: atomic { live & ~held -> seen = live & ~held; first_of(seen); seen = 0; reaped = true };
        summary[role(t)] = summary[role(t)] & ~bit_of(t);
#ifdef TORN_REAP
        atomic { live = live & ~bit_of(t); announced = announced & ~bit_of(t) };
        deaths[role(t)]++;
#else
        atomic { live = live & ~bit_of(t); announced = announced & ~bit_of(t); deaths[role(t)]++ };
#endif
        assert(deaths[role(t)] <= killed[role(t)])
    :: atomic { !(live & ~held) -> t = 0; break }
    od
}

/* With the lock held; gives it up. */
inline reap_and_tell() {
    reap();
    if
    :: atomic { reaped -> lock = 0; reaped = false }; ring_everyone()
    :: atomic { !reaped -> lock = 0 }
    fi
}

inline join() {
    atomic { lock == 0 -> lock = me + 1; told = deaths[other_role(me)] };
    reap();
    atomic { held = held | bit_of(me); reaped = false };
    atomic { generation++; bell[me] = false };
#ifdef EPOCH_RESTARTS
    word[me] = 0;
#else
    word[me] = with_state(word[me] + NEXT_EPOCH, AWAKE);
#endif
    live = live | bit_of(me);
    lock = 0;
#ifndef SILENT_JOIN
    ring_everyone();
#endif
    announced = announced | bit_of(me)
}

/* Its own store, without the lock. The process may live on, so with pidfds no death event would tell the others. */
inline leave() {
    atomic { live = live & ~bit_of(me); announced = announced & ~bit_of(me) };
#ifndef SILENT_LEAVE
    ring_everyone()
#endif
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* What the kernel does at a death; what the process was about to do ends with it. */
inline clean_up() {
    running = running & ~bit_of(me);
    held = held & ~bit_of(me);
    lock = (lock == me + 1 -> 0 : lock);
    killed[role(me)] = killed[role(me)] + (live & bit_of(me) -> 1 : 0);
    seen = 0; w = 0; t = 0; view = 0; told = 0; handle = 0; rang = false; reaped = false; found = false; died = false
}

/* Kills any participant at any time, and stops at any time. */
proctype kernel() {
    byte kills, victim;
    do
    :: atomic {
        kills < KILLS && (running & KILLABLE) ->
        do
        :: victim < SLOTS - 1 -> victim++
        :: running & KILLABLE & bit_of(victim) -> kill[victim]!true; kills++; break
        :: victim == SLOTS - 1 && !(running & KILLABLE & bit_of(victim)) -> break
        od;
        victim = 0
        }
    :: break
    od
}
