#!/usr/bin/env bash
# Dictionaries and harder negatives on CIFAR-10 with the small encoder: supervised, end to end, MoCo v2, MoCHi, the class oracle, memory
# bank, HCL, no momentum, and queues of four sizes; with uniform batches and with look-alikes. Can be stopped at any moment and called again:
# finished runs are kept, a broken one goes on from its checkpoint. Prints the table of what is there at the end.
#
#   benchmarks/dictionaries/run.sh OUT_FOLDER DATA_ROOT RUNS_FOLDER
#
# DATA_ROOT holds cifar-10-batches-bin/. SEEDS="0 1 2", EPOCHS=5 (part b needs as many: its first epoch is of uniform batches, and it stops
# after a quarter), PARTS="a b c d" (see below); to try it out SET="key=value …" for all runs, and STEPS, what a run of another data set has,
# of which the shares are. BUILT says that the programs are there. BACKGROUND names a command that every run is started by, such as `nice`.
# Runs that were begun with other settings are refused, not mixed with these.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results} data=${2:?folder of the data sets} runs=${3:?folder for the runs}
seeds=${SEEDS:-0 1 2} epochs=${EPOCHS:-5} parts=${PARTS:-a b c d}
# shellcheck source=benchmarks/common.sh
. "$here/../common.sh"

# Trains RUN by RECIPE with SETTING… to its end, stopping to evaluate after the shares of its steps that STOPS names.
train() {
  local run=$runs/$1 recipe=$2 stops=$3 settings=() setting stop steps
  shift 3
  made_of "$run" "$root/recipes/$recipe" "$@" "train.epochs=$epochs" "${everywhere[@]}"
  [[ -e $run/done ]] && return
  for setting in "$@" "train.epochs=$epochs" "${everywhere[@]}"; do settings+=(--set "$setting"); done
  for stop in $stops 100; do
    [[ -e $run/evaluation-$stop.json ]] && continue
    if [[ $stop == 100 ]]; then
      # A run's own length: more than any.
      steps=1000000000
    else
      steps=$(($(total "$recipe" "${settings[@]}") * stop / 100))
    fi
    if [[ -e $run/recipe.toml ]]; then
      "${background[@]}" "$lookalike" train --resume "$run" --set "train.max_steps=$steps"
    else
      "${background[@]}" "$lookalike" train "$root/recipes/$recipe" --data-root "$data" --out "$run" "${settings[@]}" \
        --set "train.max_steps=$steps"
    fi
    [[ $stop == 100 ]] && "${background[@]}" "$lookalike" evaluate "$run" > "$run/evaluation.txt"
    cp "$run/evaluation.json" "$run/evaluation-$stop.json"
  done
  touch "$run/done"
}

# Steps of a whole run: of batches of 64 of 50,000 images, unless SET says otherwise by STEPS.
total() { echo "${STEPS:-$((epochs * 50000 / 64))}"; }

lookalikes=(sampler.kind=walk sampler.coverage=cover sampler.candidates=1000 sampler.neighbors=100 sampler.uniform_epochs=1)
mixing() { echo "negatives.mixing={hardest=$1,between=$2,with_query=$3}"; }

# The arms of one kind of batches, $1 being what their names begin with.
arms() {
  local name=$1 seed
  shift
  for seed in $seeds; do
    train "cifar10.${name}supervised.$seed" supervised-cifar10.toml "" "seed=$seed" "$@"
    train "cifar10.${name}end-to-end.$seed" end-to-end-cifar10.toml "" "seed=$seed" "$@"
    train "cifar10.${name}moco-v2.$seed" moco-v2-cifar10.toml "25 50" "seed=$seed" "$@"
    train "cifar10.${name}mochi-1024-1024-128.$seed" mochi-cifar10.toml "25 50" "seed=$seed" "$@"
    train "cifar10.${name}mochi-oracle.$seed" mochi-oracle-cifar10.toml "25 50" "seed=$seed" "$@"
  done
}

for part in $parts; do
  case $part in
    a) arms "" ;;
    b) arms lookalike- "${lookalikes[@]}" ;;
    c)
      for seed in $seeds; do
        train "cifar10.memory-bank.$seed" memory-bank-cifar10.toml "" "seed=$seed"
        train "cifar10.hcl.$seed" hcl-cifar10.toml "" "seed=$seed"
        train "cifar10.mochi-1024-256-512.$seed" mochi-cifar10.toml "25 50" "seed=$seed" "$(mixing 1024 256 512)"
        train "cifar10.mochi-1024-128-256.$seed" mochi-cifar10.toml "25 50" "seed=$seed" "$(mixing 1024 128 256)"
        train "cifar10.no-momentum.$seed" moco-no-momentum.toml "" "seed=$seed"
      done
      ;;
    d)
      for size in 256 1024 16384; do
        train "cifar10.queue-$size.0" moco-v2-cifar10.toml "25 50" seed=0 "negatives.size=$size"
      done
      ;;
    *) echo "no part $part" >&2 && exit 2 ;;
  esac
done

number() { grep -o '"knn": [0-9.]*' "$1" 2>/dev/null | cut -d' ' -f2 || true; }
for run in "$runs"/cifar10.*.*; do
  [[ -e $run/done ]] || continue
  IFS=. read -r set arm seed <<< "$(basename "$run")"
  cp "$run/events.jsonl" "$out/$set.$arm.$seed.events.jsonl"
  more=""
  for stop in 25 50; do
    knn=$(number "$run/evaluation-$stop.json")
    [[ -n $knn ]] && more+="\"knn_$stop\": $knn, "
  done
  evaluation=$(tr -d '\n' < "$run/evaluation-100.json")
  printf '{"set":"%s","arm":"%s","seed":%s,"evaluation":{%s%s}\n' "$set" "$arm" "$seed" "$more" "${evaluation#\{}"
  cp "$run/recipe.toml" "$out/$set.$arm.toml"
done > "$out/results.jsonl"
"$target/release/examples/arms" "$out" moco-v2 | tee "$out/summary.txt"
