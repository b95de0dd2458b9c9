#!/bin/sh
# sh tests/install/warnings.sh ASIO_ARGUMENT…: compiles a user's program with all warnings; the headers are
# not system headers. With CXX, and with Clang if there is one. With GCC also for the thread sanitizer, for
# which Asio itself has two warnings.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
: "${CXX:=c++}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM

set -- "$@" -std=c++20 -O0 -I"$here/../../include" \
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion "$here/everything.cpp"

for compiler in "$CXX" clang++; do
  command -v "$compiler" >/dev/null || { echo "there is no $compiler"; continue; }
  echo "$compiler"
  "$compiler" -Werror -fsyntax-only "$@"
done

case $($CXX --version) in
  *"Free Software"*)
    echo "$CXX -fsanitize=thread"
    LC_ALL=C $CXX -fsanitize=thread -c -o "$dir/out" "$@" 2>"$dir/warnings"
    # A warning names the place of the code, or where it was inlined.
    if grep -E '(^|at )[^ ]*/belfry/[a-z_/]*\.hpp:[0-9:]+( warning|$)' "$dir/warnings"; then
      cat "$dir/warnings"
      exit 1
    fi ;;
esac
