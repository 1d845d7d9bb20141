#!/bin/sh
# Makes the Python environment in which the comparisons with PyTorch and JAX run.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "$here/../.." && pwd)/.build-peers/venv
packages="torch==2.13.0 jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 optax==0.2.8 numpy safetensors"

usage() {
  cat <<TEXT
usage: install.sh [--venv FOLDER] [-- PIP-OPTION...]

Makes a virtual environment with PyTorch 2.13.0, JAX 0.10.2, Flax 0.12.8, Optax 0.2.8, numpy and safetensors; it
needs Python 3.11 or later. Running it again is harmless: what is there and right is kept.

  --venv FOLDER   where (default: .build-peers/venv under the project's root)
  -- PIP-OPTION   options for 'pip install', such as --extra-index-url to take PyTorch's smaller CPU-only
                  build from the index its installation page names

Afterwards:
  .build-peers/venv/bin/python benchmarks/peers/agreement.py --help
TEXT
}

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --venv)
      [ $# -ge 2 ] || { echo "install.sh: --venv needs a folder" >&2; exit 2; }
      venv=$2
      shift 2
      ;;
    --) shift; break ;;
    *) echo "install.sh: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done

# ensurepip is what Debian leaves out of python3 without python3-venv.
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  install="apt-get install -y python3 python3-venv"
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "install.sh: python3 with venv is missing; running: $install"
    apt-get update -q && $install
  else
    echo "install.sh: python3 with venv is missing. Install it with:" >&2
    echo "  sudo $install" >&2
    exit 1
  fi
fi

# An interrupted creation leaves a folder without a working pip: complete it.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv "$venv"

# shellcheck disable=SC2086 # the list of packages is meant to be split
"$venv/bin/python" -m pip install --quiet "$@" $packages

"$venv/bin/python" - <<'PYTHON'
import flax, jax, numpy, optax, safetensors, sys, torch

modules = torch, jax, flax, optax, numpy, safetensors
print(f"{sys.prefix}: " + ", ".join(f"{module.__name__} {module.__version__}" for module in modules))
PYTHON
