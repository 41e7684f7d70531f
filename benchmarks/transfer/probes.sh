#!/usr/bin/env bash
# Scores what pretrain.sh trained: feature maps on nuclei and on persons of coco-mini, by a linear probe of pixels and by similar patches; of
# the runs on CIFAR-10 also the linear probe on 1 % and 10 % of the labels, and fine-tuning on these. Can be stopped and called again.
#
#   benchmarks/transfer/probes.sh DATA_ROOT RUNS_FOLDER
#
# SEEDS="0 1 2"; LOOKALIKE is the program. benchmarks/transfer/tables.py prints the tables.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:?folder of the data sets} runs=${2:?folder of the runs}
lookalike=${LOOKALIKE:-lookalike}

# Scores RUN in FILE, with OPTION….
score() {
  local run=$runs/$1 file=$runs/$1/$2
  shift 2
  [[ -e $file ]] || "$lookalike" evaluate "$run" --out "$file" "$@" > /dev/null
}

# Fine-tunes FROM, `random` for no run, on SHARE of the labels.
tune() {
  local from=$1 seed=$2 share=$3 run=$runs/tuned.$1.$2.$3 weights=
  [[ -e $run/done ]] && return
  [[ $from == random ]] || weights=$runs/cifar10.$from.$seed/model.safetensors
  rm -rf "$run"
  "$lookalike" train "$root/recipes/fine-tune-cifar10.toml" --data-root "$data" --out "$run" --set "seed=$seed" --set "data.share=$share" \
    --set "encoder.weights=$weights" --set evaluate.raw_input=false > /dev/null
  touch "$run/done"
}

data=$(cd "$data" && pwd)
sets="evaluate.segmentation=[\"$data/nuclei\", \"$data/coco-mini-person\"]"
# A quarter of the probe's epochs: every arm takes a minute instead of four.
short=evaluate.segmentation_epochs=10
for seed in ${SEEDS:-0 1 2}; do
  for arm in simclr look-alikes moco-v2 mochi supervised; do
    # The untrained encoder and what needs none are those of every arm.
    beside=nothing
    [[ $arm == simclr ]] && beside=all
    score "cifar10.$arm.$seed" transfer.json --beside $beside --set "$sets" --set "$short" --set data.share=0.01
    score "cifar10.$arm.$seed" ten.json --beside $beside --set data.share=0.1
  done
  for arm in simclr look-alikes moco-v2 mochi; do
    beside=nothing
    [[ $arm == simclr ]] && beside=untrained
    score "nuclei.$arm.$seed" transfer.json --no-probe --beside $beside --set "$sets" --set "$short"
  done
done
for seed in ${SEEDS:-0 1 2}; do
  for arm in random simclr look-alikes moco-v2 mochi supervised; do
    for share in 0.01 0.1; do tune $arm "$seed" $share; done
  done
done
