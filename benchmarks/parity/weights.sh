#!/usr/bin/env bash
# Trains thirteen recipes for 40 steps each and prints a SHA-256 of the weights of each: equal lines before and after a change
# mean that it moved no bit of training. Needs real data (CIFAR-10, MUTAG, Cora), and takes about ten minutes.
#
#   benchmarks/parity/weights.sh BINARY DATA_FOLDER [ROW…] > before.txt
set -euo pipefail

binary=$(realpath "$1") data=$(realpath "$2")
wanted=" ${*:3} "
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The tensors of a safetensors file by name, type, shape and bytes; its metadata are left out.
hash_tensors() {
  python3 - "$1" <<'PY'
import hashlib, json, sys
raw = open(sys.argv[1], "rb").read()
size = int.from_bytes(raw[:8], "little")
header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
digest = hashlib.sha256()
for name in sorted(key for key in header if key != "__metadata__"):
    entry = header[name]
    begin, end = entry["data_offsets"]
    digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode() + data[begin:end])
print(digest.hexdigest())
PY
}

# A row: its name, the recipe, and what is set differently.
row() {
  local name=$1 recipe=$2 run=$scratch/$1 option
  shift 2
  [[ $wanted == *[![:space:]]* && $wanted != *" $name "* ]] && return
  local options=(--set train.max_steps=40 --set sampler.refresh_every=10 --set sampler.uniform_epochs=0)
  for option in "$@"; do options+=(--set "$option"); done
  "$binary" train "$root/recipes/$recipe.toml" --data-root "$data" --out "$run" "${options[@]}" \
    >"$scratch/out" 2>"$scratch/err" || { echo "$name:" >&2; cat "$scratch/err" >&2; exit 1; }
  printf '%s  %s\n' "$(hash_tensors "$run/model.safetensors")" "$name"
  rm -rf "$run"
}

images=(evaluate.statistics_batches=2)
row simclr-lookalike cifar10-lookalike "${images[@]}"
row simclr-lookalike-bf16 cifar10-lookalike "${images[@]}" train.precision=bf16
row simclr-resnet18-lars cifar10-simclr "${images[@]}" sampler.batch_size=16 augment.size=16
row direct-clr direct-clr-cifar10 "${images[@]}"
row end-to-end end-to-end-cifar10 "${images[@]}"
row hcl hcl-cifar10 "${images[@]}"
row memory-bank memory-bank-cifar10 "${images[@]}"
row mochi-oracle mochi-oracle-cifar10 "${images[@]}" negatives.mixing.warm_up=0
row moco-v3 moco-v3-cifar10 "${images[@]}"
row supervised supervised-cifar10 "${images[@]}"
row graphcl graphcl-mutag sampler.kind=walk
row mvgrl mvgrl-mutag sampler.kind=walk
row mvgrl-nodes mvgrl-cora
