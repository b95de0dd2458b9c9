/*
 * What consumers hold in a `byte_broadcast_ring` that overwrites: one producer, several consumers, any of which may be
 * killed between two steps. The steps are those of held_broadcast_control in layout.hpp.
 *
 *   producer  (P1) reads the bits of one place after the other, until one has none; if all have bits, it sleeps
 *             (P2) passes the places before it: stamp = writing, the number, stamp = passed, tail
 *             (P3) stamp = writing   (P4) reads the bits again: if there is one, passes this place, and starts again
 *             (P5) writes the message and its number   (P6) stamp = whole, sent, tail
 *   successor reads tail, the number of the position before it, and whether the position at it is finished
 *   consumer  (C1) reads the stamp: passed, next position; older, it sleeps; newer, it was lapped: it looks where the
 *             producer is, and continues at the first message that is left, whose number tells how many it has lost
 *             (C2) sets its bit, reads the number   (C3) reads the stamp again: changed, clears the bit
 *             (C4) reads the message, now and when it releases it   (C5) clears the bit
 *   newest    with NEWEST, the first consumer only wants the newest message, and skips the others
 *   recover   clears the bits of a dead consumer, one place after the other
 *
 * What is checked
 *   changed      the producer begins to write a message into a place that a living consumer holds; or a consumer finds
 *                another message than it has received
 *   miscounted   a message has another number than the consumer has counted: it would report a wrong loss
 *   missed       nothing can move any more, and a consumer sleeps that has neither received nor counted all messages
 *   refused      nothing can move any more, and the producer sleeps for lack of room, though no living consumer holds
 *                some place, and every dead one is recovered
 *
 * What is abstracted
 *   Bells: a participant that finds nothing sleeps until something is published after its look began: for a consumer a
 *   message, for the producer a bit that was cleared, for both a recovery. A message is its number. A consumer holds as
 *   many messages as it likes, and may stop for ever while it does. A reaper may be killed, too. Memory is sequentially
 *   consistent; STAMP_LATE and BIT_LATE are what the weaker orders would allow. `received`, sizes, and the bits in several
 *   words are left out; so is the margin of an eighth, which is 0 for so few places. No process is hostile.
 *
 * Variants that must fail
 *   LOOK_ONCE        P4 is left out
 *   HOLD_BLINDLY     C3 is left out
 *   STAMP_LATE       P4 comes before P3 has taken effect, as it may if they are not sequentially consistent
 *   BIT_LATE         C3 comes before C2 has taken effect, likewise
 *   NUMBER_LATE      the number is read after C3: the producer may have passed the place, and changed it
 *   OLD_NUMBER       passing does not store the number
 *   NUMBER_FIRST     passing stores the number before stamp = writing
 *   NO_SUCCESSION    a successor does not look whether the position at tail is finished
 *   SILENT           a consumer that has set its bit in vain notifies nobody when it clears it
 *   NO_RECOVER       the bits of a dead consumer stay
 */

#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PLACES
#define PLACES 2
#endif
#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef KILLABLE
#define KILLABLE (1 | 1 << CONSUMERS) /* a consumer, the producer: the other consumers behave alike */
#endif
#ifndef LIVES
#define LIVES 1 /* of each */
#endif
#ifndef REAPER_KILLS
#define REAPER_KILLS 0
#endif
#ifndef MOST_HELD
#define MOST_HELD PLACES
#endif

#define PRODUCER CONSUMERS
#define ALL (CONSUMERS + 1)
#define bit_of(participant) (1 << (participant))
#define EVERYONE ((1 << ALL) - 1)
#define TAKING ((1 << CONSUMERS) - 1)

#define slot(position) ((position) % PLACES)
#define writing(position) (4 * (position) + 1)
#define passed(position) (4 * (position) + 2)
#define whole(position) (4 * (position) + 3)
#define is_finished(stamp) ((stamp) % 4 >= 2)
#define position_of(stamp) ((stamp) / 4)
#define is_whole(stamp) ((stamp) % 4 == 3)
#define max(a, b) ((a) > (b) -> (a) : (b))

/* Shared memory. */
byte stamp[PLACES];
byte number[PLACES];
byte message[PLACES];       /* number + 1; 0: half-written, or nothing */
byte holders[PLACES];
byte tail;

/* The world around the ring. */
byte running = EVERYONE;
byte unreaped;              /* killed, not recovered */
byte news = EVERYONE;       /* participants for which something was published since their look began */
chan kill[ALL] = [0] of { bool };

/* For the assertions only. */
byte sent;                  /* messages that are whole */
byte truly[PLACES];         /* living consumers that hold this place: sets of bits */
byte count[CONSUMERS];      /* how many messages each holds */
bool changed, miscounted, missed, refused;

#define truly_free(s) (!truly[s])
#if PLACES == 2
#define any_truly_free (truly_free(0) || truly_free(1))
#else
#define any_truly_free (truly_free(0) || truly_free(1) || truly_free(2))
#endif

inline die() { running = running & ~bit_of(me); unreaped = unreaped | bit_of(me) }

/* ---- producer ------------------------------------------------------------------------------- */

/* Four steps. */
inline pass() {
#ifdef NUMBER_FIRST
    number[slot(p)] = n;
    stamp[slot(p)] = writing(p);
#else
    stamp[slot(p)] = writing(p);
#ifndef OLD_NUMBER
    number[slot(p)] = n;
#endif
#endif
    stamp[slot(p)] = passed(p);
    atomic { p++; tail = p }
}

proctype producer(byte me) {
    byte p, n, k, lives = LIVES;
push:
    {
        if
        :: n >= MESSAGES -> goto idle
        :: atomic { n < MESSAGES -> news = news & ~bit_of(me); k = 0 }
        fi;
look:
        if                                                                         /* P1 */
        :: atomic { k == PLACES -> k = 0; goto no_room }
        :: atomic { k < PLACES && holders[slot(p + k)] -> k++; goto look }
        :: k < PLACES && !holders[slot(p + k)]
        fi;
        do                                                                         /* P2 */
        :: k == 0 -> break
        :: k > 0 -> pass(); k--
        od;
#ifdef STAMP_LATE
        k = holders[slot(p)];                                                      /* P4 */
        stamp[slot(p)] = writing(p);                                               /* P3 */
#else
        stamp[slot(p)] = writing(p);                                               /* P3 */
#ifndef LOOK_ONCE
        k = holders[slot(p)];                                                      /* P4 */
#endif
#endif
        if
        :: k -> k = 0; pass(); goto push
        :: else
        fi;
        atomic {                                                                   /* P5 */
            changed = truly[slot(p)] != 0; assert(!changed);
            message[slot(p)] = 0
        };
        atomic {
            changed = truly[slot(p)] != 0; assert(!changed);
            message[slot(p)] = n + 1
        };
        number[slot(p)] = n;
        atomic { stamp[slot(p)] = whole(p); sent++; news = news | TAKING };        /* P6 */
        n++;
        atomic { p++; tail = p };
        goto push;
no_room:
        if
        :: atomic { news & bit_of(me) -> goto push }
        :: atomic { timeout -> refused = any_truly_free && !unreaped; assert(!refused) }
        fi;
idle:
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); lives--; p = 0; n = 0; k = 0 } };
end_dead:
    atomic { lives > 0 && !(unreaped & bit_of(me)) -> running = running | bit_of(me) };
    {
        /* Nothing else writes meanwhile: one step is as good as several. */
        atomic {
            p = tail;
            if
            :: p > 0 ->
                assert(is_finished(stamp[slot(p - 1)]) && position_of(stamp[slot(p - 1)]) == p - 1);
                n = number[slot(p - 1)] + is_whole(stamp[slot(p - 1)])
            :: else
            fi
        };
#ifndef NO_SUCCESSION
        atomic {
            if
            :: stamp[slot(p)] == passed(p) || stamp[slot(p)] == whole(p) ->
                assert(number[slot(p)] == n);
                n = n + is_whole(stamp[slot(p)]); p++; tail = p
            :: else
            fi
        };
#endif
        goto push
    } unless { atomic { kill[me]?_ -> die(); lives--; p = 0; n = 0; k = 0; goto end_dead } }
}

/* ---- consumer ------------------------------------------------------------------------------- */

/* What is finished in the place of this position: w and m; w = 0: nothing. Three steps. */
inline look_at(position) {
    w = stamp[slot(position)];
    m = number[slot(position)];
    atomic { if :: stamp[slot(position)] != w || !is_finished(w) -> w = 0; m = 0 :: else fi }
}

proctype consumer(byte me) {
    byte nx, num;            /* the next position, and its number */
    byte w, m, e, en, q, lives = LIVES;
    bool joining = true;
    goto find_end;
pop:
    {
        atomic { news = news & ~bit_of(me);
#ifdef NEWEST
            if :: me == 0 -> goto find_end :: else fi;
#endif
        };
one:
        atomic {                                                                   /* C1 */
            w = stamp[slot(nx)];
            if
            :: w < passed(nx) -> w = 0; goto nothing
            :: w == passed(nx) -> w = 0; nx++; goto one
            :: w == whole(nx)
            :: w > whole(nx) -> w = 0; goto find_end
            fi
        };
hold:
#ifdef BIT_LATE
        m = number[slot(nx)];
        q = stamp[slot(nx)] == w;                                                  /* C3 */
        atomic { holders[slot(nx)] = holders[slot(nx)] | bit_of(me);               /* C2 */
            if :: q :: else -> goto in_vain fi;
#else
        holders[slot(nx)] = holders[slot(nx)] | bit_of(me);                        /* C2 */
#ifndef NUMBER_LATE
        m = number[slot(nx)];
#endif
        atomic {                                                                   /* C3 */
#ifndef HOLD_BLINDLY
            if :: stamp[slot(nx)] == w :: else -> goto in_vain fi;
#endif
#endif
            w = 0; q = 0;
            truly[slot(nx)] = truly[slot(nx)] | bit_of(me); count[me]++
        };
#ifdef NUMBER_LATE
        m = number[slot(nx)];
#endif
        atomic {                                                                   /* C4 */
            miscounted = m != num; assert(!miscounted);
            changed = message[slot(nx)] != num + 1; assert(!changed);
            m = 0; nx++; num++
        };
let_go:
        if
        :: count[me] < MOST_HELD -> goto pop
        :: count[me] -> goto stopped                                               /* it holds them for ever */
        :: count[me] ->
            do                                                                     /* C5: any of them */
            :: atomic { truly[q] & bit_of(me) ->
                truly[q] = truly[q] & ~bit_of(me); count[me]--; holders[q] = holders[q] & ~bit_of(me);
                news = news | bit_of(PRODUCER); q = 0; break }
            :: q < PLACES - 1 -> q++
            :: q == PLACES - 1 -> q = 0
            od;
            goto let_go
        fi;
in_vain:
        atomic {
            holders[slot(nx)] = holders[slot(nx)] & ~bit_of(me); w = 0; m = 0; q = 0;
#ifndef SILENT
            news = news | bit_of(PRODUCER);
#endif
            goto pop
        };
find_end:
        e = tail;
        look_at(e);
        if
        :: atomic { w && position_of(w) >= e }
        :: atomic { !(w && position_of(w) >= e) && e == 0 -> w = 0; m = 0; en = 0; goto found }
        :: atomic { !(w && position_of(w) >= e) && e > 0 -> w = 0; m = 0 };
            look_at(e - 1);
            if
            :: atomic { w && position_of(w) >= e - 1 }
            :: atomic { !(w && position_of(w) >= e - 1) -> w = 0; m = 0; e = 0; goto find_end }
            fi
        fi;
        atomic { e = position_of(w) + 1; en = m + is_whole(w); w = 0; m = 0 };
found:
#ifdef NEWEST
        if
        :: atomic { me == 0 && !joining && e <= nx -> e = 0; en = 0; goto nothing }
        :: atomic { me == 0 && !joining && e > nx -> q = e };
            do
            :: atomic { q == nx || q + PLACES == e -> nx = e; num = en; q = 0; break }
            :: atomic { q > nx && q + PLACES > e -> q-- };
                look_at(q);
                if
                :: atomic { w == whole(q) -> nx = q; num = m; m = 0; e = 0; en = 0; q = 0; goto hold }
                :: atomic { w != whole(q) -> w = 0; m = 0 }
                fi
            od;
            atomic { e = 0; en = 0; goto one }
        :: else
        fi;
#endif
        atomic {
            if
            :: joining && e > PLACES -> q = e - PLACES
            :: joining && e <= PLACES -> q = 0
            :: else -> q = max(e - PLACES, nx + 1)
            fi
        };
        do
        :: atomic { q == e -> nx = e; num = en; break }
        :: q != e -> look_at(q);
            if
            :: atomic { w == whole(q) && m < en -> nx = q; num = m; break }
            :: atomic { !(w == whole(q) && m < en) -> w = 0; m = 0; q++ }
            fi
        od;
        atomic { joining = false; w = 0; m = 0; e = 0; en = 0; q = 0; goto pop };
nothing:
        if
        :: atomic { news & bit_of(me) -> goto pop }
        :: count[me] -> goto let_go
        :: atomic { timeout -> missed = num != sent; assert(!missed) }
        fi;
stopped:
end_stopped: false
    } unless { atomic { kill[me]?_ -> die(); lives--;
        for (q : 0 .. PLACES - 1) { truly[q] = truly[q] & ~bit_of(me) }
        count[me] = 0; nx = 0; num = 0; w = 0; m = 0; e = 0; en = 0; q = 0; joining = true } };
end_dead:
    atomic { lives > 0 && !(unreaped & bit_of(me)) -> running = running | bit_of(me); news = news | bit_of(me) };
    goto find_end
}

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

/* Recovers any dead participant. If a reaper is killed half-way, the next one continues. */
proctype reaper() {
    byte dead, s, deaths;
    do
    :: !(deaths && unreaped) -> break
    :: atomic { unreaped -> dead = 0; do :: unreaped & bit_of(dead) -> break :: else -> dead++ od };
places:
        if
        :: atomic { deaths < REAPER_KILLS -> deaths++; dead = 0; s = 0 }
#ifndef NO_RECOVER
        :: atomic { s < PLACES -> holders[s] = holders[s] & ~bit_of(dead); s++; goto places }
        :: atomic { s == PLACES ->
#else
        :: atomic {
#endif
            news = EVERYONE; unreaped = unreaped & ~bit_of(dead); dead = 0; s = 0 }
        fi
    od
}

init {
    atomic {
        byte i;
        if
        :: KILLS > 0 -> run kernel(); run reaper()
        :: else
        fi;
        do
        :: i < CONSUMERS -> run consumer(i); i++
        :: i == CONSUMERS -> run producer(i); break
        od;
        i = 0
    }
}
