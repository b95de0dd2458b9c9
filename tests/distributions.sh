#!/bin/sh
# Runs both commands on bare machines: minimal roots of Debian releases, into which the last commit is cloned.
# Prints a line for each command; the last line printed is "N passed, M failed".
set -u
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1

usage() {
  cat <<'END'
sh tests/distributions.sh [--mirror URL] [--roots DIRECTORY] [RELEASE…]   (as root; needs debootstrap and git)
  RELEASE            bookworm, trixie, sid: all of them by default
  --mirror URL       where the packages come from; by default where this machine's do, if it is a Debian
  --roots DIRECTORY  bare roots are kept in it, and used the next time; what is run is run in copies of them
END
}

# apt's mirror; if none is configured debootstrap uses its own.
configured_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Identifier: Packages' 2>/dev/null |
    sed -n 's/ Debian Debian$//p' | head -n 1
}

# bare_root RELEASE: makes the root, unless it exists.
bare_root() {
  [ -d "$roots/$1" ] && return
  rm -rf "$roots/$1.new"
  case $mirror in
    https:*) include=--include=ca-certificates ;;
    *) include= ;;
  esac
  debootstrap --variant=minbase $include "$1" "$roots/$1.new" $mirror >"$logs/$1-root.log" 2>&1 || {
    tail -n 20 "$logs/$1-root.log"
    return 1
  }
  cp -L /etc/resolv.conf "$roots/$1.new/etc/"
  # A mirror may be a snapshot of an earlier day.
  echo 'Acquire::Check-Valid-Until "false";' >"$roots/$1.new/etc/apt/apt.conf.d/99snapshot"
  mv "$roots/$1.new" "$roots/$1"
}

# inside ROOT COMMAND: runs it in the clone, with its own processes, mounts and shared memory. The last line
# on descriptor 4 is its processor time.
inside() {
  root=$1 command=$2 unshare --mount --pid --fork --kill-child sh -c '
    mount --rbind /dev "$root/dev" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
      mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys" || exit 1
    env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+"http_proxy=$http_proxy"} \
      ${https_proxy:+"https_proxy=$https_proxy"} chroot "$root" sh -c "cd /root/belfry && $command" 4>&-
    status=$?
    times >&4  # its own, and that of its children
    exit $status' </dev/null
}

# The versions of the tools it was tried with.
versions() {
  chroot "$1" dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' \
    'g++-[0-9]*' 'libasio-dev' 'libboost*-dev' 'catch2' 'meson' 'python3' 'libssl-dev' 'libc6' 2>/dev/null |
    sed -n 's/^installed //p' | paste -s -d , | sed 's/,/, /g'
}

# result NAME STATUS [COST]
result() {
  if [ "$2" = 0 ]; then
    passed=$((passed + 1))
    echo "$1: passed${3:+ (processor time $3)}"
  else
    failed=$((failed + 1))
    echo "$1: FAILED"
  fi
}

try() {  # try RELEASE
  echo "== $1: making a bare root"
  if ! bare_root "$1" || ! rm -rf "$roots/$1.run" || ! cp -a "$roots/$1" "$roots/$1.run" ||
    ! git clone -q --no-hardlinks "$top" "$roots/$1.run/root/belfry"; then
    for command in examples tests; do result "$1: sh $command/run.sh" 1; done
    return
  fi
  for command in examples tests; do
    log=$logs/$1-$command.log
    inside "$roots/$1.run" "sh $command/run.sh" >"$log" 2>&1 4>"$logs/cost"
    status=$?
    [ $status = 0 ] || tail -n 100 "$log"
    tail -n 1 "$log"
    result "$1: sh $command/run.sh" $status "$(tail -n 1 "$logs/cost")"
  done
  echo "$1: $(versions "$roots/$1.run")"
  rm -rf "$roots/$1.run"
}

mirror=$(configured_mirror)
given=
releases=
while [ $# -gt 0 ]; do
  case $1 in
    --mirror) mirror=${2-}; shift ;;
    --roots) given=${2-}; shift ;;
    --help) usage; exit ;;
    bookworm | trixie | sid) releases="$releases $1" ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "only root can do that" >&2; exit 1; }
for tool in debootstrap git unshare; do
  command -v $tool >/dev/null || { echo "there is no $tool" >&2; exit 1; }
done
http_proxy=${http_proxy-$(eval "$(apt-config shell p Acquire::http::Proxy 2>/dev/null)"; echo "${p-}")}
https_proxy=${https_proxy-$http_proxy}
export http_proxy https_proxy

logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
roots=${given:-$logs/roots}
mkdir -p "$roots" || exit 1
roots=$(CDPATH= cd -- "$roots" && pwd -P) || exit 1
passed=0 failed=0
for release in ${releases:-bookworm trixie sid}; do try "$release"; done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
