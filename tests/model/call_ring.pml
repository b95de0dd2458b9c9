/*
 * The places of `call_ring`: clients and servers, any of which may be killed between two steps.
 *
 *   client    (1) looks for a free place: claims it by compare-and-swap, or sleeps until one is free
 *             (2) writes the request, ready by compare-and-swap   (3) counts `news`, notifies the servers
 *             (4) looks at the word: answered: reads the reply (5) and frees the place (6), notifies clients;
 *             lost: frees it; otherwise it sleeps until it is notified, or gives up (cancelled, or the deadline has passed):
 *             (7) ready: frees the place; taken: abandoned, and notifies the server
 *   server    (1) if `news` has not changed since a look in vain: sleeps until it is notified
 *             (2) looks at the places, one after the other: takes a ready call by compare-and-swap
 *             (3) reads the request   (4) writes the reply   (5) answered by compare-and-swap, notifies the client;
 *             if that fails, the call was abandoned: (6) frees the place, notifies clients
 *             or drops the call: (5) lost, and notifies the client; or ready again and (7) counts `news`, notifies the servers
 *             or has done nothing of it, and gives it back: ready as before the delivery, and (7)
 *   A call with `again` goes on after its server, unless it was delivered DELIVERIES times: then it is lost.
 *   recover   of a dead client: frees what it had, but what a server has it abandons; of a dead server: what it had is lost,
 *             or ready again; what was abandoned is free. Each place by one compare-and-swap, repeated if it fails.
 *             Counts `news` at the end, then wakes all. The reaper may be killed; then the next one begins again.
 *
 * What is checked
 *   A client that reads a reply reads that of its own call, whole (`wrong_reply`). A server reads a whole request, and of a
 *   client that waits, or waited, for it (`wrong_request`). No two participants use a place at a time, except that an
 *   abandoned call is still used by its server (`shared_place`).
 *   A call that its client withdraws as never started was never executed (`started`). A call without `again` is executed at
 *   most once (`twice`), one with `again` at most DELIVERIES times (`too_often`).
 *   When nothing can move any more (`timeout`), no call is ready while a server sleeps (`stranded`), no client waits for a
 *   call that has ended (`unheard`), or for a place while one is free (`refused`), no server waits for the end of a call
 *   that was abandoned (`untold`), and no place is left to a dead participant (`leaked`).
 *
 * What is abstracted
 *   Bells: a participant that sleeps is woken by a notification that comes after its look began (parking.pml shows that).
 *   A notification of `one` wakes one that sleeps; here every one of them, any of which may be first: a server, or a client
 *   that waits for a place. Hints are left out: any place may be looked at first. Generations are counted per place,
 *   without an end. A value is the number of the call; half-written, it is 0. Memory is sequentially consistent.
 *
 * Variants that must fail
 *   FREE_TAKEN        (7): a client that gives up frees a call that a server has
 *   RECOVER_FREES     recover of a client frees what a server has
 *   KEEP_ABANDONED    recover of a server leaves what was abandoned
 *   LOSE_AGAIN        recover of a server does not make ready again what may be executed twice, and counts it as such
 *   NO_NEWS_DROP      a server that makes a call ready again does not count `news`
 *   NO_NEWS_RECOVER   recover does not count `news`
 *   NEWS_FIRST        (3) comes before (2)
 *   NEWS_LAST         a server reads `news` after it has looked
 *   SILENT_FREE       (6) of a client does not notify the clients that wait for a place
 *   SILENT_ABANDON    (7) does not notify the server
 *   RECOVER_ONCE      recover does not try again when a compare-and-swap has failed
 *   AGAIN_AND_AGAIN   recover makes a call ready again without a look at its deliveries
 *   COUNT_LATER       deliveries are not counted by the compare-and-swap that takes the call, but when it is dropped
 *   NO_NEWS_GIVE_BACK a server that gives a call back does not count `news`
 *   GIVE_BACK_LATER   a server gives a call back that it has executed
 *   SILENT_LOSS       a server that drops a call for the last time does not notify the client
 */

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef SERVERS
#define SERVERS 1
#endif
#ifndef PLACES
#define PLACES 1
#endif
#ifndef CALLS
#define CALLS 1 /* of each client */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef REAPER_KILLS
#define REAPER_KILLS 0
#endif
#ifndef GIVE_UPS
#define GIVE_UPS 0 /* in all */
#endif
#ifndef DROPS
#define DROPS 0 /* in all */
#endif
#ifndef RETURNS
#define RETURNS 0 /* calls that are given back, in all */
#endif
#ifndef AGAIN
#define AGAIN 0 /* 1: calls may be executed twice */
#endif
#ifndef DELIVERIES
#define DELIVERIES 0 /* of a call; 0: without end */
#endif

#define ALL (CLIENTS + SERVERS)
#define bit_of(participant) (1 << (participant))
#define CALLING ((1 << CLIENTS) - 1)
#define EVERYONE ((1 << ALL) - 1)
#define SERVING (EVERYONE - CALLING)

#define FREE 0
#define WRITING 1
#define READY 2
#define TAKEN 3
#define ABANDONED 4
#define ANSWERED 5
#define LOST 6

/* generation, client + 1, server + 1, deliveries, which stay at 3, state */
#define word_of(generation, c, s, deliveries, state) ((generation) << 11 | (c) << 8 | (s) << 5 | (deliveries) << 3 | (state))
#define state(w) ((w) & 7)
#define deliveries(w) ((w) >> 3 & 3)
#define server(w) ((w) >> 5 & 7)
#define client(w) ((w) >> 8 & 7)
#define generation(w) ((w) >> 11)
#define free_of(w) word_of(generation(w), 0, 0, 0, FREE)
#define abandoned_of(w) word_of(generation(w), 0, server(w), deliveries(w), ABANDONED)
#if DELIVERIES
#define goes_on(w) (AGAIN && deliveries(w) < DELIVERIES)
#else
#define goes_on(w) AGAIN
#endif
#define one_more(w) (deliveries(w) + (deliveries(w) < 3 -> 1 : 0))
#define given_back_of(w) \
    word_of(generation(w), client(w), 0, deliveries(w) - (deliveries(w) < 3 -> 1 : 0), READY)
#define without_server(w) word_of(generation(w), client(w), 0, deliveries(w), (goes_on(w) -> READY : LOST))
#ifdef COUNT_LATER
#define taken_of(w, who) word_of(generation(w), client(w), who, deliveries(w), TAKEN)
#define dropped_of(w) word_of(generation(w), client(w), 0, one_more(w), (one_more(w) < DELIVERIES -> READY : LOST))
#else
#define taken_of(w, who) word_of(generation(w), client(w), who, one_more(w), TAKEN)
#define dropped_of(w) without_server(w)
#endif

/* Shared memory. */
short word[PLACES];
byte request[PLACES], reply[PLACES]; /* 0: half-written, or nothing */
byte news_of = SERVING;              /* servers for which `news` has changed since their look in vain */

/* The world around the ring. */
byte running = EVERYONE;
byte unreaped;
byte news = EVERYONE;                /* participants that were notified since their look began */
chan kill[ALL] = [0] of { bool };

/* For the assertions only. */
byte give_ups, drops, returns;
byte executed[1 + CLIENTS * CALLS];  /* how often, by the number of the call */
bool wrong_reply, wrong_request, started, twice, too_often, stranded, unheard, refused, untold, leaked, shared_place;
byte writer[PLACES];                 /* the participant that writes to the place, + 1 */

inline die() {
    running = running & ~bit_of(me); unreaped = unreaped | bit_of(me)
}
inline use(place) { shared_place = writer[place] != 0; assert(!shared_place); writer[place] = me + 1 }
inline leave_place(place) { writer[place] = 0 }

/* ---- client ------------------------------------------------------------------------------------ */

proctype caller(byte me) {
    byte n, p;
    short w;
begin:
    {
        if
        :: n == CALLS -> goto idle
        :: atomic { n < CALLS -> news = news & ~bit_of(me); p = 0 }
        fi;
look_for_place:                                                                    /* 1 */
        atomic {
            w = word[p];
            if
            :: state(w) == FREE
            :: state(w) != FREE && p + 1 < PLACES -> w = 0; p++; goto look_for_place
            :: state(w) != FREE && p + 1 == PLACES -> w = 0; p = 0; goto no_place
            fi
        };
        if
        :: atomic { word[p] == w -> word[p] = word_of(generation(w) + 1, me + 1, 0, 0, WRITING); w = word[p]; use(p) }
        :: atomic { word[p] != w -> w = 0; goto look_for_place }
        fi;
#ifdef NEWS_FIRST
        atomic { news_of = news_of | SERVING };
#endif
        atomic {                                                                   /* 2 */
            request[p] = 1 + me * CALLS + n; reply[p] = 0; leave_place(p);
            assert(word[p] == w);
            w = word_of(generation(w), me + 1, 0, 0, READY);
            word[p] = w
        };
        atomic {                                                                   /* 3 */
#ifndef NEWS_FIRST
            news_of = news_of | SERVING;
#endif
            news = news | SERVING
        };
again:
        atomic { news = news & ~bit_of(me) };
        atomic {                                                                   /* 4 */
            w = word[p];
            assert(client(w) == me + 1);
            if
            :: state(w) == ANSWERED -> goto answered
            :: state(w) == LOST -> goto over
            :: state(w) == READY || state(w) == TAKEN
            fi
        };
        if
        :: atomic { news & bit_of(me) -> w = 0; goto again }
        :: atomic { give_ups < GIVE_UPS -> give_ups++; w = 0 }
        :: atomic { timeout ->
            unheard = state(word[p]) == ANSWERED || state(word[p]) == LOST; assert(!unheard); goto stuck }
        fi;
give_up:                                                                           /* 7 */
        atomic {
            w = word[p];
            if
            :: state(w) == READY || state(w) == TAKEN
            :: state(w) == ANSWERED -> goto over
            :: state(w) == LOST -> goto over
            fi
        };
        if
        :: atomic { word[p] == w && state(w) == READY ->
            started = !deliveries(w) && executed[1 + me * CALLS + n] != 0; assert(!started);
            word[p] = free_of(w); news = news | CALLING; w = 0; n++; goto begin }
        :: atomic { word[p] == w && state(w) == TAKEN ->
#ifdef FREE_TAKEN
            word[p] = free_of(w); news = news | CALLING;
#else
            word[p] = abandoned_of(w);
#endif
#ifndef SILENT_ABANDON
            news = news | bit_of(server(w) - 1);
#endif
            w = 0; n++; goto begin }
        :: atomic { word[p] != w -> w = 0; goto give_up }
        fi;
answered:                                                                          /* 5 */
        atomic { wrong_reply = reply[p] != 1 + me * CALLS + n; assert(!wrong_reply) };
over:                                                                              /* 6 */
        atomic {
            assert(word[p] == w);
            word[p] = free_of(w);
#ifndef SILENT_FREE
            news = news | CALLING;
#endif
            w = 0; p = 0; n++;
            goto begin
        };
no_place:
        if
        :: atomic { news & bit_of(me) -> goto begin }
        :: atomic { timeout ->
#if PLACES == 1
            refused = state(word[0]) == FREE;
#else
            refused = state(word[0]) == FREE || state(word[1]) == FREE;
#endif
            assert(!refused) }
        fi;
stuck:
idle:
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); n = 0; p = 0; w = 0 } }
}

/* ---- server ------------------------------------------------------------------------------------ */

proctype answerer(byte me) {
    byte p, n;
    short w;
begin:
    {
        atomic { news = news & ~bit_of(me) };
#ifndef NEWS_LAST
        atomic { if :: news_of & bit_of(me) :: else -> goto nothing fi };  /* 1 */
        news_of = news_of & ~bit_of(me);
#else
        atomic { if :: news_of & bit_of(me) :: else -> goto nothing fi };
#endif
look:
        atomic {                                                                   /* 2 */
            w = word[p];
            if
            :: state(w) == READY
            :: state(w) != READY && p + 1 < PLACES -> w = 0; p++; goto look
            :: state(w) != READY && p + 1 == PLACES -> w = 0; p = 0; goto in_vain
            fi
        };
        if
        :: atomic { word[p] == w ->
            w = taken_of(w, me + 1); word[p] = w;
            news_of = news_of | bit_of(me);  /* it looks again before it sleeps */
            n = request[p];
            wrong_request = n == 0; assert(!wrong_request);
            executed[n]++;
#if !AGAIN
            twice = executed[n] > 1; assert(!twice);
#endif
#if DELIVERIES
            too_often = executed[n] > DELIVERIES; assert(!too_often);
#endif
            use(p) }
        :: atomic { word[p] != w && p + 1 < PLACES -> w = 0; p++; goto look }
        :: atomic { word[p] != w && p + 1 == PLACES -> w = 0; p = 0; goto in_vain }
        fi;
        if                                                                         /* 3, 4 */
        :: goto work
        :: true                               /* meanwhile it waits for the cancellation of the call, and for nothing else */
        fi;
hold:
        atomic { news = news & ~bit_of(me); if :: state(word[p]) == ABANDONED -> goto work :: else fi };
        if
        :: atomic { news & bit_of(me) -> goto hold }
        :: atomic { timeout -> untold = state(word[p]) == ABANDONED; assert(!untold); goto stuck }
        fi;
work:
        atomic { wrong_request = request[p] != n; assert(!wrong_request) };
        if
        :: atomic { reply[p] = n; leave_place(p) }
        :: atomic { drops < DROPS -> drops++; leave_place(p); goto drop }
        :: atomic { returns < RETURNS ->
            returns++; leave_place(p);
#ifndef GIVE_BACK_LATER
            executed[n]--;
#endif
            goto give_back }
        fi;
        if                                                                         /* 5 */
        :: atomic { word[p] == w ->
            word[p] = word_of(generation(w), client(w), 0, deliveries(w), ANSWERED);
            news = news | bit_of(client(w) - 1); w = 0; p = 0; n = 0; goto begin }
        :: atomic { word[p] != w -> goto too_late }
        fi;
drop:
        if
        :: atomic { word[p] == w ->
            word[p] = dropped_of(w);
            if
            :: state(word[p]) == LOST ->
#ifndef SILENT_LOSS
                news = news | bit_of(client(w) - 1);
#endif
                w = 0; p = 0; n = 0; goto dropped
            :: state(word[p]) == READY -> w = 0; p = 0; n = 0
            fi }
        :: atomic { word[p] != w -> goto too_late }
        fi;
#ifndef NO_NEWS_DROP
        atomic { news_of = news_of | SERVING };                                    /* 7 */
#endif
        atomic { news = news | SERVING; goto dropped };
give_back:
        if
        :: atomic { word[p] == w -> word[p] = given_back_of(w); w = 0; p = 0; n = 0 }
        :: atomic { word[p] != w -> goto too_late }
        fi;
#ifndef NO_NEWS_GIVE_BACK
        atomic { news_of = news_of | SERVING };                                    /* 7 */
#endif
        atomic { news = news | SERVING };
dropped:
        if
        :: goto begin
        :: goto stuck                         /* it accepts no more */
        fi;
too_late:                                                                          /* 6 */
        if
        :: atomic { word[p] == abandoned_of(w) -> word[p] = free_of(w); news = news | CALLING }
        :: atomic { word[p] != abandoned_of(w) -> skip }
        fi;
        atomic { w = 0; p = 0; n = 0; goto begin };
in_vain:
#ifdef NEWS_LAST
        news_of = news_of & ~bit_of(me);
#endif
nothing:
        if
        :: atomic { news & bit_of(me) -> goto begin }
        :: atomic { timeout ->
#if PLACES == 1
            stranded = state(word[0]) == READY;
#else
            stranded = state(word[0]) == READY || state(word[1]) == READY;
#endif
            assert(!stranded) }
        fi;
stuck:
end_idle: false
    } unless { atomic { kill[me]?_ -> die(); n = 0; p = 0; w = 0 } }
}

/* ---- deaths ------------------------------------------------------------------------------------ */

#if KILLS
active proctype killer() {
    byte kills, victim;
kill_one:
    atomic {
        if
        :: kills < KILLS ->
            if
            :: running & 1 -> victim = 0
            :: running & bit_of(CLIENTS) -> victim = CLIENTS
#if SERVERS > 1
            :: running & bit_of(CLIENTS + 1) -> victim = CLIENTS + 1
#endif
            fi;
            kill[victim]!true; kills++; victim = 0
        :: kills == KILLS -> goto end
        fi
    };
    goto kill_one;
end:
end_killer: false
}

/* One reaper at a time has the roster's lock. If it is killed, the next one begins again. */
active proctype reaper() {
    byte dead, p, kills;
    short w;
reap:
end_reaper:
    atomic { unreaped -> p = 0; if :: unreaped & bit_of(0) -> dead = 0 :: else -> dead = CLIENTS fi;
#if SERVERS > 1
        if :: !(unreaped & bit_of(dead)) -> dead = CLIENTS + 1 :: else fi
#endif
    };
next_place:
    atomic { w = word[p] };
    if
    :: kills < REAPER_KILLS -> atomic { kills++; w = 0; goto reap }
    :: true
    fi;
    if
    :: atomic { word[p] != w -> w = 0;
#ifdef RECOVER_ONCE
        goto done_with_place
#else
        goto next_place
#endif
       }
    :: atomic { word[p] == w ->
        if
        :: client(w) == dead + 1 && state(w) == TAKEN ->
#ifdef RECOVER_FREES
            word[p] = free_of(w)
#else
            word[p] = abandoned_of(w)
#endif
        :: client(w) == dead + 1 && state(w) != TAKEN -> if :: writer[p] == dead + 1 -> writer[p] = 0 :: else fi; word[p] = free_of(w)
        :: client(w) != dead + 1 && server(w) == dead + 1 && state(w) == TAKEN ->
            if :: writer[p] == dead + 1 -> writer[p] = 0 :: else fi;
#if defined(LOSE_AGAIN) || defined(AGAIN_AND_AGAIN)
            word[p] = word_of(generation(w), client(w), 0, deliveries(w), READY)
#else
            word[p] = without_server(w)
#endif
        :: client(w) != dead + 1 && server(w) == dead + 1 && state(w) == ABANDONED ->
            if :: writer[p] == dead + 1 -> writer[p] = 0 :: else fi;
#ifndef KEEP_ABANDONED
            word[p] = free_of(w)
#else
            skip
#endif
        :: else
        fi;
        w = 0 }
    fi;
done_with_place:
    atomic { p++; if :: p < PLACES -> goto next_place :: else -> p = 0 fi };
#ifndef NO_NEWS_RECOVER
    atomic { news_of = news_of | SERVING };
#endif
    if
    :: kills < REAPER_KILLS -> atomic { kills++; dead = 0; goto reap }
    :: true
    fi;
    atomic { unreaped = unreaped & ~bit_of(dead); news = EVERYONE; dead = 0 };
    goto reap
}
#endif

active proctype everything_ends() {
    byte p;
    timeout;
    atomic {
        do
        :: p < PLACES ->
            leaked = state(word[p]) != FREE && !unreaped &&
                     ((client(word[p]) != 0 && !(running & bit_of(client(word[p]) - 1))) ||
                      (server(word[p]) != 0 && !(running & bit_of(server(word[p]) - 1))));
            assert(!leaked);
            p++
        :: else -> break
        od
    }
}

init {
    byte i;
    atomic {
        do
        :: i < CLIENTS -> run caller(i); i++
        :: i >= CLIENTS && i < ALL -> run answerer(i); i++
        :: i == ALL -> break
        od
    }
}
