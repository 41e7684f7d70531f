#!/usr/bin/env bash
# The tables of clustering: each arm and seed a run of the built-in digits, two at a time with a thread each; every run goes on where it
# was stopped, and its evaluation stands in its folder.
#
#   benchmarks/clustering/arms.sh FOLDER [COMMAND]        runs what is not there yet (COMMAND: lookalike)
#   benchmarks/clustering/arms.py FOLDER                  prints the tables
set -euo pipefail

folder=${1:?a folder for the runs}
lookalike=$(realpath "${2:-target/release/lookalike}")
recipes=$(cd "$(dirname "$0")/../../recipes" && pwd)
mkdir -p "$folder"
cd "$folder"
export RAYON_NUM_THREADS=1

look_alikes=(--set sampler.kind=walk)
split=("${look_alikes[@]}" --set sampler.uniform_every=2 --set method.columns=uniform)
# All in as many steps, of batches as large; heads and temperatures as each method has them.
moco=(--set method.kind=moco --set method.clusters= --set method.momentum=0.99 --set loss.temperature=0.2
  --set negatives.kind=queue --set negatives.size=2048)

arm() {
  case $1 in
    uniform) ;;
    longer) printf '%s\n' --set train.epochs=60 ;;
    simclr) printf '%s\n' --set method.kind=simclr --set method.clusters= --set 'method.projection={ batch_norm = "hidden" }' ;;
    moco) printf '%s\n' "${moco[@]}" ;;
    mochi) printf '%s\n' "${moco[@]}" --set 'negatives.mixing={ hardest = 256, between = 256, with_query = 32, warm_up = 0.05 }' ;;
    split) printf '%s\n' "${split[@]}" ;;
    everywhere) printf '%s\n' "${look_alikes[@]}" ;;
    # At this length the head is sure of nobody at 0.99: then nothing is left out, to the bit.
    oracle-head) printf '%s\n' "${split[@]}" --set 'train.oracle={ kind = "head", confidence = 0.5 }' ;;
    oracle-*) printf '%s\n' "${split[@]}" --set "train.oracle={ kind = \"${1#oracle-}\" }" ;;
  esac
}

run() {
  local name=$1-$2 options
  [[ ! -f $name/evaluation.json ]] || return 0
  mapfile -t options < <(arm "$1")
  if [[ -d $name ]]; then
    "$lookalike" train --resume "$name" >>"$name.log" 2>&1
  else
    "$lookalike" train "$recipes/clustering-digits.toml" --out "$name" --set "seed=$2" --set evaluate.after_training=false \
      "${options[@]}" >"$name.log" 2>&1
  fi
  "$lookalike" evaluate "$name" >>"$name.log" 2>&1
  printf '%s\n' "$name"
}

for seed in 0 1 2; do
  for name in uniform everywhere split simclr oracle-kmeans oracle-labels moco mochi oracle-head longer; do
    while (($(jobs -rp | wc -l) >= ${AT_A_TIME:-2})); do wait -n; done
    run "$name" "$seed" &
  done
done
wait
