#!/bin/sh
# Builds the example `pipeline` and what it needs, and streams a real file of about 256 MB from one process to
# another with it. The last line printed is that program's:
#
#   pipeline: N messages, B bytes, R MB/s, identical
set -u
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
. "$top/tests/packages.sh"

fail() { echo "examples/run.sh: $*" >&2; exit 1; }

need build || exit 1
echo "building the pipeline in .build/release"
targets=pipeline
# Little optimisation, because compiling takes most of the time: it is the kernel and the C library that copy the file.
build release --buildtype=release -Doptimization=1 -Dexamples=enabled -Dtests=disabled -Dbench=disabled ||
  fail "the build failed"

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

echo "packing 256 MB of this machine's programs, libraries and headers into $dir/input"
# tar may complain: head ends it early, and this user may not be allowed to read some files.
tar -C / -cf - usr/bin usr/lib usr/include 2>/dev/null | head -c 256000000 >"$dir/input" ||
  fail "cannot write to $dir; TMPDIR should name a directory with 512 MB of room"
size=$(wc -c <"$dir/input")
[ "$size" -ge 100000000 ] || fail "found only $size bytes to send, of at least 100 MB"

echo "sending $((size)) bytes: pipeline $dir/input $dir/output"
"$top/.build/release/examples/pipeline" "$dir/input" "$dir/output"
status=$?
if [ $status = 0 ]; then cmp "$dir/input" "$dir/output" >&2 || status=1; fi
exit $status
