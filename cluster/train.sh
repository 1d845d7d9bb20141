#!/bin/bash
# Builds Lockstep and trains a network on this machine.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: cluster/train.sh [OPTION of lockstep train ...]

Installs what is missing, builds Lockstep, and trains on all CPUs of this machine. Without options it trains
ResNet-20 on glyphs, digits that the program draws itself, for two epochs.

  cluster/train.sh
  cluster/train.sh --model mlp --dataset mnist --data DIR --epochs 5
  RANKS=2 cluster/train.sh --model resnet20 --dataset cifar10 --data DIR --epochs 10

environment:
  RANKS    MPI ranks (default 1); the CPUs are divided among them
TEXT
}
case "${1-}" in -h | --help) usage; exit ;; esac
ranks=${RANKS:-1}
case "$ranks" in
  0 | *[!0-9]*)
    echo "RANKS is '$ranks'; it must be a number of MPI ranks, from 1" >&2
    exit 1
    ;;
esac

# Paths among the options are the caller's.
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
. cluster/setup.sh

echo "building Lockstep"
swift build -c release --product lockstep >.build-log 2>&1 || { cat .build-log >&2; exit 1; }
rm -f .build-log

[ $# -gt 0 ] || set -- --epochs 2 --batch-size 64 --schedule cosine
cd "$here"
set -- "$root/.build/release/lockstep" train "$@"
[ "$ranks" != 1 ] || exec "$@"
# Ranks divide the machine's CPUs by themselves. mpirun would bind each to one, and counts cores, of which a CPU may be
# half.
exec mpirun -np "$ranks" --oversubscribe --bind-to none "$@"
