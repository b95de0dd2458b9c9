/*
 * The slots of `work_ring`: many producers, many consumers, any of which may be killed between two steps.
 *
 *   producer  (1) t = tail   (2) reads the word of t's slot: over already, or claimed: raises tail past t,
 *             next t; an older item not yet taken: full; an older one that is held: next t;
 *             free: (3) reads tail again: was the slot skipped?   (4) claims it by compare-and-swap
 *             (5) raises tail   (6) writes the value, exchanges the word for `ready`
 *             (7) counts `late` if the slot had been skipped or passed
 *   consumer  (1) if head is further than h, may continue there, and then does (2) in any case
 *             (2) if `late` has changed: looks at all slots for an item before h, takes it
 *             (3) from h on, reads the word of p's slot: ready, of this lap or an older one: takes it;
 *             over: next p   (4) reads tail: stops if p is not before tail   (5) reads the word once more:
 *             free: closes the slot; being written: waits for it (looks past it, but h stays), or marks
 *             it as passed; otherwise it is held: next p
 *   taken     by compare-and-swap to `leased`; then acknowledged (free, next lap), or given back: `ready`,
 *             and then `late` is counted
 *   recover   what the dead owner was writing is over, what it had taken is ready again; at the end counts `late`
 *
 * Which steps are paired
 *   `h` goes past p only if nothing can become ready there, or the participant that makes it ready counts `late`:
 *   closing (5) and claiming (4), marking (5) and the exchange (6), are each two writes of one word.
 *   Held slots: the consumer reads tail (4) > p and then the word (5), still held; the producer reads
 *   the word (2), no longer held, and then tail (3). Whichever is later sees the other: the loads are seq_cst, and
 *   so are raising tail and giving back.
 *   A ready item has tail behind it (5, 6), and so the consumer may stop at tail (4).
 *   `late` is counted after `ready` is stored, and read (2) before the slots are.
 *
 * What is checked
 *   No item is received that was not sent, nor twice, unless its holder was killed or has given it back.
 *   When nothing in the whole system can move any more (`timeout`), a consumer that sleeps has left no item
 *   (except one whose sender stopped before (7)), and a producer that was refused has no free slot.
 *   A killed participant need not be recovered: the others continue. The reaper may be killed.
 *
 * What is abstracted
 *   Bells: a participant that finds nothing sleeps until something is published after its look began. For a
 *   consumer that is an item or a late one, for a producer one that was taken or acknowledged, for both a
 *   recovery. `late` and a consumer's copy of it are only compared: a bit. A value is written in the same
 *   step as `ready`; before that it is 0, half-written. Consumers may or may not raise `head`.
 *   Memory is sequentially consistent.
 *
 *   To take and to acknowledge at once is one write, as if no other participant had moved in between.
 *
 * With BATCH a producer may claim two slots before it raises tail past both, and then publishes them.
 * With OLD_ITEM the first lap is over, except for the first item, which a consumer has given back.
 *
 * With DELIVERIES, items die: the count in the word is raised in the write that takes an item; a lease that ends without
 * an acknowledgement (given back, recovered, too late) makes the item `dead` in the same write if the count has reached
 * DELIVERIES, else ready; a consumer may also reject. `died` is counted after each such write, and at the end of a
 * recovery.
 *   dead_consumer  reads `died`; if it has changed, looks at all slots for a dead item, takes it (`dead_leased`), and then
 *               acknowledges it; it may be killed. recover makes a leased dead item dead again.
 *   producer    without room: reads `died`; if it has changed, and more items are dead than may stay, drops one of them
 *               (free, next lap; a compare-and-swap), and begins anew
 * With EXPIRE, any consumer may at any time end the lease of another one, EXPIRE times in all; the acknowledgement is a
 * compare-and-swap with the word that was written when it was taken, and may come too late.
 *   Also checked: no item is delivered more than DELIVERIES times; when nothing can move any more, a dead_consumer that sleeps
 *   has left no dead item (except one whose death is not counted yet), and a producer that was refused could not have
 *   dropped one. An item is done once, by one consumer, or dropped, or taken by a dead_consumer.
 *   Abstracted: the time at which a lease began, and the slot that is the oldest among the dead: any of them is dropped.
 *
 * Variants that must fail
 *   NO_LATE_REQUEUE  an item given back is not counted as late
 *   NO_LATE_RECOVER  a recovered item is not counted as late
 *   PASSED_UNSEEN    (6) does not look whether the slot was passed
 *   SKIPPED_UNSEEN   (3) is left out
 *   NO_CLOSE         (5) continues past a free slot
 *   WORD_FIRST       (5) uses the word that was read before tail
 *   PAST_TAIL        taking an older item at h raises h
 *   HEAD_BLINDLY     (1) continues at head without a look at all slots, though an item may have become late between
 *                    the old h and head, and its `late` may have been seen when it was not yet before h
 *   NO_RAISE         (2) does not raise tail past slots that are over, and gives up after CAPACITY looks
 *   ROOM_AT_ACK      a producer is not told that an item was taken, only that it was acknowledged
 *   RECOVER_FREES    recover: what the dead owner had taken is over
 *   NO_DIED          an item that is given back or rejected, and dies, is not counted in `died`
 *   NO_DIED_RECOVER  recovery does not count `died`
 *   COUNT_LATER      the count is not raised in the write that takes the item, but when its lease is given back
 *   REVIVE           recover makes a leased dead item ready
 *   BLIND_ACK        the acknowledgement does not compare the word
 *   KEEP_DEAD        a producer never drops a dead item
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef MESSAGES
#define MESSAGES 1 /* of each producer */
#endif
#ifndef MORE
#define MORE 0 /* of the last producer, besides */
#endif
#ifndef REQUEUES
#define REQUEUES 0 /* in all */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef KILLABLE
#define KILLABLE (1 | 1 << CONSUMERS) /* the first of each role: the others behave alike */
#endif
#ifndef LIVES
#define LIVES 1 /* of a consumer */
#endif
#ifndef REAPER_KILLS
#define REAPER_KILLS 0
#endif
#ifndef DELIVERIES
#define DELIVERIES 0 /* 0: items do not die */
#endif
#ifndef DEAD_CONSUMERS
#define DEAD_CONSUMERS 0 /* 0 or 1 */
#endif
#ifndef EXPIRE
#define EXPIRE 0
#endif
#define MOST_DEAD (CAPACITY / 2)
#ifndef PASS_AFTER
#define PASS_AFTER 1 /* a consumer waits for a writer this near to tail */
#endif

#define ALL (CONSUMERS + PRODUCERS + DEAD_CONSUMERS) /* in this order */
#define DEAD_CONSUMER (CONSUMERS + PRODUCERS)
#define ASKING (DEAD_CONSUMERS << DEAD_CONSUMER)
#define bit_of(participant) (1 << (participant))
#define TAKING ((1 << CONSUMERS) - 1)
#define EVERYONE ((1 << ALL) - 1)
#define SENDING (((1 << PRODUCERS) - 1) << CONSUMERS)

#define FREE 0
#define WRITING 1
#define PASSED 2
#define READY 3
#define LEASED 4
#define DEAD 5
#define DEAD_LEASED 6
#define word_of(lap, owner, state) ((lap) << 5 | (owner) << 3 | (state))
#define state(word) ((word) & 7)
#define owner(word) ((word) >> 3 & 3)
#define lap(word) ((word) >> 5)

#define messages(producer) (MESSAGES + ((producer) == CONSUMERS + PRODUCERS - 1 -> MORE : 0))

#define slot(position) ((position) % CAPACITY)
#define lap_at(position) ((position) / CAPACITY)
#define max(a, b) ((a) > (b) -> (a) : (b))

/* Shared memory. */
short word[CAPACITY];
byte value[CAPACITY];       /* 0: half-written, or nothing */
byte tail, head;
byte late = TAKING;         /* the consumers that have not seen the last change of the counter */
#if DELIVERIES
byte count[CAPACITY];       /* of deliveries: part of the word, changed in the same step */
byte died;                  /* the dead_consumer, and the producers, that have not seen the last change of the counter */
#endif

/* The world around the ring. */
byte running = EVERYONE;
byte unreaped;              /* killed, not recovered */
byte news = EVERYONE;       /* participants for which something was published since their look began */
chan kill[ALL] = [0] of { bool };

/* For the assertions only. */
byte sent, leased, done;    /* sets of values */
byte dead;                  /* those that have died */
byte owed[ALL];             /* ready, but not counted as late yet: by which participant */
byte requeues;
bool never_sent, twice, stranded, refused;
#if DELIVERIES
byte unsaid[ALL];           /* dead, but not counted in `died` yet: by which participant */
byte given[8];              /* how often each value was delivered */
bool too_often, left_dead, kept;
byte expired;
#endif

#define is_free(s) (state(word[s]) == FREE)
#define is_ready(s) (state(word[s]) == READY)
#define is_dead(s) (state(word[s]) == DEAD)
#if CAPACITY == 1
#define how_many(is) (is(0))
#elif CAPACITY == 2
#define how_many(is) (is(0) + is(1))
#else
#define how_many(is) (is(0) + is(1) + is(2))
#endif
#if CAPACITY == 1
#define any(is) (is(0))
#elif CAPACITY == 2
#define any(is) (is(0) || is(1))
#else
#define any(is) (is(0) || is(1) || is(2))
#endif
#if PRODUCERS + CONSUMERS + DEAD_CONSUMERS == 2
#define all_owed (owed[0] | owed[1])
#define all_unsaid (unsaid[0] | unsaid[1])
#elif PRODUCERS + CONSUMERS + DEAD_CONSUMERS == 3
#define all_owed (owed[0] | owed[1] | owed[2])
#define all_unsaid (unsaid[0] | unsaid[1] | unsaid[2])
#else
#define all_owed (owed[0] | owed[1] | owed[2] | owed[3])
#define all_unsaid (unsaid[0] | unsaid[1] | unsaid[2] | unsaid[3])
#endif

/* Called by the participant that owes it. */
inline count_late(who) { late = late | TAKING; owed[who] = 0; news = news | TAKING }

#if DELIVERIES
inline count_died(who) { died = ASKING | SENDING; unsaid[who] = 0; news = news | ASKING | SENDING }
/* In one step: the lease on slot s ends without an acknowledgement. `who` then counts `late` or `died`. */
inline end_lease(s, who) {
    leased = leased & ~value[s];
    if
    :: count[s] >= DELIVERIES -> word[s] = word_of(lap(word[s]), 0, DEAD); unsaid[who] = unsaid[who] | value[s];
        dead = dead | value[s]
    :: else -> word[s] = word_of(lap(word[s]), 0, READY); owed[who] = owed[who] | value[s]
    fi
}
#endif

#if DELIVERIES
#ifdef NO_DIED
#define count_what_has_ended() \
        if \
        :: atomic { owed[me] -> count_late(me) } \
        :: atomic { !owed[me] -> unsaid[me] = 0 } \
        fi
#else
#define count_what_has_ended() \
        if \
        :: atomic { owed[me] -> count_late(me) } \
        :: atomic { !owed[me] -> count_died(me) } \
        fi
#endif
#define is_held_by_another(s) (state(word[s]) == LEASED && owner(word[s]) != me)
#endif

inline die() { running = running & ~bit_of(me); unreaped = unreaped | bit_of(me) }

/* ---- producer ------------------------------------------------------------------------------- */

proctype producer(byte me) {
    byte n, t, held;
    short w;
    bool skipped;
#ifdef BATCH
    byte other;                  /* the slot that was claimed before t, or is published after it */
    bool two, other_skipped;
#endif
push:
    {
        if
        :: n == messages(me) -> goto idle
        :: atomic { n < messages(me) -> news = news & ~bit_of(me); t = tail }          /* 1 */
        fi;
place:
        atomic {                                                                   /* 2 */
            w = word[slot(t)];
            if
            :: lap(w) > lap_at(t) -> w = 0;
#ifdef NO_RAISE
                held++; t++; if :: held == CAPACITY -> goto no_place :: else -> goto place fi
#else
                goto beyond
#endif
            :: lap(w) <= lap_at(t) && state(w) == FREE
            :: lap(w) == lap_at(t) && state(w) != FREE -> w = 0; goto beyond
            :: lap(w) < lap_at(t) && state(w) == READY -> goto no_place
            :: lap(w) < lap_at(t) && state(w) != READY && state(w) != FREE -> w = 0;
                held++; t++; if :: held == CAPACITY -> goto no_place :: else -> goto place fi
            fi
        };
#ifndef SKIPPED_UNSEEN
        skipped = tail > t;                                                        /* 3 */
#endif
        if
        :: atomic { word[slot(t)] == w ->                                          /* 4 */
            word[slot(t)] = word_of(lap_at(t), me, WRITING); w = 0; held = 0 }
        :: atomic { word[slot(t)] != w -> w = 0; skipped = false; goto place }
        fi;
#ifdef BATCH
        if
        :: atomic { !two && n + 1 < messages(me) ->
            two = true; other = t; other_skipped = skipped; skipped = false; t++; goto place }
        :: else
        fi;
raise:
#endif
        tail = max(tail, t + 1);                                                   /* 5 */
#ifdef BATCH
        if
        :: atomic { two ->                                                         /* the first first */
            w = t; t = other; other = w;
            w = skipped; skipped = other_skipped; other_skipped = w; w = 0 }
        :: else
        fi;
publish:
#endif
        atomic {                                                                   /* 6 */
            w = word[slot(t)];
            assert(w == word_of(lap_at(t), me, WRITING) || w == word_of(lap_at(t), me, PASSED));
            assert(!value[slot(t)]);
            word[slot(t)] = word_of(lap_at(t), 0, READY);
            value[slot(t)] = 1 << ((me - CONSUMERS) * MESSAGES + n);
            sent = sent | value[slot(t)];
#ifdef PASSED_UNSEEN
            w = 0;
#endif
            n++;
            if
            :: state(w) == PASSED || skipped -> owed[me] = value[slot(t)]; w = 0; t = 0; skipped = false
            :: else -> news = news | TAKING; w = 0; t = 0; goto sent_it
            fi
        };
        atomic { count_late(me) };                                                 /* 7 */
sent_it:
#ifdef BATCH
        if
        :: atomic { two -> two = false; t = other; other = 0;
            skipped = other_skipped; other_skipped = false; goto publish }
        :: else
        fi;
#endif
        goto push;
beyond: atomic { tail = max(tail, t + 1); t++; held = 0; goto place };
no_place:
#ifdef BATCH
        if
        :: atomic { two -> two = false; t = other; other = 0; skipped = other_skipped;
            other_skipped = false; w = 0; held = 0; goto raise }
        :: else
        fi;
#endif
        atomic { t = 0; w = 0; held = 0 };
#if DELIVERIES
        if
        :: atomic { died & bit_of(me) -> died = died & ~bit_of(me) }
        :: atomic { !(died & bit_of(me)) -> goto wait }
        fi;
#ifndef KEEP_DEAD
        if
        :: atomic { how_many(is_dead) > MOST_DEAD ->
            do
            :: state(word[t]) == DEAD -> break
            :: state(word[t]) != DEAD -> t++
            od;
            w = word[t] }
        :: atomic { how_many(is_dead) <= MOST_DEAD -> goto wait }
        fi;
        atomic {
            died = died | bit_of(me);                                              /* it looks again before it sleeps */
            if
            :: word[t] == w -> word[t] = word_of(lap(w) + 1, 0, FREE); done = done | value[t]; value[t] = 0; count[t] = 0
            :: else
            fi;
            t = 0; w = 0; goto push
        };
#endif
wait:
#endif
        if
        :: atomic { news & bit_of(me) -> goto push }
        :: atomic { timeout -> refused = any(is_free) && !any(is_ready); assert(!refused);
#if DELIVERIES
            kept = how_many(is_dead) > MOST_DEAD && !any(is_ready) && !all_unsaid; assert(!kept)
#endif
            }
        fi;
idle:
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); n = 0; t = 0; held = 0; w = 0; skipped = false;
#ifdef BATCH
        other = 0; two = false; other_skipped = false
#endif
    } }
}

/* ---- consumer ------------------------------------------------------------------------------- */

proctype consumer(byte me) {
    byte h, p, v, lives = LIVES;
    short w;
    bool apart, among_all;
    byte seen;
pop:
    {
#if EXPIRE
        if
        :: atomic { expired < EXPIRE && any(is_held_by_another) ->
            expired++;
            do
            :: is_held_by_another(p) -> break
            :: !is_held_by_another(p) -> p++
            od;
            end_lease(p, me); p = 0 };
            count_what_has_ended()
        :: true
        fi;
#endif
        atomic {                                                                   /* 1 */
            news = news & ~bit_of(me);
            if
#ifdef HEAD_BLINDLY
            :: head > h -> h = head
#else
            :: head > h -> h = head; late = late | bit_of(me)
#endif
            :: true
            fi
        };
        if                                                                         /* 2 */
        :: atomic { late & bit_of(me) -> late = late & ~bit_of(me); among_all = true }
        :: atomic { !(late & bit_of(me)) -> goto in_order }
        fi;
late_one:
        atomic {
            if
            :: p == CAPACITY -> among_all = false; goto in_order
            :: else -> w = word[p];
                if
                :: state(w) == READY && lap(w) * CAPACITY + p < h -> goto take
                :: else -> w = 0; p++; goto late_one
                fi
            fi
        };
in_order:
        atomic { p = h; apart = false };
look:
        atomic {                                                                   /* 3 */
            w = word[slot(p)];
            if
            :: lap(w) <= lap_at(p) && state(w) == READY -> goto take
            :: lap(w) > lap_at(p) -> goto pass
            :: else
            fi;
#ifndef WORD_FIRST
            w = 0
#endif
        };
        atomic { seen = tail; if :: seen <= p -> goto nothing :: else fi };        /* 4 */
        atomic {                                                                   /* 5 */
#ifndef WORD_FIRST
            w = word[slot(p)];
#endif
            if
            :: lap(w) > lap_at(p) -> goto pass
            :: lap(w) <= lap_at(p) && state(w) == READY -> goto take
#ifdef NO_CLOSE
            :: lap(w) <= lap_at(p) && state(w) == FREE -> goto pass
#else
            :: lap(w) <= lap_at(p) && state(w) == FREE
#endif
            :: lap(w) == lap_at(p) && state(w) == WRITING && (apart || seen - p <= PASS_AFTER) ->
               apart = true; goto pass
            :: lap(w) == lap_at(p) && state(w) == WRITING && !apart && seen - p > PASS_AFTER
            :: lap(w) < lap_at(p) && state(w) == WRITING -> goto pass
            :: lap(w) <= lap_at(p) && (state(w) == LEASED || state(w) == PASSED || state(w) == DEAD || state(w) == DEAD_LEASED) ->
               goto pass
            fi
        };
        if                                                                         /* 5: closes, or marks */
        :: atomic { word[slot(p)] == w ->
            word[slot(p)] = (state(w) == FREE -> word_of(lap_at(p) + 1, 0, FREE) : word_of(lap(w), owner(w), PASSED)) };
pass:
            atomic { w = 0; seen = 0; p++; h = (apart -> h : p); goto look }
        :: atomic { word[slot(p)] != w -> w = 0; seen = 0; goto look }
        fi;
take:
        if
        :: atomic { word[slot(p)] == w ->
            word[slot(p)] = word_of(lap(w), me, LEASED);
#if DELIVERIES
#ifndef COUNT_LATER
            count[slot(p)]++;
#endif
            given[value[slot(p)]]++;
            too_often = given[value[slot(p)]] > DELIVERIES; assert(!too_often);
#endif
            v = value[slot(p)];
            never_sent = !(v & sent);
            assert(!never_sent);
            twice = (v & (leased | done)) != 0;
            assert(!twice);
            leased = leased | v;
#ifndef ROOM_AT_ACK
            news = news | SENDING;
#endif
            if
            :: among_all -> late = late | bit_of(me)
#ifdef PAST_TAIL
            :: !among_all && !apart -> h = p + 1
#else
            :: !among_all && p == h && lap(w) == lap_at(p) -> h = p + 1
#endif
            :: else
            fi;
            p = slot(p); w = word[p]; seen = 0; apart = false; among_all = false }
        :: atomic { word[slot(p)] != w && among_all -> w = 0; p++; goto late_one }
        :: atomic { word[slot(p)] != w && !among_all -> w = 0; seen = 0; goto look }
        fi;
        if
        :: atomic { head < h -> head = h }
        :: true
        fi;
#if DELIVERIES
        atomic {
            if
#ifndef BLIND_ACK
            :: word[p] != w -> v = 0; p = 0; w = 0; goto pop                       /* too late */
            :: word[p] == w ->
#else
            :: true ->
#endif
                twice = (done & v) != 0; assert(!twice);
                done = done | v; leased = leased & ~v; word[p] = word_of(lap(w) + 1, 0, FREE);
                value[p] = 0; count[p] = 0; news = news | SENDING; v = 0; p = 0; w = 0; goto pop
            :: word[p] == w ->                                                     /* given back */
#ifdef COUNT_LATER
                count[p]++;
#endif
                end_lease(p, me); v = 0; p = 0; w = 0
            :: word[p] == w && count[p] < DELIVERIES ->                            /* rejected */
                leased = leased & ~v; word[p] = word_of(lap(w), 0, DEAD); unsaid[me] = v; dead = dead | v; v = 0; p = 0; w = 0
            fi
        };
        count_what_has_ended();
        goto pop;
#endif
        atomic {
            assert(word[p] == w);
            assert(value[p] == v);
            leased = leased & ~v;
            if
            :: done = done | v; word[p] = word_of(lap(w) + 1, 0, FREE); value[p] = 0; news = news | SENDING;
                v = 0; p = 0; w = 0; goto pop
            :: requeues < REQUEUES -> requeues++;
                word[p] = word_of(lap(w), 0, READY); owed[me] = v; v = 0; p = 0; w = 0
            fi
        };
#ifdef NO_LATE_REQUEUE
        atomic { owed[me] = 0; news = news | TAKING; goto pop };
#else
        atomic { count_late(me); goto pop };
#endif
nothing:
        atomic { p = 0; w = 0; seen = 0; apart = false; head = max(head, h) };
        if
        :: atomic { news & bit_of(me) -> goto pop }
        :: atomic { timeout -> stranded = (sent & ~done & ~leased & ~all_owed & ~dead) != 0; assert(!stranded) }
        fi;
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); lives--;
        h = 0; p = 0; v = 0; w = 0; seen = 0; apart = false; among_all = false } };
end_dead:
    atomic { lives > 0 && !(unreaped & bit_of(me)) -> running = running | bit_of(me); late = late | bit_of(me) };
    goto pop
}

#if DEAD_CONSUMERS
/* ---- dead_consumer ----------------------------------------------------------------------------- */

proctype dead_consumer(byte me) {
    byte p, v;
    short w;
again:
    {
        news = news & ~bit_of(me);
        if
        :: atomic { died & bit_of(me) -> died = died & ~bit_of(me) }
        :: atomic { !(died & bit_of(me)) -> goto nothing }
        fi;
each:
        atomic {
            if
            :: p == CAPACITY -> goto nothing
            :: else -> w = word[p];
                if
                :: state(w) == DEAD
                :: else -> w = 0; p++; goto each
                fi
            fi
        };
        if
        :: atomic { word[p] == w ->
            word[p] = word_of(lap(w), me, DEAD_LEASED); w = word[p]; v = value[p]; died = died | bit_of(me) }
        :: atomic { word[p] != w -> w = 0; p++; goto each }
        fi;
        atomic {
            assert(word[p] == w);
            twice = (done & v) != 0; assert(!twice);
            done = done | v; word[p] = word_of(lap(w) + 1, 0, FREE); value[p] = 0; count[p] = 0; news = news | SENDING;
            v = 0; p = 0; w = 0; goto again
        };
nothing:
        atomic { p = 0; w = 0 };
        if
        :: atomic { news & bit_of(me) -> goto again }
        :: atomic { timeout -> left_dead = any(is_dead) && !all_unsaid; assert(!left_dead) }
        fi;
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); p = 0; v = 0; w = 0 } }
}
#endif

/* ---- deaths --------------------------------------------------------------------------------- */

/* Kills any participant at any time, and stops at any time. */
proctype kernel() {
    byte kills, victim;
    do
    :: atomic {
        kills < KILLS && (running & KILLABLE) ->
        do
        :: victim < ALL - 1 -> victim++
        :: running & KILLABLE & bit_of(victim) -> kill[victim]!true; kills++; break
        :: victim == ALL - 1 && !(running & KILLABLE & bit_of(victim)) -> break
        od;
        victim = 0
        }
    :: break
    od
}

/* Recovers any dead participant, under the roster's lock. If a reaper is killed half-way, the next one continues. */
proctype reaper() {
    byte gone, s, deaths;
    short w;
    do
    :: !(deaths && unreaped) -> break
    :: atomic { unreaped -> gone = 0; do :: unreaped & bit_of(gone) -> break :: else -> gone++ od };
slots:
        if
        :: atomic { deaths < REAPER_KILLS -> deaths++; gone = 0; s = 0 }
        :: atomic { s < CAPACITY -> w = word[s];
            if
            :: owner(w) == gone && (state(w) == WRITING || state(w) == PASSED || state(w) == LEASED || state(w) == DEAD_LEASED)
            :: else -> w = 0; s++; goto slots
            fi };
            if
            :: atomic { word[s] == w ->
                if
                :: state(w) == LEASED -> leased = leased & ~value[s];
#ifdef RECOVER_FREES
                    word[s] = word_of(lap(w) + 1, 0, FREE); value[s] = 0
#elif DELIVERIES
                    end_lease(s, gone)
#else
                    word[s] = word_of(lap(w), 0, READY); owed[gone] = owed[gone] | value[s]
#endif
#if DELIVERIES
                :: state(w) == DEAD_LEASED ->
#ifdef REVIVE
                    word[s] = word_of(lap(w), 0, READY); owed[gone] = owed[gone] | value[s]
#else
                    word[s] = word_of(lap(w), 0, DEAD); unsaid[gone] = unsaid[gone] | value[s]
#endif
#endif
                :: else -> word[s] = word_of(lap(w) + 1, 0, FREE); value[s] = 0
                fi;
                w = 0; s++; goto slots }
            :: atomic { word[s] != w -> w = 0; goto slots }                        /* marked as passed meanwhile */
            fi
        :: atomic { s == CAPACITY ->
#ifdef NO_LATE_RECOVER
            owed[gone] = 0;
#else
            count_late(gone);
#endif
#if DELIVERIES
#ifdef NO_DIED_RECOVER
            unsaid[gone] = 0;
#else
            count_died(gone);
#endif
#endif
            news = EVERYONE; unreaped = unreaped & ~bit_of(gone); gone = 0; s = 0 }
        fi
    od
}

init {
    atomic {
        byte i;
#ifdef OLD_ITEM
        do
        :: i < CAPACITY -> word[i] = (i -> word_of(1, 0, FREE) : word_of(0, 0, READY)); i++
        :: else -> i = 0; break
        od;
        value[0] = 128; sent = 128; tail = CAPACITY; head = CAPACITY;
#endif
        if
        :: KILLS > 0 -> run kernel(); run reaper()
        :: else
        fi;
        do
        :: i < CONSUMERS -> run consumer(i); i++
        :: i >= CONSUMERS && i < CONSUMERS + PRODUCERS -> run producer(i); i++
#if DEAD_CONSUMERS
        :: i == DEAD_CONSUMER -> run dead_consumer(i); i++
#endif
        :: i == ALL -> break
        od;
        i = 0
    }
}
