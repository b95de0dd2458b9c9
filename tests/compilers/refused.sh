#!/bin/sh
# Types that hold an address are refused at compile time, and accepted if `shareable` is specialised.
#
# refused.sh INCLUDE_FOLDER

include=$1
source=$(dirname "$0")/refused.cpp
said=$(mktemp)
trap 'rm -f "$said"' EXIT

compilers=0
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || continue
  compilers=$((compilers + 1))
  compile="$compiler -std=c++20 -fsyntax-only -Wall -Wextra -I $include $source"
  $compile -Werror || exit 1
  for what in 1 2 3 4 5; do
    $compile -DREFUSED=$what 2>"$said" && { echo "$compiler accepts $what"; exit 1; }
    grep -q 'see belfry::shareable' "$said" || { cat "$said"; exit 1; }
  done
  echo "$compiler: as it should be"
done
[ $compilers -gt 0 ] || exit 77
