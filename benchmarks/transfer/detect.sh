#!/usr/bin/env bash
# Instance segmentation of nuclei by Mask R-CNN on a ResNet-18 pyramid, pretrained weights beside random ones, three seeds.
#
#   benchmarks/transfer/detect.sh OUT_FOLDER NUCLEI_FOLDER MODEL.safetensors
#
# Each seed is a file, seed-N.json; those that are there are not run again. Needs a python, PYTHON (default: python3), with the package and its
# extra `transfer`. EPOCHS (default: 3) and SEEDS (default: "0 1 2") may be set; summary.py prints the tables.
#
# An epoch takes about 90 seconds of one core with AMX, the test 120; on a machine under load both took 1.6 times as much.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results}
data=${2:?folder with instances_train.json, instances_test.json and images}
model=${3:?weights, as lookalike export writes them}
python=${PYTHON:-python3}

mkdir -p "$out"
{
  lscpu | grep -E '^(Model name|CPU\(s\))' | sed 's/: */: /'
  echo "threads ${OMP_NUM_THREADS:-$(nproc)}, load at the start $(cut -d' ' -f1-3 /proc/loadavg)"
} >"$out/machine.txt"
for seed in ${SEEDS:-0 1 2}; do
  [[ ! -e $out/seed-$seed.json ]] || continue
  "$python" -m lookalike.transfer detect "$model" "$data" --epochs "${EPOCHS:-3}" --size 256 --batch-size 4 --rois 64 --bf16 \
    --seeds "$seed," --out "$out/seed-$seed.json" >"$out/seed-$seed.txt"
done
echo "load at the end $(cut -d' ' -f1-3 /proc/loadavg)" >>"$out/machine.txt"
"$python" "$here/summary.py" "$out"/seed-*.json | tee "$out/summary.txt"
