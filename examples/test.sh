#!/bin/sh
# sh examples/test.sh CASE PROGRAM: runs an example and checks its output and what it leaves behind.
set -u
case=$1
program=$2
scripts=$(CDPATH= cd -- "$(dirname -- "$0")/python" && pwd -P) || exit 1

dir=$(mktemp -d) || exit 1
name=belfry-test-example-$$
running=
trap 'clean_up' EXIT
trap 'fail "stopped, perhaps by the watchdog"' HUP INT TERM

clean_up() {
  if [ "$running" ]; then  # something went wrong
    kill $running 2>/dev/null && sleep 1
    kill -9 $running 2>/dev/null
  fi
  rm -rf "$dir" /dev/shm/$name*
}

fail() {
  echo "FAILED: $*" >&2
  for log in "$dir"/*.log; do
    [ -f "$log" ] && { echo "--- ${log##*/}"; cat "$log"; } >&2
  done
  exit 1
}

# start LOG ARGUMENT...: runs the program in the background; its pid is in $pid.
start() {
  log=$dir/$1.log
  shift
  "$program" "$@" >"$log" 2>&1 &
  pid=$!
  running="$running $pid"
}
has_ended() { running=$(echo "$running " | sed "s/ $1 / /; s/ *\$//"); }
finish() {  # finish PID STATUS
  wait "$1"
  status=$?
  has_ended "$1"
  [ $status = "$2" ] || fail "exit status $status, expected $2"
}
kill_hard() {  # kill_hard PID: returns when the process is dead
  kill -9 "$1"
  wait "$1" 2>/dev/null
  has_ended "$1"
}

# has LOG PATTERN: whether the log has such a line; said LOG PATTERN: waits until it has.
has() { grep -q -e "$2" "$dir/$1.log"; }
said() {
  until has "$1" "$2"; do sleep 0.05; done
}
expect() { has "$1" "$2" || fail "no line like: $2"; }

nothing_left() {  # nothing_left NAME
  left=$(ls -d /dev/shm/"$1"* 2>/dev/null)
  [ -z "$left" ] || fail "left behind: $left"
}

real_file() {  # some MB of text that exist on every machine with a compiler
  find /usr/include -name '*.h*' -type f -exec cat {} + 2>/dev/null | head -c 20000000
}

# Both children of a running `pipeline INPUT OUTPUT`, the producer first.
children() {
  until set -- $(cat /proc/$pid/task/$pid/children 2>/dev/null) && [ $# = 2 ]; do sleep 0.05; done
  producer=$1 consumer=$2
}

pipeline_file() {
  real_file >"$dir/in"
  start log "$dir/in" "$dir/out"
  finish $pid 0
  cmp "$dir/in" "$dir/out" || fail "the copy differs"
  bytes=$(($(wc -c <"$dir/in")))
  tail -n 1 "$dir/log.log" | grep -q -x "pipeline: [0-9]* messages, $bytes bytes, [0-9]* MB/s, identical" ||
    fail "the last line"
  expect log '^sent '
  expect log '^received '
  nothing_left pipeline-$pid
}

pipeline_empty_file() {
  : >"$dir/in"
  start log "$dir/in" "$dir/out"
  finish $pid 0
  [ -f "$dir/out" ] && [ ! -s "$dir/out" ] || fail "the copy is not empty"
  tail -n 1 "$dir/log.log" | grep -q -x 'pipeline: 0 messages, 0 bytes, 0 MB/s, identical' ||
    fail "the last line"
  nothing_left pipeline-$pid
}

pipeline_bad_files() {
  head -c 5000000 /dev/zero >"$dir/in"
  start missing "$dir/nothing" "$dir/out"
  finish $pid 1
  expect missing 'nothing: No such file'
  start unwritable "$dir/in" "$dir/no/out"
  finish $pid 1
  expect unwritable 'no/out: No such file'
  start same "$dir/in" "$dir/in"
  finish $pid 1
  expect same 'the same file'
  [ -s "$dir/in" ] || fail "the input is gone"
  start full "$dir/in" /dev/full
  finish $pid 1
  expect full 'consumer: .*No space left on device'
  nothing_left pipeline-$pid
}

pipeline_two_shells() {
  real_file >"$dir/in"
  start produce1 produce $name-1 "$dir/in"
  producer=$pid
  start consume1 consume $name-1 "$dir/out1"
  finish $producer 0
  finish $pid 0
  cmp "$dir/in" "$dir/out1" || fail "the copy differs"
  expect consume1 '^pipeline: '

  start consume2 consume $name-2 "$dir/out2"
  consumer=$pid
  sleep 0.2
  start produce2 produce $name-2 "$dir/in"
  finish $pid 0
  finish $consumer 0
  cmp "$dir/in" "$dir/out2" || fail "the copy differs"
  nothing_left $name
}

pipeline_killed() {
  truncate -s 1000G "$dir/in"
  start one "$dir/in" /dev/null
  children
  said one '^received '
  kill -9 $consumer
  finish $pid 1
  expect one 'consumer: killed by signal 9'
  nothing_left pipeline-$pid

  start other "$dir/in" /dev/null
  children
  said other '^received '
  kill -9 $producer
  finish $pid 1
  expect other 'producer: killed by signal 9'
  expect other 'consumer: the other side was killed'
  nothing_left pipeline-$pid
}

pipeline_stopped() {
  truncate -s 1000G "$dir/in"
  start log "$dir/in" /dev/null
  said log '^received '
  said log '^sent '
  kill -TERM $pid
  finish $pid 1
  expect log 'interrupted'
  nothing_left pipeline-$pid
}

ticks_demo() {
  start log
  finish $pid 0
  expect log '^producer: 2000 ticks in all, the last one was 1999$'
  expect log '^consumer: 2000 ticks in all, the last one was 1999$'
  expect log '^consumer: .*/s, last price [0-9]'
  nothing_left ticks-demo-$pid
}

ticks_restarts() {
  start produce1 produce $name --rate 2000 --count 3000
  producer=$pid
  start consume1 consume $name
  sleep 0.5
  kill_hard $pid
  start consume2 consume $name
  consumer=$pid
  finish $producer 0
  said consume2 'the other side has left'

  start produce2 produce $name --rate 1000
  said consume2 'the next one is here'
  sleep 0.3
  kill_hard $pid
  said consume2 'the other side was killed'

  start produce3 produce $name --count 100
  finish $pid 0
  until [ "$(grep -c 'has left' "$dir/consume2.log")" = 2 ]; do sleep 0.05; done
  kill -INT $consumer
  finish $consumer 0
  expect consume2 'the last one was 99$'
  if has consume2 missing; then fail "ticks were lost"; fi
  nothing_left $name
}

timeout() {
  start log 500
  finish $pid 0
  expect log '^timeout: 500 numbers in order, none lost, [0-9]* timeouts$'
}

poll_loop() {
  ulimit -n 1024
  start log 200 2
  finish $pid 0
  expect log '^poll_loop: [0-9]* so far$'
  expect log '^poll_loop: 200 channels, 400 sensors came, 267 left, 133 were killed; 80000 measurements, mean 22.45; '
  # With every sensor there, five descriptors per channel, and some of the program's own.
  most=$(sed -n 's/.*at most \([0-9]*\) descriptors$/\1/p' "$dir/log.log")
  [ "$most" -le 1020 ] || fail "$most descriptors"
  nothing_left poll-loop-$pid

  start interrupted 20 1000
  said interrupted ' so far$'
  kill -INT $pid
  finish $pid 0
  expect interrupted '^poll_loop: interrupted$'
  nothing_left poll-loop-$pid
}

fork_workers() {
  real_file | LC_ALL=C tr -cd '\n\t -~' >"$dir/text"
  counts=$(LC_ALL=C wc <"$dir/text" | tr -s ' ' | sed 's/^ //')
  start plain "$dir/text"
  finish $pid 0
  expect plain "^$counts $dir/text\$"
  start kill --kill --workers 3 "$dir/text"
  finish $pid 0
  expect kill 'a peer died'
  expect kill "^$counts $dir/text\$"
}

# python LOG ARGUMENT...: runs what a user would run in another shell.
python() {
  log=$dir/$1.log
  shift
  (cd "$scripts" && exec python3 -B "$@") >"$log" 2>&1 || fail "python3 $*"
}

shared_bytes() {
  start log $name
  said log "SharedMemory('$name', size=10) waits"
  python python shared_bytes.py $name
  finish $pid 0
  expect python "^Python: array('b', \\[22, 33, 44, 55, 100\\])\$"
  expect log '^shared_bytes: now there is howdy$'
  nothing_left $name
}

shared_array() {
  start log $name
  said log '^shared_array: 1 1 2 3 5 8$'
  python python shared_array.py $name
  finish $pid 0
  expect python '^Python: \[1, 1, 2, 3, 5, 8\]$'
  expect log '^shared_array: 1 1 2 3 5 888$'
  nothing_left $name
}

shared_list() {
  start log $name
  said log ' 100 '
  python python shared_list.py $name
  finish $pid 0
  expect log 'no room for that, element 2 is still .*dry ice'
  expect log ' 7 elements, 42 is number 6$'
  expect python "^Python: \\['howdy', b'HoWdY', 'dry ice', 100, None, True, 42\\]\$"
  expect log 'hello.*999$'
  nothing_left $name
}

edit() {  # edit LOG STATEMENT...: runs the statements as in a Python shell
  log=$1
  shift
  {
    echo "from multiprocessing.shared_memory import ShareableList"
    echo "from belfry_watch import Watch, keep"
    echo "config = ShareableList(name='$name')"
    echo "keep(config.shm)"
    echo "watch = Watch('$name')"
    printf '%s\n' "$@"
  } >"$dir/edit.py"
  PYTHONPATH=$scripts python "$log" "$dir/edit.py"
}

config_watch() {
  start log $name
  said log '^config_watch: "Good morning, everybody", 4 workers, quiet$'
  edit one 'config[1] = 8' 'watch.notify()'
  said log '^config_watch: "Good morning, everybody", 8 workers, quiet$'
  edit two 'with watch.txn():' '    config[0] = "Good evening"' '    config[2] = True'
  said log '^config_watch: "Good evening", 8 workers, verbose$'
  edit three 'config[1] = "many"' 'watch.notify()'
  said log '^config_watch: goes on as before: '
  kill -INT $pid
  finish $pid 0
  nothing_left $name
}

manager() {
  start log
  finish $pid 0
  expect log '^manager: 3 blocks, a list: "a" "l" "p" "h" "a"$'
  expect log '^manager: after shutdown: No such file or directory$'
  expect log "^manager: SharedMemory('psm_"
  expect log '^manager: the sum is 3998000$'
}

manager_pool() {
  start log 3
  finish $pid 0
  expect log '^manager_pool: 3 workers, the sum is 333333833333500000$'
}

# A C++ client of a Python manager.
manager_client() {
  mkfifo "$dir/end"
  (cd "$scripts" && exec python3 -B manager_server.py "$dir/socket" secret) <"$dir/end" >"$dir/python.log" 2>&1 &
  server=$!
  running="$running $server"
  exec 3>"$dir/end"
  said python '^Python: a manager at '
  start log "$dir/socket" secret
  finish $pid 0
  expect log '^manager_client: the manager has psm_'
  start wrong "$dir/socket" guess
  finish $pid 1
  expect wrong 'authentication failed'
  name=$(sed -n "s/^manager_client: SharedMemory('\(psm_[0-9a-f]*\)'.*/\1/p" "$dir/log.log")
  [ -e "/dev/shm/$name" ] || fail "the list has gone before its manager"
  exec 3>&-
  finish $server 0
  nothing_left "$name"
}

# Clients in Python and in C++ of `belfry serve`.
manager_serve() {
  printf 'secret\n' >"$dir/key"
  chmod 600 "$dir/key"
  "$BELFRY" serve --address "$dir/socket" --authkey-file "$dir/key" --run-directory "$dir/run" \
    >"$dir/serve.log" 2>&1 &
  server=$!
  running="$running $server"
  said serve "^$dir/socket\$"
  python python manager_client.py "$dir/socket" "$dir/key"
  expect python "ShareableList(\[0, 1, 2, 3\], name='psm_"
  start log "$dir/socket" secret
  finish $pid 0
  name=$(sed -n "s/^manager_client: SharedMemory('\(psm_[0-9a-f]*\)'.*/\1/p" "$dir/log.log")
  [ -e "/dev/shm/$name" ] || fail "the list has gone before its manager"
  kill -TERM $server
  finish $server 0
  nothing_left "$name"
  [ -z "$(ls "$dir/run")" ] || fail "left in the run directory: $(ls "$dir/run")"
}

# One server of two is killed while they serve.
calls() {
  export CALLS_NAME="$name"
  start alone 1 + 1
  finish $pid 1
  expect alone '^calls: the deadline of the call has passed before it was started$'
  export CALLS_SECONDS=60
  start first serve
  first=$pid
  said first '^calls: serving$'
  start second serve
  second=$pid
  said second '^calls: serving$'
  i=0
  while [ $i != 20 ]; do
    start log $i '*' -7
    finish $pid 0
    expect log "^$((i * -7))\$"
    i=$((i + 1))
    [ $i != 10 ] || kill_hard $first
  done
  start log 1 / 0
  finish $pid 1
  expect log '^calls: Function not implemented$'
  start log 9223372036854775807 + 1
  finish $pid 1
  expect log '^calls: Numerical result out of range$'
  kill -TERM $second
  finish $second 0
  nothing_left "$name"
}

news() {
  start log
  finish $pid 0
  expect log '^news: reader 0 has seen [0-9]* and missed [0-9]*, the last was 20000$'
  expect log '^news: reader 2, slow, has seen [0-9]* and missed [1-9][0-9]*, the last was 20000$'
  nothing_left news-$pid
}

video_demo() {
  start log demo
  finish $pid 0
  expect log '^camera: 120 frames in all, 0 skipped, 0 damaged, [0-9]* bytes, 0 of them copied$'
  # On a busy machine it may have been overtaken: then it knows by how many frames.
  sed -n 's/^recorder: \([0-9]*\) frames in all, \([0-9]*\) skipped, 0 damaged, [0-9]* bytes, 0 of them copied$/\1 \2/p' \
    "$dir/log.log" >"$dir/recorded"
  read -r taken skipped <"$dir/recorded" || fail "no line of the recorder"
  [ $((taken + skipped)) = 120 ] || fail "the recorder has taken $taken frames and skipped $skipped"
  expect log '^display: [1-9][0-9]* frames in all, [0-9]* skipped, 0 damaged,'
  expect log '^detector: [1-9][0-9]* frames in all, [0-9]* skipped, 0 damaged,'
  nothing_left video-demo-$pid
}

# Any program may be killed and started again; the others continue.
video_restarts() {
  start camera1 camera $name
  camera=$pid
  start recorder recorder $name
  recorder=$pid
  start display1 display $name
  said display1 '^display: .*frames/s'
  kill_hard $pid
  start display2 display $name
  display=$pid
  start detector detector $name
  said detector '^detector: .*frames/s'
  kill_hard $pid  # it held a frame
  kill_hard $camera
  said recorder 'the camera was killed'
  start camera2 camera $name --frames 90
  finish $pid 0
  said recorder 'the camera is off'
  kill -TERM $display $recorder
  finish $display 0
  finish $recorder 0
  expect recorder ' 0 damaged,'
  expect display2 '^display: [1-9][0-9]* frames in all, [0-9]* skipped, 0 damaged,'
}

# Three thousand requests while workers are killed: each is answered correctly. Then one that is too late, one whose
# sender goes away, and one that is answered although the server was told to end.
async_server() {
  start server --port 0
  server=$pid
  said server '^async_server: http://localhost:[0-9]*/$'
  url=$(sed -n 's/^async_server: \(http.*\)$/\1/p' "$dir/server.log" | head -n 1)
  for turn in 1 2 3 4 5 6 7 8 9 10; do
    curl -sS -Z --parallel-max 20 "${url}[$((10000 + turn))-$((10299 + turn))]" >>"$dir/answers" 2>"$dir/curl.log" &
    client=$!
    set -- $(cat /proc/$server/task/$server/children)
    [ $# -gt 0 ] && kill -9 "$1"
    wait $client || fail "curl: $(cat "$dir/curl.log")"
  done
  [ "$(grep -c ' primes up to ' "$dir/answers")" = 3000 ] || fail "not every request was answered"
  [ "$(curl -sS "${url}1000" | cut -d' ' -f1)" = 168 ] || fail "there are 168 primes up to 1000"
  expect server 'takes its place'
  [ "$(curl -s -o "$dir/late" -w '%{http_code}' "${url}10000000?ms=1")" = 504 ] || fail "not too late"
  [ "$(curl -s -o "$dir/bad" -w '%{http_code}' "${url}10000001")" = 400 ] || fail "a bad request"
  for i in 1 2 3 4 5 6 7 8; do curl -s -m 0.05 "${url}10000000" >"$dir/gone"; done
  until unread_calls "async-server-$server" 0; do sleep 0.05; done
  curl -sS "${url}9000000?ms=100000" >"$dir/last" 2>"$dir/curl.log" &
  client=$!
  until unread_calls "async-server-$server" 1 || [ -s "$dir/last" ]; do sleep 0.01; done
  kill -TERM $server
  wait $client || fail "the last request: $(cat "$dir/curl.log")"
  [ "$(cut -d' ' -f1 "$dir/last")" = 602489 ] || fail "there are 602489 primes up to 9000000: $(cat "$dir/last")"
  finish $server 0
  nothing_left async-server-$server
}
# unread_calls NAME COUNT: whether the channel holds so many calls.
unread_calls() { "$BELFRY" stat --json "$1" | grep -q "\"unread\": *$2[,}]"; }

readme() {
  start consume
  consumer=$pid
  start produce produce
  finish $pid 0
  finish $consumer 0
  [ "$(wc -l <"$dir/consume.log")" -eq 10 ] || fail "ten lines"
  expect consume '^1 101$'
  expect consume '^10 110$'
  nothing_left hello
}

case $case in
  pipeline-file) pipeline_file ;;
  pipeline-empty-file) pipeline_empty_file ;;
  pipeline-bad-files) pipeline_bad_files ;;
  pipeline-two-shells) pipeline_two_shells ;;
  pipeline-killed) pipeline_killed ;;
  pipeline-stopped) pipeline_stopped ;;
  ticks-demo) ticks_demo ;;
  ticks-restarts) ticks_restarts ;;
  timeout) timeout ;;
  poll-loop) poll_loop ;;
  fork-workers) fork_workers ;;
  shared-bytes) shared_bytes ;;
  shared-array) shared_array ;;
  shared-list) shared_list ;;
  config-watch) config_watch ;;
  async-server) async_server ;;
  manager) manager ;;
  manager-client) manager_client ;;
  manager-pool) manager_pool ;;
  manager-serve) manager_serve ;;
  calls) calls ;;
  news) news ;;
  video-demo) video_demo ;;
  video-restarts) video_restarts ;;
  readme) readme ;;
  *) echo "no such case: $case" >&2; exit 1 ;;
esac
