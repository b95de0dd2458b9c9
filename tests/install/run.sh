#!/bin/sh
# sh tests/install/run.sh BUILD_DIR: installs the built library into a temporary directory, and
# builds and runs a user's program with it, once through pkg-config and once through CMake.
# CXX should be the compiler of the build. Exit status 77: skipped.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
build=$1
: "${CXX:=c++}"
export CXX

for tool in pkg-config cmake; do
  command -v $tool >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM

meson install -C "$build" --no-rebuild --destdir "$dir/root"
installed() {  # installed NAME: the directory of that file, which must be there
  path=$(find "$dir/root" -name "$1" | head -n 1)
  [ "$path" ] || { echo "$1 is not installed" >&2; return 1; }
  dirname "$path"
}
prefix=$(installed belfry.hpp)
prefix=${prefix%/include/belfry}

echo "the program finds its library"
LD_LIBRARY_PATH= "$prefix/bin/belfry" --version | grep -x 'belfry [0-9.]*'
[ -f "$prefix/include/belfry/LICENSE_1_0.txt" ]

echo "the manual page, and the completion for bash"
grep -q '^\.SS "belfry top"' "$prefix/share/man/man1/belfry.1"
bash -c '. "$1"; COMP_WORDS=(belfry met) COMP_CWORD=1; _belfry; [ "${COMPREPLY[*]}" = metrics ]' bash \
  "$prefix/share/bash-completion/completions/belfry"

PKG_CONFIG_PATH=$(installed belfry.pc)
LD_LIBRARY_PATH=$(installed 'libbelfry.*')${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH

# A library built with a sanitizer needs a program built with it.
sanitize=$(grep -o -m 1 -e '-fsanitize=[a-z,]*' "$build/build.ninja" | head -n 1) || :

echo "through pkg-config"
flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs belfry)
$CXX -std=c++20 $sanitize "$here/consumer.cpp" -o "$dir/app" $flags
"$dir/app" "belfry-test-install-$$"

echo "a program that uses everything"
$CXX -std=c++20 -O0 $sanitize "$here/everything.cpp" -o "$dir/everything" $flags

echo "through CMake"
cmake -G Ninja -S "$here" -B "$dir/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_FLAGS="$sanitize"
cmake --build "$dir/cmake"
"$dir/cmake/app" "belfry-test-install-$$"
