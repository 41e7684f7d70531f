#!/usr/bin/env bash
# Pretrains the arms whose representations are compared elsewhere: supervised, SimCLR, SimCLR with look-alikes, MoCo v2 and MoCHi with the
# small encoder (a) on a fifth of CIFAR-10 and, but for the first, (b) on tiles of the nuclei's own training images; and (c) SimCLR with a ResNet-18 and
# torchvision's stem on larger tiles of these, for detectors. Can be stopped and called again: a broken run goes on from its checkpoint.
#
#   benchmarks/transfer/pretrain.sh DATA_ROOT RUNS_FOLDER
#
# DATA_ROOT holds cifar-10-batches-bin/ and nuclei/. SEEDS="0 1 2"; LOOKALIKE is the program, PYTHON has Pillow.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:?folder of the data sets} runs=${2:?folder for the runs}
lookalike=${LOOKALIKE:-lookalike} python=${PYTHON:-python3}
mkdir -p "$runs"

tiles() { [[ -d $runs/$1 ]] || "$python" "$root/benchmarks/transfer/tiles.py" "$data/nuclei/images/train" "$runs/$1" "${@:2}"; }

# Trains RUN by RECIPE on the data of ROOT with SETTING… to its end.
train() {
  local run=$runs/$1 recipe=$root/recipes/$2 from=$3 settings=() setting
  shift 3
  [[ -e $run/done ]] && return
  for setting in "$@"; do settings+=(--set "$setting"); done
  if [[ -e $run/recipe.toml ]]; then
    "$lookalike" train --resume "$run"
  else
    "$lookalike" train "$recipe" --data-root "$from" --out "$run" "${settings[@]}"
  fi
  touch "$run/done"
}

# A small encoder sees 10,000 images of CIFAR-10 five times in views of 24 pixels, or 1,904 tiles of 48 pixels 20 times in views of 32.
small=(data.name=folder augment.size=32 train.epochs=20 evaluate.after_training=false)
walk=("sampler.candidates=500" "sampler.neighbors=50" "sampler.refresh_every=30" "sampler.uniform_epochs=4"
  "sampler.restart={from=0.2,to=0.05,over_epochs=20.0}")
tiles tiles-48 --side 48 --each 16
for seed in ${SEEDS:-0 1 2}; do
  own=("seed=$seed" data.share=0.2 train.epochs=5 evaluate.after_training=false)
  train "cifar10.supervised.$seed" supervised-cifar10.toml "$data" "${own[@]}"
  train "cifar10.simclr.$seed" cifar10-lookalike.toml "$data" "${own[@]}" sampler.kind=uniform
  train "cifar10.look-alikes.$seed" cifar10-lookalike.toml "$data" "${own[@]}"
  train "cifar10.moco-v2.$seed" moco-v2-cifar10.toml "$data" "${own[@]}"
  train "cifar10.mochi.$seed" mochi-cifar10.toml "$data" "${own[@]}"
  own=("seed=$seed" "${small[@]}")
  train "nuclei.simclr.$seed" cifar10-lookalike.toml "$runs/tiles-48" "${own[@]}" sampler.kind=uniform
  train "nuclei.look-alikes.$seed" cifar10-lookalike.toml "$runs/tiles-48" "${own[@]}" "${walk[@]}"
  train "nuclei.moco-v2.$seed" moco-v2-cifar10.toml "$runs/tiles-48" "${own[@]}" negatives.size=1024
  train "nuclei.mochi.$seed" mochi-cifar10.toml "$runs/tiles-48" "${own[@]}" negatives.size=1024 \
    "negatives.mixing={hardest=256,between=256,with_query=64,warm_up=0.05}"
done

# A ResNet-18 sees 952 tiles of 160 pixels 10 times, in views of 96 pixels.
tiles tiles-160 --side 160 --each 8
train nuclei.resnet18.0 cifar10-lookalike.toml "$runs/tiles-160" data.name=folder augment.size=96 encoder.kind=resnet18 encoder.stem=imagenet \
  sampler.kind=uniform train.epochs=10 train.precision=bf16 evaluate.after_training=false
