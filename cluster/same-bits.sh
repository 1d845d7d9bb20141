#!/usr/bin/env bash
# Trains the same run on every layout of ranks x threads and compares the saved models, byte by byte.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: cluster/same-bits.sh [options]

Trains mlp, vgg11 and resnet20 for some steps on 1x1, 1x2, 2x1, 2x2, 3x1, 1x3, 4x1 and 5x1 (ranks x threads), and
compares the saved models with cmp: an even batch, an uneven one, last batches of an epoch that are smaller, dropout and
augmentation, bf16. Runs 1x1 twice, and stops half-way on 2x2 to go on on 3x1. Prints a table, ends with 1 at the first
difference.

  --short            5 steps of mlp and resnet20 on 1x1, 2x1, 1x3 and 5x1
  --models A,B,...   these models only
  --steps N          optimizer steps (default: 12)
  --lockstep PATH    the program (default: .build/release/lockstep)
  --mpirun WORDS     the launcher (default: mpirun --oversubscribe --bind-to none)
  --help             this text

LOCKSTEP_DATA may name a folder with CIFAR-10 (cifar-10-batches-bin) to augment; otherwise files of its format are made
from the program's own bytes.
USAGE
}

layouts="1x1 1x2 2x1 2x2 3x1 1x3 4x1 5x1"
models="mlp vgg11 resnet20"
steps=12
lockstep=$(cd "$(dirname "$0")/.." && pwd)/.build/release/lockstep
mpirun="mpirun --oversubscribe --bind-to none"
[ "$(id -u)" -ne 0 ] || mpirun="$mpirun --allow-run-as-root"

while [ $# -gt 0 ]; do
  case $1 in
    --short) layouts="1x1 2x1 1x3 5x1" models="mlp resnet20" steps=5 ;;
    --models) models=${2//,/ }; shift ;;
    --steps) steps=$2; shift ;;
    --lockstep) lockstep=$2; shift ;;
    --mpirun) mpirun=$2; shift ;;
    --help) usage; exit 0 ;;
    *) echo "same-bits.sh: unknown option $1; see --help" >&2; exit 64 ;;
  esac
  shift
done
[ -x "$lockstep" ] || { echo "same-bits.sh: no program $lockstep; run swift build -c release" >&2; exit 1; }

export OMPI_MCA_btl_vader_single_copy_mechanism=none
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# 210 images as CIFAR-10 stores them: a label, then 3072 bytes, here any.
make_images() {
  mkdir -p "$folder/cifar"
  local file image=0
  for file in data_batch_{1,2,3,4,5} test_batch; do
    for _ in $(seq 42); do
      printf "\\x0$((image % 10))"
      # dd reads exactly what it skips to: the program has more bytes than the images need.
      dd if="$lockstep" bs=3072 skip="$image" count=1 status=none
      image=$((image + 1))
    done > "$folder/cifar/$file.bin"
  done
}

# run LAYOUT SAVED OPTION... trains on ranks x threads.
run() {
  local ranks=${1%x*} threads=${1#*x} saved=$2
  shift 2
  local launch=""
  [ "$ranks" -eq 1 ] || launch="$mpirun -np $ranks"
  # The launcher is meant to be split into words.
  if ! $launch "$lockstep" train --threads "$threads" --save "$saved" "$@" > "$folder/log" 2>&1; then
    echo "failed"
    cat "$folder/log" >&2
    exit 1
  fi
}

same() {
  if ! cmp -s "$folder/reference" "$folder/saved"; then
    printf ' DIFFERS\n'
    cmp "$folder/reference" "$folder/saved" >&2 || true
    exit 1
  fi
  printf ' %7s' same
}

# matrix NAME OPTION... prints a row of the table.
matrix() {
  printf '%-40s' "$1"
  shift
  run 1x1 "$folder/reference" "$@" --steps "$steps"
  for layout in $layouts; do
    run "$layout" "$folder/saved" "$@" --steps "$steps"
    same
  done
  rm -rf "$folder/checkpoint"
  run 2x2 "$folder/half" "$@" --steps $((steps / 2)) --checkpoint "$folder/checkpoint"
  run 3x1 "$folder/saved" "$@" --steps "$steps" --checkpoint "$folder/checkpoint" --resume
  same
  printf '\n'
}

if [ -n "${LOCKSTEP_DATA:-}" ] && [ -d "$LOCKSTEP_DATA/cifar-10-batches-bin" ]; then
  images=$LOCKSTEP_DATA
else
  make_images
  images=$folder/cifar
fi

printf '%-40s' "ranks x threads"
for layout in $layouts; do printf ' %7s' "$layout"; done
printf ' %7s\n' "2x2,3x1"
for model in $models; do
  random=(--model "$model" --dataset random --shape 3,32,32 --classes 10 --shards 8)
  matrix "$model, batch 96" "${random[@]}" --batch-size 96
  matrix "$model, batch 50" "${random[@]}" --batch-size 50
  [ "$model" = vgg11 ] || matrix "$model, batch 50, bf16" "${random[@]}" --batch-size 50 --precision bf16
  # 2048 = 4 x 509 + 12 samples, for a model that is quick enough.
  [ "$model" != mlp ] || matrix "$model, batch 509 and 12" "${random[@]}" --batch-size 509
  matrix "$model, batch 50, augmented, dropout" --model "$model" --dataset cifar10 --data "$images" --shards 8 \
    --batch-size 50 --augment --dropout 0.2
done
