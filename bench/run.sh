#!/bin/sh
# sh bench/run.sh [CASE …] [--json]: builds the benchmarks and runs these cases, or all.
# The results alone go to standard output, with --json as one JSON object a line.
set -u
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
. "$top/tests/packages.sh"

need build bench >&2 || exit 1
build bench --buildtype=release -Dbench=enabled -Dtests=disabled -Dexamples=disabled >&2 || {
  echo "bench/run.sh: the build failed" >&2
  exit 1
}
exec "$top/.build/bench/bench/belfry-bench" "$@"
