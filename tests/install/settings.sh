#!/bin/sh
# sh tests/install/settings.sh BUILD_DIR ASIO_ARGUMENT…: the linker refuses a program that was compiled with
# other settings of Asio than the library, or with another version, and names them.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
library=$1/src
shift
: "${CXX:=c++}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM

case "$*" in
  *BELFRY_BOOST_ASIO*) prefix=BOOST_ASIO release=BOOST_VERSION more=boost/version.hpp ;;
  *) prefix=ASIO release=ASIO_VERSION more=asio/version.hpp ;;
esac
links() { $CXX -std=c++20 -O0 -I"$here/../../include" "$@" "$here/settings.cpp" -o "$dir/app" -L"$library" -lbelfry; }
# The same headers, pretending to be the next version.
version=$(printf '#include <%s>\n%s\n' $more $release | $CXX -E -P -x c++ - | tail -n 1)
mkdir -p "$dir/other/$(dirname $more)"
printf '#include_next <%s>\n#undef %s\n#define %s %s\n' $more $release $release $((version + 1)) >"$dir/other/$more"

# refused NAME ARGUMENT…: it does not link, and the linker's message contains the name.
refused() {
  name=$1
  shift
  echo "$name: $*"
  if links "$@" 2>"$dir/message"; then
    echo "but it links"
    exit 1
  fi
  grep -q "undefined reference to .*$name" "$dir/message" || { cat "$dir/message"; exit 1; }
}

links "$@"
refused _handler_tracking "$@" -D${prefix}_ENABLE_HANDLER_TRACKING
refused _no_epoll "$@" -D${prefix}_DISABLE_EPOLL
refused _no_threads "$@" -D${prefix}_DISABLE_THREADS
refused _buffer_debugging_glibcxx_debug "$@" -D_GLIBCXX_DEBUG
refused _$((version + 1)) -I"$dir/other" "$@"
