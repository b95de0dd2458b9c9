#!/bin/sh
# Types have the same fingerprint with every compiler of this machine, in every dialect.
#
# fingerprints.sh INCLUDE_FOLDER

include=$1
source=$(dirname "$0")/fingerprints.cpp
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

builds=0
seen=:
for compiler in g++ clang++ $(seq -f g++-%g 12 30) $(seq -f clang++-%g 14 40); do
  path=$(command -v "$compiler") || continue
  path=$(readlink -f "$path")
  case $seen in *:$path:*) continue ;; esac
  seen=$seen$path:
  for flags in -std=c++20 -std=gnu++20 -std=c++2b '-std=c++20 -stdlib=libc++'; do
    # Not every compiler supports every dialect and library.
    echo '#include <array>' | $compiler $flags -fsyntax-only -x c++ - 2>/dev/null || continue
    builds=$((builds + 1))
    echo "$compiler $flags"
    $compiler $flags -Wall -Wextra -Wpedantic -Werror -I "$include" "$source" -o "$folder/program" || exit 1
    "$folder/program" >"$folder/now" || exit 1
    [ -s "$folder/first" ] || cp "$folder/now" "$folder/first"
    diff "$folder/first" "$folder/now" || exit 1
  done
done
[ "$builds" -gt 1 ] || exit 77  # nothing to compare
echo "$builds builds, $(wc -l <"$folder/first") types"
