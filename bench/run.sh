#!/bin/sh
# sh bench/run.sh [CASE …] [--json]: builds the benchmarks and runs these cases. Only the results go to
# standard output; with --json as one JSON object per line.
# sh bench/run.sh [--machine NAME]: runs all of them, and writes bench/results/NAME.json, a table NAME.md
# and plots. The default NAME is made of the processor and the number of cores.
set -u
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
. "$top/tests/packages.sh"

machine=
case ${1-} in
  --machine) machine=${2:?--machine wants a name}; shift 2 ;;
  --machine=*) machine=${1#*=}; shift ;;
esac
if [ $# -gt 0 ] && [ "$machine" ]; then
  echo "bench/run.sh: only a run of all cases is written to bench/results" >&2
  exit 2
fi

if [ $# -eq 0 ]; then set_of_packages='bench plots'; else set_of_packages=bench; fi
need build $set_of_packages >&2 || exit 1
build bench --buildtype=release -Dbench=enabled -Dtests=disabled -Dexamples=disabled >&2 || {
  echo "bench/run.sh: the build failed" >&2
  exit 1
}
program=$top/.build/bench/bench/belfry-bench
[ $# -eq 0 ] || exec "$program" "$@"

# The distribution's matplotlib belongs to the distribution's python3; another one may come first in the PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

lines=$(mktemp) || exit 1
trap 'rm -f "$lines"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$program" --json >"$lines"
status=$?
[ "$status" -lt 128 ] || exit "$status"  # interrupted
"$python" "$top/bench/summary.py" ${machine:+--machine "$machine"} \
  --compiler "$("$program" --compiler)" "$lines" || exit
exit "$status"
