#!/usr/bin/env bash
# Uniform, kNN and look-alike batches on CIFAR-10 (three seeds) and Fashion-MNIST (one seed), small encoder. Can be stopped at any
# moment and called again: finished runs are kept, a broken one goes on from its checkpoint. Prints the tables at the end.
#
#   benchmarks/look-alikes/run.sh OUT_FOLDER DATA_ROOT RUNS_FOLDER
#
# DATA_ROOT holds cifar-10-batches-bin/ and fashion-mnist/. Seeds: SEEDS="0 1 2". A run takes about three minutes on two cores.
# BUILT, BACKGROUND and SET: see ../common.sh. Runs that were begun with other settings are refused, not mixed with these.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results} data=${2:?folder of the data sets} runs=${3:?folder for the runs}
seeds=${SEEDS:-0 1 2}
# shellcheck source=benchmarks/common.sh
. "$here/../common.sh"

# train NAME RECIPE ROOT SETTING...
train() {
  local run=$runs/$1 recipe=$2 folder=$3
  shift 3
  made_of "$run" "$root/recipes/$recipe" "$@" "${everywhere[@]}"
  [[ -e $run/evaluation.json ]] && return
  if [[ -e $run/recipe.toml ]]; then
    "${background[@]}" "$lookalike" train --resume "$run"
  else
    local settings=() setting
    for setting in "$@" "${everywhere[@]}"; do settings+=(--set "$setting"); done
    "${background[@]}" "$lookalike" train "$root/recipes/$recipe" --data-root "$folder" --out "$run" "${settings[@]}"
  fi
}

declare -A arms=(
  [uniform]='sampler.kind=uniform'
  [nearest-repeat]='sampler.kind=nearest sampler.coverage=repeat'
  [walk-repeat]='sampler.kind=walk sampler.coverage=repeat'
  [walk-cover]='sampler.kind=walk sampler.coverage=cover'
)
for seed in $seeds; do
  for arm in uniform nearest-repeat walk-repeat walk-cover; do
    # shellcheck disable=SC2086 # an arm is a list of settings
    train "cifar10.$arm.$seed" cifar10-lookalike.toml "$data" "seed=$seed" ${arms[$arm]}
  done
done
for arm in uniform walk-cover; do
  run=fashion-mnist.$arm.0
  # shellcheck disable=SC2086
  train "$run" fashion-mnist-simclr.toml "$data/fashion-mnist" seed=0 ${arms[$arm]}
  grep -q '"linear"' "$runs/$run/evaluation.json" ||
    "${background[@]}" "$lookalike" evaluate "$runs/$run" --set evaluate.probe_labels_per_class=10
done

for run in "$runs"/*.*.*; do
  IFS=. read -r set arm seed <<< "$(basename "$run")"
  cp "$run/events.jsonl" "$out/$set.$arm.$seed.events.jsonl"
  printf '{"set":"%s","arm":"%s","seed":%s,"evaluation":%s}\n' "$set" "$arm" "$seed" "$(tr -d '\n' < "$run/evaluation.json")"
done > "$out/results.jsonl"
cp "$runs/cifar10.walk-cover.0/recipe.toml" "$out/cifar10.toml"
cp "$runs/fashion-mnist.walk-cover.0/recipe.toml" "$out/fashion-mnist.toml"
"$target/release/examples/arms" "$out" uniform | tee "$out/summary.txt"
