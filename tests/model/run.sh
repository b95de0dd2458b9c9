#!/bin/sh
# Checks the Promela models in this directory with Spin, each configuration in all its states; and litmus tests with herd7.
#
# sh run.sh [MODEL…]      default: every model
# sh run.sh litmus        the litmus tests
#
# As the first argument:
#   --short   only what must hold, with fewer states
#   --long    also the configurations with millions of states
#
# One line per configuration; exit status 0, 1, or 77 if spin, herd7 or a C compiler is missing.

models='parking work_ring call_ring broadcast_holds watch leaving orders'

parking() {
    both='-DPRODUCERS=1 -DCAPACITY=1 -DMESSAGES=3'   # both sides park
    rivals='-DCAPACITY=1 -DOLD=1 -DMESSAGES=1 -DCOMPETING -DCANCELS=1'   # one of the producers gives up
    rejoin="$both -DKILLABLE=1"                      # the consumer is killed, and another one joins

    usual holds '2 producers'                                 -DMESSAGES=2
    holds '2 producers, one killed'                     -DMESSAGES=1 -DKILLS=1 -DKILLABLE=2
    thorough holds '2 producers'                                 -DMESSAGES=3
    thorough holds '2 producers, one killed'                     -DMESSAGES=3 -DKILLS=1 -DKILLABLE=2
    thorough holds '2 producers, both killed'                    -DKILLS=2
    thorough holds '2 producers parked, one killed'              -DMESSAGES=1 -DCAPACITY=1 -DKILLS=1
    usual holds '2 producers, one and the consumer killed'    -DMESSAGES=1 -DKILLS=2 -DKILLABLE=3
    thorough holds '2 producers, consumer killed, joins'         -DMESSAGES=1 -DKILLS=1 -DKILLABLE=1 -DLIVES=2
    holds '1:1, both park, capacity 1'                  $both
    holds '1:1, both park, capacity 2'                  -DPRODUCERS=1 -DCAPACITY=2 -DMESSAGES=4
    usual holds '1:1, capacity 1, consumer killed, joins'     $rejoin -DKILLS=1 -DLIVES=2
    usual holds '1:1, capacity 1, either killed, 2 kills'     -DPRODUCERS=1 -DCAPACITY=1 -DKILLABLE=3 -DKILLS=2 -DLIVES=3
    thorough holds '1:1, capacity 2, either killed, 2 kills'     -DPRODUCERS=1 -DCAPACITY=2 -DMESSAGES=3 -DKILLABLE=3 -DKILLS=2 -DLIVES=3
    holds '1:1, capacity 1, consumer goes elsewhere'    $both -DELSEWHERE
    holds 'the same, no fence for room'                 $both -DELSEWHERE -DNO_ROOM_FENCE
    holds '1:1, capacity 2, no fence for room'          -DPRODUCERS=1 -DCAPACITY=2 -DMESSAGES=4 -DELSEWHERE -DNO_ROOM_FENCE
    thorough holds '2 producers, no fence for room'     -DCAPACITY=1 -DMESSAGES=1 -DOLD=1 -DELSEWHERE -DNO_ROOM_FENCE
    thorough holds '2 producers, competing, one gives up'        $rivals
    thorough holds 'deaths unseen, survivors are heard'          -DKILLS=1 -DKILLABLE=2 -DNO_DEATH_EVENT -DSURVIVORS_ONLY
    thorough holds 'MARK_FIRST, deaths seen'                     -DKILLS=1 -DKILLABLE=2 -DMARK_FIRST

    fails 'NO_FENCE, for messages'       lost_wake_up   -DNO_FENCE
    fails 'NO_FENCE, for room'           lost_wake_up   $both -DNO_FENCE
    fails 'NO_WAITER_FENCE'              lost_wake_up   -DNO_WAITER_FENCE
    fails 'NO_SECOND_LOOK'               lost_wake_up   -DNO_SECOND_LOOK
    fails 'NO_BARRIER'                   lost_wake_up   $both -DNO_ROOM_FENCE -DELSEWHERE -DNO_BARRIER
    fails 'LATE_ROOM'                    lost_wake_up   $both -DELSEWHERE -DLATE_ROOM
    fails 'LATE_DRAIN'                   lost_wake_up   $rejoin -DKILLS=2 -DLIVES=3 -DLATE_DRAIN -DWAKE_UPS_ONLY
    fails 'NO_EPOCH, 2 producers'        lost_wake_up   -DNO_EPOCH
    fails 'NO_EPOCH, 1 producer'         lost_wake_up   -DPRODUCERS=1 -DNO_EPOCH
    fails 'EPOCH_RESTARTS'               lost_wake_up   $rejoin -DKILLS=1 -DLIVES=2 -DEPOCH_RESTARTS
    fails 'STALE_BELL'                   lost_wake_up   $rejoin -DKILLS=1 -DLIVES=2 -DSTALE_BELL -DWAKE_UPS_ONLY
    fails 'TORN_UNPARK'                  lost_wake_up   $rivals -DTORN_UNPARK
    fails 'NO_HAND_OFF'                  lost_wake_up   $rivals -DNO_HAND_OFF
    fails 'SILENT_JOIN'                  lost_wake_up   $rejoin -DKILLS=2 -DLIVES=3 -DSILENT_JOIN -DWAKE_UPS_ONLY
    fails 'SILENT_LEAVE'                 unseen_change  -DSILENT_LEAVE
    fails 'TORN_REAP'                    untold_death   $rejoin -DKILLS=2 -DLIVES=3 -DTORN_REAP
    fails 'WATCH_ONE'                    lost_wake_up   -DKILLS=1 -DWATCH_ONE -DWAKE_UPS_ONLY
    fails 'NO_DEATH_EVENT'               lost_wake_up   -DKILLS=1 -DNO_DEATH_EVENT -DWAKE_UPS_ONLY
    fails 'MARK_FIRST, deaths unseen'    lost_wake_up   -DKILLS=1 -DMARK_FIRST -DNO_DEATH_EVENT -DSURVIVORS_ONLY
}

work_ring() {
    pipe='-DPRODUCERS=1 -DCONSUMERS=1'
    fan_out='-DPRODUCERS=1'
    fan_in='-DCONSUMERS=1'
    dying='-DDELIVERIES=2 -DDEAD_CONSUMERS=1'           # a participant waits for dead items
    old="$fan_out -DOLD_ITEM"                        # an item that a consumer has put back is there already

    holds '1:1, capacity 1, 2 kills'                    $pipe -DCAPACITY=1 -DMESSAGES=2 -DKILLS=2 -DLIVES=2 -DREAPER_KILLS=1
    holds '2:1, capacity 1, a kill'                     $fan_in -DCAPACITY=1 -DKILLS=1 -DLIVES=2 -DREAPER_KILLS=1
    holds '1:2, capacity 1, a kill'                     $fan_out -DCAPACITY=1 -DKILLS=1
    holds '2:1, put back'                               $fan_in -DREQUEUES=1
    usual holds '2:2'                                         -DMESSAGES=1
    holds '1:1, capacity 2, a batch, 2 kills'           $pipe -DMESSAGES=3 -DBATCH -DKILLS=2 -DLIVES=2
    holds '1:2, capacity 2, a batch'                    $fan_out -DMESSAGES=2 -DBATCH
    thorough holds '2:1, batches'                       $fan_in -DMESSAGES=2 -DBATCH
    thorough holds '1:2, a batch, a kill'               $fan_out -DMESSAGES=2 -DBATCH -DKILLS=1 -DREAPER_KILLS=1
    thorough holds '1:2, capacity 3, a batch, a kill'   $fan_out -DMESSAGES=2 -DCAPACITY=3 -DBATCH -DKILLS=1
    holds '1:2, capacity 3, an old item'                $old -DCAPACITY=3
    thorough holds '1:2, 3 messages, put back'          $fan_out -DMESSAGES=3 -DREQUEUES=1
    thorough holds '1:2, 2 messages, a kill'            $fan_out -DMESSAGES=2 -DKILLS=1 -DREAPER_KILLS=1
    thorough holds '1:2, 2 kills, joins, put back'      $fan_out -DKILLS=2 -DLIVES=2 -DREAPER_KILLS=1 -DREQUEUES=1
    thorough holds '2:1, capacity 1, 2 kills'           $fan_in -DCAPACITY=1 -DKILLS=2 -DLIVES=2 -DREAPER_KILLS=1
    thorough holds '2:1, 2 messages each'               $fan_in -DMESSAGES=2
    thorough holds '2:2, 3 messages'                    -DMORE=1
    thorough holds '2:2, put back'                      -DREQUEUES=1
    thorough holds '2:2, a consumer killed'             -DKILLS=1 -DKILLABLE=1
    thorough holds '2:2, a producer killed'             -DKILLS=1 -DKILLABLE=4
    thorough holds '2:2, capacity 2, an old item'       -DOLD_ITEM
    thorough holds '2:2, capacity 3, an old item'       -DOLD_ITEM -DCAPACITY=3

    holds '1:1, 2 messages, items die'                  $dying -DPRODUCERS=1 -DCONSUMERS=1 -DMESSAGES=2
    holds '1:1, capacity 1, items die, a kill'          $dying -DPRODUCERS=1 -DCONSUMERS=1 -DCAPACITY=1 -DKILLS=1 -DKILLABLE=5 -DLIVES=2
    holds '1:2, items die, an expiry'                   $dying -DPRODUCERS=1 -DEXPIRE=1 -DMESSAGES=1
    holds '1:1, capacity 2, dead ones are dropped'      -DDELIVERIES=1 -DPRODUCERS=1 -DCONSUMERS=1 -DMESSAGES=3 -DKILLS=1 -DLIVES=2

    fails 'NO_LATE_REQUEUE'              stranded    $fan_out -DMESSAGES=2 -DREQUEUES=1 -DNO_LATE_REQUEUE
    fails 'NO_LATE_RECOVER'              stranded    $fan_out -DMESSAGES=2 -DKILLS=1 -DNO_LATE_RECOVER
    fails 'RECOVER_FREES'                stranded    $fan_out -DMESSAGES=2 -DKILLS=1 -DRECOVER_FREES
    fails 'PASSED_UNSEEN'                stranded    $fan_in -DCAPACITY=3 -DPASSED_UNSEEN
    fails 'PASSED_UNSEEN, batches'       stranded    $fan_in -DCAPACITY=3 -DMESSAGES=2 -DBATCH -DPASSED_UNSEEN
    fails 'NO_CLOSE'                     stranded    $fan_in -DOLD_ITEM -DCAPACITY=3 -DNO_CLOSE
    fails 'WORD_FIRST'                   stranded    $old -DCAPACITY=3 -DWORD_FIRST
    fails 'PAST_TAIL'                    stranded    $fan_out -DMESSAGES=3 -DREQUEUES=1 -DPAST_TAIL
    fails 'NO_RAISE'                     refused     $fan_in -DCAPACITY=1 -DKILLS=1 -DNO_RAISE
    fails 'ROOM_AT_ACK'                  refused     $old -DKILLS=1 -DKILLABLE=1 -DROOM_AT_ACK
    fails 'NO_DIED'                      left_dead   $dying -DPRODUCERS=1 -DCONSUMERS=1 -DNO_DIED
    fails 'NO_DIED_RECOVER'              left_dead   $dying -DPRODUCERS=1 -DCONSUMERS=1 -DKILLS=2 -DKILLABLE=1 -DLIVES=3 -DNO_DIED_RECOVER
    fails 'COUNT_LATER'                  too_often   $dying -DPRODUCERS=1 -DCONSUMERS=1 -DKILLS=3 -DKILLABLE=1 -DLIVES=4 -DCOUNT_LATER
    fails 'REVIVE'                       too_often   $dying -DPRODUCERS=1 -DCONSUMERS=1 -DKILLS=1 -DKILLABLE=4 -DREVIVE
    fails 'BLIND_ACK'                    twice       $dying -DPRODUCERS=1 -DEXPIRE=1 -DBLIND_ACK
    fails 'KEEP_DEAD'                    kept        -DDELIVERIES=1 -DPRODUCERS=1 -DCONSUMERS=1 -DMESSAGES=3 -DKEEP_DEAD
    thorough fails 'HEAD_BLINDLY'        stranded    -DKILLS=1 -DKILLABLE=1 -DHEAD_BLINDLY
    thorough fails 'SKIPPED_UNSEEN'      stranded    -DOLD_ITEM -DCAPACITY=3 -DSKIPPED_UNSEEN
}

call_ring() {
    twice='-DAGAIN=1'                                # calls may be executed twice
    often='-DAGAIN=1 -DDELIVERIES=2'                 # and not more often
    rivals="-DCLIENTS=1 -DSERVERS=2"

    holds '2 clients'                                   -DCALLS=2
    holds '2 clients, 2 servers, one gives up'          -DSERVERS=2 -DGIVE_UPS=1
    holds '2 clients, 2 give up, a call is dropped'     -DCALLS=2 -DGIVE_UPS=2 -DDROPS=1
    holds '2 clients, 2 places'                         -DPLACES=2 -DGIVE_UPS=1
    holds '2 servers, 2 places'                         $rivals -DPLACES=2 -DCALLS=2 -DGIVE_UPS=1
    holds '2 servers, a call is dropped, delivered again' $rivals $twice -DPLACES=2 -DCALLS=2 -DDROPS=1
    holds '2 servers, a call is given back'             $rivals -DCALLS=2 -DRETURNS=2 -DGIVE_UPS=1
    holds 'the same, at most 2 deliveries, one dropped' $rivals $often -DRETURNS=1 -DDROPS=1 -DGIVE_UPS=1
    usual holds '2 clients, a call is given back, a kill' -DRETURNS=1 -DKILLS=1 -DGIVE_UPS=1
    holds '2 clients, a kill'                           -DKILLS=1 -DGIVE_UPS=1 -DREAPER_KILLS=1
    usual holds '2 servers, a kill, delivered again'          $rivals $twice -DKILLS=1 -DGIVE_UPS=1 -DREAPER_KILLS=1
    holds '2 servers, at most 2 deliveries'             $rivals $often -DDROPS=3 -DGIVE_UPS=1
    thorough holds '2 servers, at most 2 deliveries, 2 kills' $rivals $often -DKILLS=2 -DDROPS=1 -DREAPER_KILLS=1
    thorough holds '2 clients, 2 kills'                 -DKILLS=2 -DGIVE_UPS=1 -DREAPER_KILLS=1
    thorough holds '2 servers, 2 kills, delivered again' $rivals $twice -DKILLS=2 -DGIVE_UPS=1 -DREAPER_KILLS=1
    thorough holds '2 servers, 2 places, a kill'        $rivals -DPLACES=2 -DCALLS=2 -DKILLS=1 -DGIVE_UPS=1
    thorough holds '2:2, a kill'                        -DSERVERS=2 -DKILLS=1 -DGIVE_UPS=1

    fails 'FREE_TAKEN'                   shared_place   -DGIVE_UPS=1 -DFREE_TAKEN
    fails 'RECOVER_FREES'                shared_place   -DKILLS=1 -DRECOVER_FREES
    fails 'KEEP_ABANDONED'               leaked         -DKILLS=1 -DGIVE_UPS=1 -DKEEP_ABANDONED
    fails 'LOSE_AGAIN'                   twice          $rivals -DKILLS=1 -DLOSE_AGAIN
    fails 'NO_NEWS_DROP'                 stranded       $rivals $twice -DDROPS=1 -DNO_NEWS_DROP
    fails 'NO_NEWS_GIVE_BACK'            stranded       $rivals -DRETURNS=1 -DNO_NEWS_GIVE_BACK
    fails 'GIVE_BACK_LATER'              started        -DCLIENTS=1 $twice -DRETURNS=1 -DGIVE_UPS=1 -DGIVE_BACK_LATER
    fails 'NO_NEWS_RECOVER'              stranded       $rivals $twice -DKILLS=1 -DNO_NEWS_RECOVER
    fails 'NEWS_FIRST'                   stranded       -DNEWS_FIRST
    fails 'NEWS_LAST'                    stranded       -DNEWS_LAST
    fails 'SILENT_FREE'                  refused        -DSILENT_FREE
    fails 'SILENT_ABANDON'               untold         -DGIVE_UPS=1 -DSILENT_ABANDON
    fails 'RECOVER_ONCE'                 leaked         -DKILLS=1 -DGIVE_UPS=1 -DRECOVER_ONCE
    fails 'AGAIN_AND_AGAIN'              too_often      $rivals $often -DKILLS=1 -DDROPS=2 -DAGAIN_AND_AGAIN
    fails 'COUNT_LATER'                  too_often      $rivals $often -DKILLS=1 -DDROPS=2 -DCOUNT_LATER
    fails 'SILENT_LOSS'                  unheard        $rivals $often -DDROPS=2 -DSILENT_LOSS
}

broadcast_holds() {
    one='-DCONSUMERS=1'
    two='-DMESSAGES=2 -DMOST_HELD=1'

    holds '1 consumer, 4 messages'                      $one -DMESSAGES=4
    holds '1 consumer, the newest, 4 messages'          $one -DMESSAGES=4 -DNEWEST
    holds '1 consumer, 3 places, 4 messages'            $one -DMESSAGES=4 -DPLACES=3
    holds '2 consumers, 2 messages'                     -DMESSAGES=2
    holds '2 consumers, one wants the newest'           -DMESSAGES=2 -DNEWEST
    holds '1 consumer, either killed, 2 kills'          $one -DMESSAGES=2 -DKILLS=2 -DLIVES=2 -DREAPER_KILLS=1
    holds '2 consumers, one killed'                     $two -DKILLS=1 -DKILLABLE=1
    thorough holds '1 consumer, 3 messages, a kill'     $one -DKILLS=1 -DLIVES=2
    thorough holds '2 consumers, the producer killed'   $two -DKILLS=1 -DKILLABLE=4 -DLIVES=2
    thorough holds '2 consumers, 3 messages'            -DMOST_HELD=1

    fails 'LOOK_ONCE'                    changed        $one -DLOOK_ONCE
    fails 'HOLD_BLINDLY'                 miscounted     $one -DHOLD_BLINDLY
    fails 'STAMP_LATE'                   changed        $one -DSTAMP_LATE
    fails 'BIT_LATE'                     changed        $one -DBIT_LATE
    fails 'NUMBER_LATE'                  miscounted     -DNUMBER_LATE
    fails 'OLD_NUMBER'                   miscounted     -DOLD_NUMBER
    thorough fails 'NUMBER_FIRST'        miscounted     -DNUMBER_FIRST
    fails 'NO_SUCCESSION'                missed         $one -DMESSAGES=2 -DKILLS=1 -DKILLABLE=2 -DLIVES=2 -DNO_SUCCESSION
    thorough fails 'SILENT'              refused        -DSILENT
    fails 'NO_RECOVER'                   refused        $one -DKILLS=1 -DKILLABLE=1 -DNO_RECOVER
}

watch() {
    holds 'a message of each'                           -DMESSAGES=1
    holds '2 messages of each'
    holds 'a message of each, one killed'               -DMESSAGES=1 -DKILLS=1
    thorough holds '2 messages of each, one killed'     -DKILLS=1
    thorough holds 'a message of each, both killed'     -DMESSAGES=1 -DKILLS=2
    thorough holds '3 messages of each'                 -DMESSAGES=3

    fails 'NO_FENCE'                     lost           -DMESSAGES=1 -DNO_FENCE
    fails 'NO_READER_FENCE'              lost           -DMESSAGES=1 -DNO_READER_FENCE
    fails 'NO_BUSY'                      lost           -DMESSAGES=1 -DKILLS=1 -DNO_BUSY
}

leaving() {
    holds '2 leave, one reaps before'                   -DLEAVERS=2
    usual holds '3 leave, one reaps before'
    thorough holds '4 leave'                            -DLEAVERS=4 -DSTAYERS=0

    fails 'NO_SECOND_LOOK'               left_behind    -DNO_SECOND_LOOK
    fails 'LATE_UNLOCK'                  left_behind    -DLATE_UNLOCK
    fails 'LOOK_INSIDE'                  left_behind    -DLOOK_INSIDE
    fails 'LOOK_ONCE'                    mistaken       -DLOOK_ONCE
}

orders() {
    holds 'publish'                                     -DPUBLISH
    holds 'parking'                                     -DPARKING
    holds 'parking, a rival'                            -DRIVAL
    holds 'parking, a barrier'                          -DBARRIER
    holds 'handover'                                    -DHANDOVER
    holds 'expired'                                     -DEXPIRED

    fails 'publish, NO_RELEASE'          stale          -DPUBLISH -DNO_RELEASE
    fails 'publish, NO_ACQUIRE'          stale          -DPUBLISH -DNO_ACQUIRE
    fails 'publish, NO_RELEASE_BACK'     stale          -DPUBLISH -DNO_RELEASE_BACK
    fails 'parking, NO_N2'               lost_wake_up   -DPARKING -DNO_N2
    fails 'parking, NO_W2'               lost_wake_up   -DPARKING -DNO_W2
    fails 'parking, RELAXED_MARK'        lost_wake_up   -DRIVAL -DRELAXED_MARK
    fails 'parking, NO_BARRIER'          lost_wake_up   -DBARRIER -DNO_BARRIER
    fails 'handover, NO_RELEASE'         stale          -DHANDOVER -DNO_RELEASE
    fails 'handover, NO_ACQUIRE'         stale          -DHANDOVER -DNO_ACQUIRE
    fails 'handover, TAKE_RELAXED'       stale          -DHANDOVER -DTAKE_RELAXED
    fails 'expired, NO_ACQUIRE_FENCE'    stale          -DEXPIRED -DNO_ACQUIRE_FENCE
}

# By C++'s memory model, in its repaired version. What it calls no-thin-air forbids more than C++ and ARM64 do.
litmus() {
    never publish
    never parking
    never parking -DRIVAL
    for place in 0 1 2; do never barrier -DBARRIER=$place; done
    never handover
    never reuse
    never expired
    never lapped

    sometimes publish -DNO_RELEASE
    sometimes publish -DNO_ACQUIRE
    sometimes parking -DNO_N2
    sometimes parking -DNO_W2
    sometimes parking -DRIVAL -DRELAXED_MARK
    for place in 0 1 2; do sometimes barrier -DBARRIER=$place -DNO_FENCE; done
    sometimes handover -DNO_RELEASE
    sometimes handover -DNO_ACQUIRE
    sometimes reuse -DTAKE_RELAXED
    sometimes reuse -DCLAIM_RELAXED
    sometimes expired -DNO_ACQUIRE_FENCE
    sometimes expired -DNO_RELEASE_FENCE
    sometimes lapped -DRELAXED_LOOK
}

# never TEST FLAG…, sometimes TEST FLAG…: whether any execution has the outcome at the end of litmus/TEST.litmus.
never() { observe Never "$@"; }
sometimes() { observe Sometimes "$@"; }
observe() {
    expected=$1 test=$2; shift 2
    if cc -E -P -x c "$@" litmus/$test.litmus >test.litmus 2>out &&
        herd7 -model rc11.cat -skipchecks no-thin-air test.litmus >out 2>&1 && grep -q "^Observation $test $expected " out; then
        echo "ok   litmus: $test $*: $expected"
    else
        echo "FAIL litmus: $test $*: expected $expected"
        failed=1
        sed 's/^/     | /' out
    fi
}

# usual COMMAND…: not with --short. thorough COMMAND…: only with --long.
usual() { [ $extent = short ] || "$@"; }
thorough() { [ $extent != long ] || "$@"; }

# holds NAME FLAG…: no error in the complete state space of $model with these flags.
holds() {
    name=$1; shift
    if search $optimised "$@" && grep -q 'errors: 0$' out && ! grep -Eq "$incomplete" out; then
        report ok 'holds'
    else
        report FAIL 'does not hold, or the search was cut short'
    fi
}

# fails NAME ASSERTION FLAG…: the first error is the violation of assert(!ASSERTION).
fails() {
    [ $extent != short ] || return
    name=$1 assertion=$2; shift 2
    if search -O0 "$@" && grep -q "assertion violated *!($assertion)" out; then
        report ok "fails: $assertion"
    else
        report FAIL "did not fail with $assertion"
    fi
}

incomplete='max search depth too small|out of memory|reached -DMEMLIM|Search not completed|hash table full'

# search OPTIMISATION FLAG…: pan's output goes to ./out, a trail beside it.
# No partial order reduction: a rendezvous in `unless` excludes it.
search() {
    optimisation=$1; shift
    rm -f pan* out ./*.trail
    spin -a "$@" "$model.pml" >out 2>&1 &&
        cc $optimisation -w -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM=1000 -o pan pan.c >out 2>&1 || return 1
    ./pan -m100000 >out 2>&1 &
    pan=$!
    wait $pan
    status=$?
    pan=
    return $status
}

report() {
    states=$(awk '/states, stored/ { print $1 }' out)
    seconds=$(awk '/elapsed time/ { print $4 }' out)
    printf '%-4s %s: %-42s %9s states %6s s  %s\n' "$1" "$model" "$name" "${states:--}" "${seconds:-0}" "$2"
    if [ "$1" = FAIL ]; then
        failed=1
        grep -v unreached out | sed -n '1,20s/^/     | /p'
        [ ! -f "$model.pml.trail" ] || ./pan -r 2>&1 | sed 's/^/     | /'
    fi
}

tools='spin cc'
[ "${1-}" != litmus ] || tools='herd7 cc'
for tool in $tools; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
here=$(cd "$(dirname "$0")" && pwd) || exit 1
tmp=$(mktemp -d) || exit 1
pan=
trap '[ -z "$pan" ] || kill $pan 2>/dev/null; cd /; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp" && cp -r "$here"/*.pml "$here/litmus" . || exit 1

extent=usual
optimised=-Og
case ${1-} in --short | --long) extent=${1#--}; shift ;; esac
[ $extent != short ] || optimised=-O0  # compiling takes longer than searching
[ $# -gt 0 ] || set -- $models
failed=0
for model; do
    case " $models litmus " in
    *" $model "*) "$model" ;;
    *) echo "no such model: $model"; exit 1 ;;
    esac
done
exit $failed
