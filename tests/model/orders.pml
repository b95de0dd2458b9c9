/*
 * The orders of loads and stores on a processor that exchanges them, like ARM64: the places where x86 gives an order for free.
 * The same as the litmus tests in litmus/, for machines without herd7.
 *
 * The machine
 *   A process is a list of steps, each a load, a store or a fence. It may do any step that it has not done yet, if those are
 *   done that the step is ordered behind: `step(n, after)`. So a store that is only ordered behind what a release orders may
 *   become visible before earlier loads and stores, and a load may be executed before them. A store is visible to all other
 *   processes at once, as on ARM64.
 *     A read-modify-write is three steps: load; win, after which no other one changes the location; store. Later stores
 *   may come between the last two.
 *
 * What is checked
 *   PUBLISH    a ring's index hands over the data, and hands the place back: `stale`
 *   PARKING    a notifier publishes, and looks for the mark; a waiter sets its mark, and looks at the ring: `lost_wake_up`
 *   RIVAL      the same where the notifier publishes by a read-modify-write, and has no fence
 *   BARRIER    the same where the notifier has no fence, and the waiter runs a barrier: the notifier's processor is interrupted
 *              between two instructions, and forgets what it has executed too early
 *   HANDOVER   the word of a place of a work_ring: the producer makes it ready (1), a consumer takes it (2) and is killed, the
 *              reaper makes it ready again (3), the next consumer copies the value and takes it (4), the next producer
 *              claims the place (5) and writes the next value: `stale`
 *   EXPIRED    a consumer reads a value, and then looks whether its lease has ended by itself (1 to 2), and the next producer
 *              has claimed the place (3) and written the next value: `stale`
 *
 * What is abstracted
 *   Values are constants. A step that depends on what was loaded is always taken, and has an effect only if the value was
 *   the right one. A compare-and-swap that has lost is not repeated.
 *
 * Variants that must fail, each without an order
 *   PUBLISH    NO_RELEASE, NO_ACQUIRE, NO_RELEASE_BACK   the producer's store, the consumer's load, the consumer's store
 *   PARKING    NO_N2, NO_W2        a fence is left out
 *   RIVAL      RELAXED_MARK        the mark is loaded in no order
 *   BARRIER    NO_BARRIER          no processor is interrupted
 *   HANDOVER   NO_RELEASE, NO_ACQUIRE, TAKE_RELAXED   the producer's change, the consumer's look, its change
 *   EXPIRED    NO_ACQUIRE_FENCE    the consumer's fence. (The producer's is not needed on such a machine, where the end of the
 *              lease is visible to all before the claim. C++ wants it: see litmus/expired.litmus.)
 */

#define bit(n) (1 << (n))
#define done done_by[me]
#define to_do(n, after) !(done & bit(n)) && (done & (after)) == (after)
#define over(steps) done == bit(steps) - 1
#define step(n, after, effect) :: atomic { to_do(n, after) -> done = done | bit(n); effect }

/* A read-modify-write of `word`, in the steps n, n + 1 and n + 2. Its load is behind `before`, its store behind `earlier`. */
#define change(n, before, from, to, earlier)                                                                  \
    step(n, before, found = word; at = changes)                                                               \
    :: atomic { to_do(n + 1, bit(n)) && !winning ->                                                           \
                done = done | bit(n + 1); won = found == from && at == changes; winning = won }               \
    step(n + 2, bit(n + 1) | (earlier), if :: won -> word = to; changes++; winning = false :: else fi)

byte done_by[3];            /* the steps that each process has done */
byte word;
byte changes;               /* how often it was changed */
bool winning;               /* a read-modify-write is about to store */
byte value;
byte ended;
bool stale;                 /* these two for the assertions only */
bool lost_wake_up;

#ifdef PUBLISH
bool written, read;

proctype producer(byte me) {
    bool room;
    do
    step(0, 0, value = 1)
#ifdef NO_RELEASE
    step(1, 0, written = true)
#else
    step(1, bit(0), written = true)
#endif
    step(2, 0, room = read)
    step(3, bit(0) | bit(2), if :: room -> value = 2 :: else fi)
    :: over(4) -> break
    od
}
proctype consumer(byte me) {
    bool there;
    byte copy;
    do
    step(0, 0, there = written)
#ifdef NO_ACQUIRE
    step(1, 0, copy = value)
#else
    step(1, bit(0), copy = value)
#endif
#ifdef NO_RELEASE_BACK
    step(2, bit(0), read = there)
#else
    step(2, bit(0) | bit(1), read = there)
#endif
    :: over(3) -> break
    od;
    stale = there && copy != 1;
    assert(!stale)
}
init { atomic { run producer(0); run consumer(1) } }
#endif

#if defined PARKING || defined RIVAL || defined BARRIER
bool item, mark;
bool seen, woken;           /* the notifier has seen the mark, the waiter the item */

proctype notifier(byte me) {
    byte found, at;
    bool won;
    do
#if defined PARKING
    step(0, 0, item = true)                                 /* N1 */
#ifdef NO_N2
    step(1, 0, seen = mark)                                 /* N3 */
#else
    step(1, bit(0) | bit(2), seen = mark)
#endif
    step(2, bit(0), skip)                                   /* N2 */
    :: over(3) -> break
#elif defined RIVAL
    change(0, 0, 0, 1, 0)                                   /* N1 */
#ifdef RELAXED_MARK
    step(3, bit(0), seen = mark)                            /* N3 */
#else
    step(3, bit(0) | bit(2), seen = mark)
#endif
    :: over(4) -> break
#else
    step(0, 0, item = true)                                 /* N1 */
    step(1, 0, seen = mark)                                 /* N3 */
    :: over(2) -> break
#endif
    od;
    ended++
}
proctype waiter(byte me) {
    do
    step(0, 0, mark = true)                                 /* W2 */
#if defined BARRIER && !defined NO_BARRIER
    step(1, bit(0), if :: done_by[0] == bit(1) -> done_by[0] = 0 :: else fi)
#else
    step(1, bit(0), skip)
#endif
#ifdef NO_W2
    step(2, 0, woken = item || word == 1)                   /* W3 */
#else
    step(2, bit(1), woken = item || word == 1)
#endif
    :: over(3) -> break
    od;
    ended++
}
init {
    atomic { run notifier(0); run waiter(1) };
    ended == 2;
    lost_wake_up = !seen && !woken;
    assert(!lost_wake_up)
}
#endif

#if defined HANDOVER || defined EXPIRED
#ifdef HANDOVER
#define CLAIMED 4
#else
#define CLAIMED 2
#endif

proctype producer(byte me) {
    byte found, at;
    bool won;
    do
    step(0, 0, value = 1)
#ifdef NO_RELEASE
    change(1, 0, 0, 1, 0)
#else
    change(1, 0, 0, 1, bit(0))
#endif
    :: over(4) -> break
    od
}
/* The consumer that is killed, the reaper, and the consumer that ends a lease: they do nothing else. */
proctype changer(byte from) {
    if
    :: atomic { word == from && !winning -> word = from + 1; changes++ }
    :: skip
    fi
}
proctype consumer(byte me) {
    byte found, at, copy, saw;
    bool won;
    do
#ifdef HANDOVER
    step(0, 0, saw = word)
#ifdef NO_ACQUIRE
    step(1, 0, copy = value)
#else
    step(1, bit(0), copy = value)
#endif
#ifdef TAKE_RELAXED
    change(2, bit(0), 3, 4, 0)
#else
    change(2, bit(0), 3, 4, bit(0) | bit(1))
#endif
    :: over(5) -> stale = saw == 3 && won && copy != 1; break
#else
    step(0, 0, copy = value)
#ifdef NO_ACQUIRE_FENCE
    step(1, 0, saw = word)
#else
    step(1, bit(0), saw = word)
#endif
    :: over(2) -> stale = saw == 1 && copy == 2; break
#endif
    od;
    assert(!stale)
}
proctype next_producer(byte me) {
    byte found, at;
    bool won;
    do
    change(0, 0, CLAIMED, CLAIMED + 1, 0)
    step(3, bit(0) | bit(1), if :: won -> value = 2 :: else fi)
    :: over(4) -> break
    od
}
init {
    atomic {
#ifdef HANDOVER
        run producer(0);
        run changer(1);
        run changer(2);
#else
        word = 1;
        value = 1;
        run changer(1);
#endif
        run consumer(1);
        run next_producer(2)
    }
}
#endif
