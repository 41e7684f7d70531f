#!/usr/bin/env bash
# GraphCL and MVGRL with uniform, kNN and look-alike batches, scored by the published protocol. Can be stopped at any moment and
# called again: finished runs are kept, a broken one goes on from its checkpoint. Prints the tables of what is there at the end.
#
#   benchmarks/graphs/run.sh OUT_FOLDER DATA_ROOT RUNS_FOLDER [ROW…]
#
# A ROW is a recipe's name, `-paper` or `-original` behind it, graphcl-mutag-paper for instance, or mvgrl-cora, which has no variants; all of
# the table without one. DATA_ROOT holds the sets by name or below tu/ and planetoid/. SEEDS="0 1 2 3 4", ARMS="uniform nearest walk",
# SET="key=value …" for all runs. Every seed is scored on its own draw of folds, as published (FOLD_SEEDS=1), or nodes on their split by a
# linear probe. BACKGROUND names a command that every run is started by, such as `nice`. Runs that
# were begun with other settings are refused, not mixed with these.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results} data=${2:?folder of the data sets} runs=${3:?folder for the runs}
shift 3
rows=("$@")
((${#rows[@]})) || rows=(
  graphcl-mutag-paper graphcl-mutag-original graphcl-proteins-paper graphcl-imdb-b-paper
  mvgrl-mutag-paper mvgrl-mutag-original mvgrl-imdb-b-paper mvgrl-imdb-b-original
  graphcl-nci1-paper graphcl-nci1-original graphcl-collab-paper mvgrl-cora
)
read -ra seeds <<< "${SEEDS:-0 1 2 3 4}"
read -ra arms <<< "${ARMS:-uniform nearest walk}"
# shellcheck source=benchmarks/common.sh
. "$here/../common.sh"

# The recipe of ROW.
recipe_of() {
  if [[ -e $root/recipes/$1.toml ]]; then echo "$root/recipes/$1.toml"; else echo "$root/recipes/${1%-*}.toml"; fi
}

# What sets a run of ROW with batches of ARM from SEED apart from its recipe.
settings_of() {
  local row=$1 arm=$2 seed=$3 variant=
  [[ -e $root/recipes/$row.toml ]] || variant="method.variant=${row##*-} "
  echo "${variant}sampler.kind=$arm seed=$seed ${everywhere[*]}"
}

# How many draws of folds the runs of ROW are scored on; nothing for nodes, which have a split.
folds_of() {
  grep -q '^kind = "mvgrl-nodes"' "$(recipe_of "$1")" || echo "evaluate.fold_seeds=$2"
}

# Trains and scores RUN of ROW with batches of ARM from SEED; what it prints goes to the run's log.txt.
run() {
  local run=$1 row=$2 arm=$3 seed=$4 settings=() setting beside=nothing folds
  folds=$(folds_of "$row" "${FOLD_SEEDS:-1}")
  for setting in $(settings_of "$row" "$arm" "$seed"); do settings+=(--set "$setting"); done
  [[ $arm == uniform ]] && beside=untrained
  {
    # A caller that looks at the status switches `set -e` off in here.
    if [[ -e $run/recipe.toml ]]; then
      "${background[@]}" "$lookalike" train --resume "$run" || return
    else
      "${background[@]}" "$lookalike" train "$(recipe_of "$row")" --data-root "$data" --out "$run" "${settings[@]}" || return
    fi
    # A run ends with what one draw of folds gives: that is not computed again where nothing stands beside it.
    if [[ $beside == nothing && $folds == evaluate.fold_seeds=1 ]]; then
      cp "$run/evaluation.json" "$run/scored.part" || return
    else
      "${background[@]}" "$lookalike" evaluate "$run" --beside "$beside" ${folds:+--set "$folds"} --json > "$run/scored.part" || return
    fi
  } >> "$run/log.txt" 2>&1
  mv "$run/scored.part" "$run/scored.json"
}

total=$((${#rows[@]} * ${#arms[@]} * ${#seeds[@]})) done=0 made=0 begun=$SECONDS
for row in "${rows[@]}"; do
  for seed in "${seeds[@]}"; do
    for arm in "${arms[@]}"; do
      name=$row.$arm.$seed
      # shellcheck disable=SC2046 # lists of settings
      made_of "$runs/$name" "$(recipe_of "$row")" $(settings_of "$row" "$arm" "$seed") $(folds_of "$row" "${FOLD_SEEDS:-1}")
      if [[ ! -e $runs/$name/scored.json ]]; then
        run "$runs/$name" "$row" "$arm" "$seed" || {
          status=$?
          echo "ended with $status, see $runs/$name/log.txt" >&2
          tail -n 3 "$runs/$name/log.txt" >&2
          exit "$status"
        }
        made=$((made + 1))
      fi
      done=$((done + 1))
      left=$((made ? (SECONDS - begun) * (total - done) / made : 0))
      bar=$(printf '%*s' $((30 * done / total)) '')
      printf '[%-30s] %d of %d, %s, %d s spent, about %d s left\n' "${bar// /#}" "$done" "$total" "$name" $((SECONDS - begun)) "$left" >&2
    done
  done
done

# What needs no training is the same for all arms and seeds: once, on all draws of folds.
for row in "${rows[@]}"; do
  run=$runs/$row.${arms[0]}.${seeds[0]}
  [[ -e $run/beside.json ]] && continue
  echo "$row: what needs no training" >&2
  folds=$(folds_of "$row" "${#seeds[@]}")
  "${background[@]}" "$lookalike" evaluate "$run" ${folds:+--set "$folds"} --json > "$run/beside.part" 2>> "$run/log.txt"
  mv "$run/beside.part" "$run/beside.json"
done

for row in "${rows[@]}"; do
  for arm in "${arms[@]}"; do
    for seed in "${seeds[@]}"; do
      run=$runs/$row.$arm.$seed
      printf '{"set":"%s","arm":"%s","seed":%s,"evaluation":%s}\n' "$row" "$arm" "$seed" "$(tr -d '\n' < "$run/scored.json")"
      if [[ -e $run/beside.json ]]; then cp "$run/beside.json" "$out/$row.beside.json"; fi
      cp "$run/events.jsonl" "$out/$row.$arm.$seed.events.jsonl"
      cp "$run/recipe.toml" "$out/$row.$arm.toml"
    done
  done
done > "$out/results.jsonl"
{
  for score in svm linear; do
    table=$("$target/release/examples/arms" "$out" uniform "$score")
    [[ -z $table ]] || printf '%s\n\n' "$table"
  done
  "$target/release/examples/arms" "$out" uniform
} | tee "$out/summary.txt"
