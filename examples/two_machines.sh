#!/bin/sh
# Two machines in one: ticks go from machine `here` to machine `there`, over a cluster of three NATS servers, while a
# server and both bridges are killed, and a cable is pulled. Each machine is a network namespace with its own /dev/shm.
#
#   meson setup build -Dexamples=enabled && meson compile -C build
#   sudo sh examples/two_machines.sh build [COUNT]       20000 ticks, 2000 a second
#
# Needs root, iproute2, util-linux and nats-server. It ends with what the consumer has received:
#
#   consumer: 20000 ticks in all, the last one was 19999
set -u
build=$(CDPATH= cd -- "${1:?the build directory is missing}" && pwd -P) || exit 2
count=${2:-20000}
belfry=$build/src/cli/belfry
ticks=$build/examples/ticks
dir=$(mktemp -d) || exit 1
running=

fail() { echo "two_machines.sh: $*" >&2; exit 1; }
clean_up() {
  [ "$running" ] && kill -9 $running 2>/dev/null
  wait 2>/dev/null
  rm -rf "$dir"  # the namespaces end with their processes
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

[ "$(id -u)" = 0 ] || fail "has to be root, to make network namespaces"
for program in ip unshare nsenter nats-server "$belfry" "$ticks"; do
  command -v "$program" >/dev/null || fail "there is no $program"
done

# ---- three machines; the third one is also the switch

machine() {  # machine NAME: makes one, of which $NAME is the process
  unshare --net --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && touch "$1" && exec sleep 1000000' - "$dir/$1.up" &
  eval "$1=\$!"
  running="$running $!"
  until [ -e "$dir/$1.up" ]; do sleep 0.05; done
}
on() {  # on NAME COMMAND…: runs it there
  eval "where=\$$1"
  shift
  nsenter --target "$where" --net --mount "$@"
}
start() {  # start LOG NAME COMMAND…: in the background; $pid
  log=$dir/$1.log
  eval "where=\$$2"
  shift 2
  nsenter --target "$where" --net --mount "$@" >>"$log" 2>&1 &
  pid=$!
  running="$running $pid"
}
kill_hard() {
  kill -9 "$1"
  wait "$1" 2>/dev/null
}
said() {  # said LOG TEXT: waits until it is there
  for i in $(seq 600); do
    grep -qF -e "$2" "$dir/$1.log" 2>/dev/null && return
    sleep 0.1
  done
  tail -n 20 "$dir"/*.log
  fail "$1 does not say \"$2\""
}

for name in here there third; do machine $name; done
on third ip link add lan type bridge || fail "cannot make a bridge between network namespaces"
on third ip link set lan up
on third ip addr add 10.77.0.3/24 dev lan
on third ip link set lo up
n=1
for name in here there; do
  eval "pid=\$$name"
  on third ip link add "to-$name" type veth peer name eth0 netns "$pid" || fail "cannot make a cable"
  on third ip link set "to-$name" master lan up
  on $name ip addr add 10.77.0.$n/24 dev eth0
  on $name ip link set eth0 up
  on $name ip link set lo up
  n=$((n + 1))
done

# ---- a server on each

server() {  # server NAME
  cat >"$dir/$1.conf" <<END
server_name: $1
listen: "0.0.0.0:4222"
jetstream { store_dir: "$dir/$1.store" }
cluster {
  name: machines
  listen: "0.0.0.0:6222"
  routes: ["nats://10.77.0.1:6222", "nats://10.77.0.2:6222", "nats://10.77.0.3:6222"]
}
END
  start "server-$1" "$1" nats-server -c "$dir/$1.conf"
  eval "server_$1=$pid"
}
bridge_here() {
  start bridge-here here "$belfry" bridge --server nats://10.77.0.1:4222 --export ticks=demo.ticks --replicas 3
  bridge_here=$pid
}
bridge_there() {
  start bridge-there there "$belfry" bridge --server nats://10.77.0.2:4222 --import demo.ticks=ticks
  bridge_there=$pid
}

for name in here there third; do server $name; done
echo "three servers start, and two bridges"
bridge_here
bridge_there
start producer here "$ticks" produce --rate 2000 --count "$count"
said bridge-here running
said bridge-there running
start consumer there "$ticks" consume --count "$count"
consumer=$pid
sleep 2

echo "the server of the sending machine is killed, and starts again two seconds later"
kill_hard $server_here
sleep 2
server here
sleep 1
echo "the exporting bridge is killed, and starts again"
kill_hard $bridge_here
bridge_here
sleep 1
echo "the importing bridge is killed, and starts again"
kill_hard $bridge_there
bridge_there
sleep 1
echo "the cable of the receiving machine is pulled, for three seconds"
on third ip link set to-there down
sleep 3
on third ip link set to-there up

said consumer "ticks in all"
wait $consumer
grep -e "in all" -e missing "$dir/consumer.log"
grep -q missing "$dir/consumer.log" && exit 1
grep -qF "consumer: $count ticks in all, the last one was $((count - 1))" "$dir/consumer.log"
