#!/bin/sh
# Programs that were not built alike share channels: every pair of compiler, optimisation and dialect. Those whose
# values have other fields are refused, and told which.
#
# exchange.sh INCLUDE_FOLDER LIBRARY ASIO_ARGUMENT…
set -eu
include=$1 library=$2
shift 2
source=$(dirname "$0")/exchange.cpp
folder=$(mktemp -d)
name=belfry-test-exchange-$$
trap 'rm -rf "$folder" /dev/shm/$name-*' EXIT
trap 'exit 143' HUP INT TERM

compile() {  # compile PROGRAM COMMAND…
  program=$folder/$1
  shift
  "$@" -I "$include" "$source" -o "$program" "$library" -Wl,-rpath,"$(dirname "$library")" -pthread
}

# What the dialects of this machine are called; -std=c++2b is C++23 before it was finished.
builds=
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || continue
  for flags in '-O0 -std=c++20' '-O2 -std=c++2b'; do
    build=$compiler$(echo "$flags" | tr -d ' ')
    compile "$build" $compiler $flags "$@"
    builds="$builds $build"
  done
  compile "$compiler-swapped" $compiler -O0 -std=c++20 -DSWAPPED "$@"
done

for one in $builds; do
  for other in $builds; do
    [ "$one" != "$other" ] || continue
    timeout 60 "$folder/$other" receive "$name" &
    receiver=$!
    timeout 60 "$folder/$one" send "$name"
    wait "$receiver"
    echo "$one > $other"
  done

  mkfifo "$folder/input" "$folder/output"
  "$folder/$one" hold "$name" <"$folder/input" >"$folder/output" &
  holder=$!
  exec 3>"$folder/input"
  read -r ready <"$folder/output"
  for swapped in "$folder"/*-swapped; do
    "$swapped" refuse "$name" >"$folder/refused"
    # Of each channel, the text names the first field that differs.
    [ "$(grep -c '\<id\>.*\<price\>' "$folder/refused")" = 3 ] || { cat "$folder/refused"; exit 1; }
    echo "$one | $(basename "$swapped")"
  done
  exec 3>&-
  wait "$holder"
  rm "$folder/input" "$folder/output"
done
if ls /dev/shm | grep "^$name"; then exit 1; fi
