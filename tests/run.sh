#!/bin/sh
# Builds and tests Belfry: what a change has to pass, or every configuration, one after the other. The last
# line printed is "N passed, M failed" (", K skipped").
set -u
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
. "$top/tests/packages.sh"

usage() {
  cat <<'END'
sh tests/run.sh [--every] [--long] [--only CONFIG] [--packages] [--help]
  --every        gcc, clang-asan, clang-tsan, and the tests of the suite `every`; on Debian on x86-64 also windows
                 (cross-built with mingw-w64, run under Wine) and arm64 (cross-built, run under qemu-user); else only
                 gcc, with all that needs no sanitizer and no other compiler
  --only CONFIG  one of them
  --long         also run the tests of the suite `long`, and build the benchmarks
  --packages     print the packages that this needs, and do nothing
All of them are built with the assertions of the standard library (_GLIBCXX_ASSERTIONS).
END
}

# Little optimisation and few symbols, because compiling takes most of the time. GCC builds the examples,
# Clang uses the sanitizers and both Asios. UBSan opens a pipe to check whether an address is an object:
# without a free descriptor, as in some tests, it reports valid objects. For Windows: the time of GNU ld grows with the
# square of the number of inline functions that were not inlined, a minute for each program without optimisation.
options() {  # options CONFIG: for meson setup
  assertions=-D_GLIBCXX_ASSERTIONS
  echo -Ddebug=false -Dwerror=true -Dtests=enabled -Doptimization=1
  case $1 in
    gcc) echo -Dasio=standalone -Dexamples=enabled -Dbench=$bench -Dcpp_args=$assertions ;;
    clang-asan) echo -Dasio=boost -Dexamples=disabled -Dbench=disabled "-Dcpp_args=['$assertions','-g1','-fno-sanitize=vptr']" \
      -Db_sanitize=address,undefined -Db_lundef=false ;;
    clang-tsan) echo -Dasio=standalone -Dexamples=disabled -Dbench=disabled "-Dcpp_args=['$assertions','-g1']" \
      -Db_sanitize=thread -Db_lundef=false ;;
    windows) echo --cross-file "$top/tests/windows/mingw.ini" -Dasio=standalone -Dexamples=enabled -Dbench=disabled \
      -Ddefault_library=static "-Dcpp_args=['$assertions','-isystem$headers']" ;;
    arm64) echo -Doptimization=0 -Dunity=on -Dunity_size=100 --cross-file "$top/tests/arm64/aarch64.ini" -Dasio=standalone \
      -Dexamples=disabled -Dbench=disabled -Dnats=disabled -Ddefault_library=static -Dprefer_static=true \
      "-Dcpp_args=['$assertions','-isystem$arm64/usr/include']" ;;
  esac
}

selection() {  # selection CONFIG: for meson test
  if [ $long = no ]; then echo --no-suite long; fi
  if [ $every = no ]; then echo --no-suite every; fi
  case $1 in
    clang-tsan) echo --suite tsan --timeout-multiplier 4 ;;
    clang-asan) echo --timeout-multiplier 4 ;;
  esac
}

# Older sanitizers cannot map their shadow where the kernel randomizes addresses strongly.
sanitized() {
  if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 99)" -gt 28 ] &&
    setarch -R true 2>/dev/null; then setarch -R "$@"
  else "$@"
  fi
}

# logged STEP COMMAND…: if the command fails, the step has failed, with the command's output.
logged() {
  step=$1
  shift
  { "$@" && : >"$results/$step.done"; } 2>&1 | tee "$results/$step.log"
  [ -f "$results/$step.done" ] || { mv "$results/$step.log" "$results/$step.failed"; return 1; }
}

check() { if logged "$@"; then : >"$results/$1.passed"; fi; }

# Of /usr/include a cross-compiler may see only what is headers and nothing else. Wine gets a system of its own.
prepare_windows() {
  headers=$top/.build/windows-headers
  mkdir -p "$headers"
  for name in asio asio.hpp boost nlohmann CLI catch2; do ln -sfn "/usr/include/$name" "$headers/$name"; done
  export WINEPREFIX="$top/.build/wine" WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= DISPLAY=
  [ -f "$WINEPREFIX/system.reg" ] || logged 'windows (wine)' /usr/lib/wine/wine64 wineboot --init || return
  logged 'windows (version)' /usr/lib/wine/wine64 reg add 'HKCU\Software\Wine' /v Version /d win10 /f  # else Windows 7
}

# Debian's packages for ARM64 are unpacked into a directory: to install them, the system would have to know the architecture.
# Boost, of which only headers are needed, is the system's.
prepare_arm64() {
  arm64=$top/.build/arm64-root
  wanted="libasio-dev libssl-dev zlib1g-dev libzstd-dev libcli11-dev libsqlite3-dev nlohmann-json3-dev catch2
    $(available libcatch2-dev)"
  if [ "$(cat "$arm64/packages" 2>/dev/null)" != "$wanted" ]; then
    logged 'arm64 (packages)' unpack arm64 "$arm64" $wanted || return
    ln -sfn /usr/include/boost "$arm64/usr/include/boost" && echo "$wanted" >"$arm64/packages" || return
  fi
  export PKG_CONFIG_SYSROOT_DIR="$arm64" BOOST_ROOT="$arm64/usr" \
    PKG_CONFIG_LIBDIR="$arm64/usr/lib/aarch64-linux-gnu/pkgconfig:$arm64/usr/lib/pkgconfig:$arm64/usr/share/pkgconfig"
}

run_config() {
  case $1 in
    clang-*) export CC=clang CXX=clang++; wrapper=sanitized ;;
    windows)
      if [ ! -f /usr/include/catch2/catch.hpp ]; then
        echo "needs Catch2 2, which is headers only" >"$results/windows.skipped"
        return
      fi
      unset CC CXX
      wrapper=
      prepare_windows || return ;;
    arm64)
      unset CC CXX
      wrapper= targets=arm64-tests
      ulimit -c 0  # an emulator writes a core file of its own, wherever it is
      prepare_arm64 || return ;;
    *) export CC=gcc CXX=g++; wrapper= ;;
  esac
  log=$top/.build/$1/meson-logs/testlog.json
  rm -f "$log"

  echo "== $1: building"
  logged "$1 (build)" build "$1" $(options "$1") || return
  echo "== $1: testing"
  $wrapper meson test -C "$top/.build/$1" --no-rebuild $(selection "$1")
  echo $? >"$results/$1.status"
  if [ -f "$log" ]; then cp "$log" "$results/$1.json"; fi
}

scripts_parse() {
  bash -n "$top/.ci/run" &&
    find "$top/tests" "$top/examples" "$top/bench" -name '*.sh' -exec sh -n {} \; 2>&1 | {
      ! grep .
    }
}

# Our files in shared memory, except those that existed before the tests.
shared_files() { (cd /dev/shm && ls -d belfry-test*) 2>/dev/null; }

nothing_left() {
  shared_files | comm -13 "$results/shared-before" - >"$results/shared-left"
  if [ -s "$results/shared-left" ]; then
    echo "the tests left these files in /dev/shm:"
    cat "$results/shared-left"
    return 1
  fi
}

# Only Debian on x86-64 is known to have all that Windows and ARM64 need.
cross_builds() { [ -f /etc/debian_version ] && [ "$(dpkg --print-architecture)" = amd64 ]; }

every=no
long=no
bench=disabled
configs=gcc
mode=run
while [ $# -gt 0 ]; do
  case $1 in
    --every) every=yes configs='gcc clang-asan clang-tsan windows arm64' ;;
    --long) long=yes bench=enabled ;;
    --only)
      shift
      case ${1-} in
        gcc | clang-asan | clang-tsan | windows | arm64) configs=$1 ;;
        *) usage >&2; exit 2 ;;
      esac ;;
    --packages) mode=packages ;;
    --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
skipped=
wanted=$configs configs=
for config in $wanted; do
  case $config in
    windows | arm64) cross_builds || { skipped="$skipped $config"; continue; } ;;
  esac
  configs="$configs $config"
done
groups='build tests'
case $configs in *clang*) groups="$groups clang" ;; esac
case $configs in *windows*) groups="$groups windows" ;; esac
case $configs in *arm64*) groups="$groups arm64" ;; esac
if [ $mode = packages ]; then packages $groups; exit; fi

export ASAN_OPTIONS=detect_stack_use_after_return=1:abort_on_error=1:print_legend=0:allow_addr2line=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:allow_addr2line=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:allow_addr2line=1

results=$top/.build/results
rm -rf "$results"
mkdir -p "$results" || exit 1
trap 'exit 130' INT
trap 'exit 143' TERM
shared_files >"$results/shared-before"

logged packages need $groups || command -v python3 >/dev/null || {
  echo "0 passed, 1 failed"
  exit 1
}
for config in $configs; do (run_config $config); done
for config in $skipped; do echo "needs Debian on x86-64" >"$results/$config.skipped"; done
check 'scripts parse' scripts_parse
check 'shared memory left clean' nothing_left
python3 "$top/tests/report.py" "$results"
