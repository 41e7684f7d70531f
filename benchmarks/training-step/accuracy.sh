#!/usr/bin/env bash
# Does training reach the same accuracy with our kernels, in f32 and bf16, and with the engine's own operations? SimCLR's loss with two
# encoders on CIFAR-10, small encoder, batches of 64. Can be stopped and called again. Prints kNN accuracies by seed.
#
#   benchmarks/training-step/accuracy.sh OUT_FOLDER DATA_ROOT RUNS_FOLDER
#
# WITHOUT names a `lookalike` that was built with without-kernels.patch applied; absent: those runs are left out. SEEDS="0 1 2", EPOCHS=2.
# BUILT, BACKGROUND and SET: see ../common.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results} data=${2:?folder of the data sets} runs=${3:?folder for the runs}
# shellcheck source=benchmarks/common.sh
. "$here/../common.sh"
recipe=$root/recipes/end-to-end-cifar10.toml

arms=(f32 bf16)
[[ -n ${WITHOUT:-} ]] && arms+=(engine)
for seed in ${SEEDS:-0 1 2}; do
  for arm in "${arms[@]}"; do
    run=$runs/$arm.$seed program=$lookalike precision=$arm
    [[ $arm == engine ]] && program=$WITHOUT precision=f32
    words=("seed=$seed" "train.epochs=${EPOCHS:-2}" "train.precision=$precision" "${everywhere[@]}")
    made_of "$run" "$recipe" "$arm" "${words[@]}"
    [[ -e $run/evaluation.json ]] && continue
    settings=()
    for word in "${words[@]}"; do settings+=(--set "$word"); done
    if [[ -e $run/recipe.toml ]]; then
      "${background[@]}" "$program" train --resume "$run"
    else
      "${background[@]}" "$program" train "$recipe" --data-root "$data" --out "$run" "${settings[@]}"
    fi
  done
done
for run in "$runs"/*.*; do
  [[ -e $run/evaluation.json ]] || continue
  printf '%s %s\n' "$(basename "$run")" "$(grep -o '"knn": [0-9.]*' "$run/evaluation.json" | cut -d' ' -f2)"
done | tee "$out/accuracy.txt"
