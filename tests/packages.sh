# Functions of the run.sh scripts, which source this file: required packages, and how to make a build tree.
: "${top:?has to be the top of the repository}"

# packages GROUP…: the names of the packages, one per line, in this distribution (if it has apt).
packages() {
  for group; do
    case $group in
      build)
        printf '%s\n' g++ meson ninja-build pkg-config libasio-dev libssl-dev libcli11-dev libsqlite3-dev \
          nlohmann-json3-dev
        boost_package ;;
      tests)
        printf '%s\n' catch2 spin python3 cmake curl tmux
        available libnats-dev nats-server openssl  # for the bridge
        available herdtools7 ;;  # for litmus tests: later than Debian 13
      bench)
        printf '%s\n' strace python3 cmake
        available libzmq3-dev libnng-dev libiceoryx-posh-dev iceoryx libnats-dev nats-server ;;
      # Without munkres it would take scipy, which brings in Debian 12's older Boost.
      plots) printf '%s\n' python3-matplotlib python3-munkres ;;
      clang) printf '%s\n' clang; clang_runtime_package ;;
      windows) printf '%s\n' g++-mingw-w64-x86-64-posix wine wine64 ;;
      arm64) printf '%s\n' g++-aarch64-linux-gnu qemu-user ;;
    esac
  done
}

# available PACKAGE…: the packages that this distribution has; the benchmarks do without the others.
available() {
  for package; do
    LC_ALL=C apt-cache policy "$package" 2>/dev/null | grep -q '^ *Candidate: [^(]' && echo "$package"
  done
}

# Boost 1.77 or later: the distribution's default, or Debian 12's additional newer one.
boost_package() {
  version=$(LC_ALL=C apt-cache policy libboost-dev 2>/dev/null | sed -n 's/^ *Candidate: //p')
  if dpkg --compare-versions "${version:-0}" ge 1.77 2>/dev/null; then echo libboost-dev
  else echo libboost1.81-dev
  fi
}

# The sanitizers' library, which must match the compiler; otherwise Debian 12's.
clang_runtime_package() {
  version=$(clang++ -dumpversion 2>/dev/null | cut -d. -f1)
  [ "$version" ] || version=$(LC_ALL=C apt-cache depends clang 2>/dev/null |
    sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p')
  echo "libclang-rt-${version:-14}-dev"
}

# need GROUP…: installs the missing packages.
need() {
  if ! command -v apt-get >/dev/null; then need_commands "$@"; return; fi
  missing=$(missing_packages "$@")
  [ "$missing" ] || return 0
  if [ "$(id -u)" = 0 ]; then as_root=
  elif command -v sudo >/dev/null; then as_root=sudo
  else
    echo "missing packages, and neither root nor sudo to install them:" $missing >&2
    return 1
  fi
  echo "installing" $missing
  apt_get update || :  # an unreachable source may not matter; a missing package does
  apt_get install -y --no-install-recommends --no-remove $(missing_packages "$@") && return
  echo "could not install:" $(missing_packages "$@") >&2
  return 1
}

apt_get() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# unpack ARCHITECTURE DIRECTORY PACKAGE…: what these packages contain, without what they depend on. From the system's
# sources, but with lists of its own: the system does not get to know the architecture. All headers go to usr/include.
unpack() {
  architecture=$1 into=$2 lists=$2.apt
  shift 2
  rm -rf "$into" "$lists" && mkdir -p "$into" "$lists/lists/partial" "$lists/archives/partial" || return
  : >"$lists/status"
  (
    cd "$lists" || exit
    apt_with_own_lists update || :  # as in need
    apt_with_own_lists download "$@" && for package in *.deb; do dpkg -x "$package" "$into" || exit; done
  ) || return
  cp -r "$into"/usr/include/*-linux-gnu/. "$into/usr/include" && rm -rf "$lists"
}

apt_with_own_lists() {
  apt-get -q -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
    -o Dir::State="$lists" -o Dir::State::status="$lists/status" -o Dir::Cache="$lists" "$@" </dev/null
}

missing_packages() {
  for package in $(packages "$@"); do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

# Without apt: are the commands there? (Meson looks for the libraries.)
need_commands() {
  missing=
  for package in $(packages "$@"); do
    case $package in
      lib* | catch2 | python3-*) continue ;;
      ninja-build) name=ninja ;;
      clang) name=clang++ ;;
      g++-mingw-w64-x86-64-posix) name=x86_64-w64-mingw32-g++-posix ;;
      wine64) name=wine ;;
      *) name=$package ;;
    esac
    command -v "$name" >/dev/null || missing="$missing $name"
  done
  [ "$missing" ] || return 0
  echo "not found:$missing; please install them, and what else you lack of (names as in Debian):" \
    $(packages "$@") >&2
  return 1
}

# build CONFIG MESON_OPTION…: makes .build/CONFIG, or updates it. With $targets only these.
build() {
  tree=$top/.build/$1
  shift
  set -- "$@" "$tree" "$top"
  if [ -f "$tree/meson-private/coredata.dat" ]; then set -- --reconfigure "$@"; fi
  meson setup "$@" && meson compile -C "$tree" -j "$(getconf _NPROCESSORS_ONLN)" ${targets-}
}
