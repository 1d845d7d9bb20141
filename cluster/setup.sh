# Installs what the build needs and is not there; sourced by the other scripts, from the project's root. With
# needs_browser, a browser too: the tests look at the pages that benches and experiments write.

packages=()
need() { # need PACKAGE FILE...: the package is missing unless one of the files is there
  local package=$1 file
  shift
  for file in "$@"; do [ -e "$file" ] && return; done
  packages+=("$package")
}

if ! command -v swift >/dev/null; then
  echo "Swift 6.1 or later is needed: see https://www.swift.org/install" >&2
  exit 1
fi
command -v mpirun >/dev/null || packages+=(openmpi-bin)
need libopenmpi-dev /usr/lib/*/openmpi/include/mpi.h
need libdnnl-dev /usr/include/oneapi/dnnl/dnnl.h
need zlib1g-dev /usr/include/zlib.h
if [ -n "${needs_browser-}" ]; then
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
fi
command -v pkg-config >/dev/null || packages+=(pkg-config)

if [ ${#packages[@]} -gt 0 ]; then
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; then
    echo "Some packages are missing and installing them needs root. Run" >&2
    echo "  sudo apt-get update && sudo $install" >&2
    echo "and then this script again." >&2
    exit 1
  fi
  echo "installing ${packages[*]}"
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root $install -qq >/dev/null
fi

# mpirun refuses to work for root unless told twice.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
